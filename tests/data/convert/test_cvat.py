import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.convert.other_forms import converted_masks, drawn, records, write_frame
from tests.video_files.made_videos import GREY_STEP, make_video
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.cvat import read_cvat
from vistrials.data.convert.writing import write_youtube_vis
from vistrials.errors import DataError

META = """<meta><task><id>1</id><name>walk</name><size>{size}</size><mode>interpolation</mode>
<start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame><frame_filter>{filter}</frame_filter>
<labels><label><name>person</name></label><label><name>dog</name></label>
<label><name>nose</name><type>points</type><parent>dog</parent></label></labels>
<original_size><width>{width}</width><height>24</height></original_size></task></meta>"""


def polygon(frame: int, x: int, y: int, w: int, h: int, outside: int = 0) -> str:
    points = f"{x}.00,{y}.00;{x + w}.00,{y}.00;{x + w}.00,{y + h}.00;{x}.00,{y + h}.00"
    return f'<polygon frame="{frame}" keyframe="1" outside="{outside}" occluded="0" points="{points}" z_order="0"/>'


def brush(frame: int, rle: str, left: int, top: int, width: int, height: int) -> str:
    where = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'<mask frame="{frame}" keyframe="1" outside="0" occluded="0" rle="{rle}" {where} z_order="0"/>'


def track(number: int, label: str, *shapes: str, more: str = "") -> str:
    return f'<track id="{number}" label="{label}" source="manual"{more}>{"".join(shapes)}</track>'


def write_xml(folder: Path, *tracks: str, size: int = 3, start: int = 0, stop: int = 2, step: int = 1, width: int = 32):
    folder.mkdir(parents=True, exist_ok=True)
    meta = META.format(size=size, start=start, stop=stop, filter=f"step={step}" if step > 1 else "", width=width)
    head = "<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version>"
    (folder / "annotations.xml").write_text(f"{head}{meta}{''.join(tracks)}</annotations>")


def write_images(folder: Path, *numbers: int) -> None:
    for number in numbers:
        write_frame(folder / "images" / f"frame_{number:06d}.png", seed=number)


# A 4 x 3 crop at x 5, y 2, row by row: .##. / #### / .... ; as runs of background and object in turn.
L_SHAPE = ("1, 2, 1, 4, 4", 5, 2, 4, 3)
L_PIXELS = {(2, 6), (2, 7), (3, 5), (3, 6), (3, 7), (3, 8)}

DOG = track(0, "dog", polygon(0, 2, 3, 10, 8), polygon(1, 4, 3, 10, 8), polygon(2, 4, 3, 10, 8, outside=1))
PERSON = track(1, "person", brush(1, *L_SHAPE), brush(2, *L_SHAPE))


@pytest.fixture
def export(tmp_path: Path) -> Path:
    write_xml(tmp_path / "walk", DOG, PERSON)
    write_images(tmp_path / "walk", 0, 1, 2)
    return tmp_path / "walk"


def test_polygons_masks_and_absences(export, tmp_path):
    made = write_youtube_vis(read_cvat(export), tmp_path / "out")
    masks = converted_masks(made.annotations)
    assert [(t["category_id"], t["areas"]) for t in records(made.annotations)] == [
        (1, [10 * 8, 10 * 8, None]),  # dog, outside in the last frame
        (2, [None, 6, 6]),
    ]
    assert (masks["walk", 0][1] == (drawn((1, 4, 3, 10, 8)) == 1)).all()
    assert {(int(row), int(column)) for row, column in np.argwhere(masks["walk", 1][2])} == L_PIXELS
    assert check_dataset(made.annotations, tmp_path / "out" / "JPEGImages").problems == ()


def test_frames_are_numbered_as_in_the_video(export, tmp_path):
    # Every second frame from the tenth on: 10, 12, 14.
    shapes = [polygon(number, 2, 3, 4, 5) for number in (10, 12, 14)]
    write_xml(export, track(0, "dog", *shapes[:2], polygon(14, 1, 1, 2, 2, outside=1)), start=10, stop=14, step=2)
    for path in (export / "images").iterdir():
        path.unlink()
    write_images(export, 10, 12, 14)
    made = write_youtube_vis(read_cvat(export), tmp_path / "out")
    assert [t["areas"] for t in records(made.annotations)] == [[20, 20, None]]
    # The same from the video file itself, of 16 frames.
    for path in (export / "images").iterdir():
        path.unlink()
    (export / "images").rmdir()
    make_video(export / "walk.mp4", 16, size=(24, 32))
    made = write_youtube_vis(read_cvat(export), tmp_path / "from_video")
    assert [t["areas"] for t in records(made.annotations)] == [[20, 20, None]]
    names = sorted(path.name for path in (tmp_path / "from_video" / "JPEGImages" / "walk").iterdir())
    assert names == ["00010.jpg", "00012.jpg", "00014.jpg"]
    for name in names:
        with Image.open(tmp_path / "from_video" / "JPEGImages" / "walk" / name) as image:
            assert abs(np.asarray(image)[20:, 20:].mean() - (20 + GREY_STEP * int(name[:5]))) < GREY_STEP / 2


def test_images_of_other_names_are_frames_in_their_order(export, tmp_path):
    for number, path in enumerate(sorted((export / "images").iterdir())):
        path.rename(path.with_name(f"img{number + 1:03d}.png"))
    made = write_youtube_vis(read_cvat(export / "annotations.xml"), tmp_path / "out")
    assert [t["areas"][0] for t in records(made.annotations)] == [80, None]
    # 10 before 9 by name, after it by number, and CVAT does not say which it was.
    for new, old in ((8, "001"), (9, "002"), (10, "003")):
        (export / "images" / f"img{old}.png").rename(export / "images" / f"img{new}.png")
    with pytest.raises(DataError, match="img10.png comes last by its number, img9.png by its name"):
        write_youtube_vis(read_cvat(export), tmp_path / "other")


def test_a_folder_of_exports_is_one_set(export, tmp_path):
    write_xml(tmp_path / "run", track(0, "person", *(polygon(frame, 0, 0, 3, 3) for frame in range(3))))
    write_images(tmp_path / "run", 0, 1, 2)
    made = write_youtube_vis(read_cvat(tmp_path), tmp_path / "made" / "out")
    assert [(t["video_id"], t["category_id"]) for t in records(made.annotations)] == [(1, 2), (2, 1), (2, 2)]
    with pytest.raises(DataError, match="2 XML files; --frames is for one"):
        read_cvat(tmp_path, export / "images")


def test_what_is_left_out_is_counted(export, tmp_path):
    single = track(7, "dog", polygon(0, 0, 0, 2, 2), polygon(1, 0, 0, 2, 2, outside=1), more=' group_id="3"')
    twin = track(8, "dog", *(polygon(frame, 9, 0, 2, 2) for frame in (0, 1, 2)), more=' group_id="3"')
    beyond = track(9, "dog", *(polygon(frame, 40, 0, 2, 2) for frame in (0, 1, 2)))
    write_xml(export, DOG, single, twin, beyond, size=5, stop=4)
    source = read_cvat(export)
    write_youtube_vis(source, tmp_path / "out")
    lines = [line.split(" (first")[0] for line in source.notes.lines()]
    assert lines == [
        "2 frames of CVAT tasks have no image and were left out",
        "3 shapes have no pixel in the frame, and are absences",
        "3 objects lie wholly outside their frame and were left out of it",
        "2 tracks share a group with others; each stays an object of its own",
        "1 tracks are of one frame: CVAT writes single shapes so, which nothing joins; draw with Track, not Shape",
        "1 tracks have no pixel in any frame and were left out",
    ]


def test_polygons_of_larger_frames_are_refused(export, tmp_path):
    # Drawn on frames of twice the size, which the XML does not say.
    write_xml(export, *(track(n, "dog", *(polygon(frame, 40, 30 + n, 18, 14) for frame in range(3))) for n in range(2)))
    path = export / "annotations.xml"
    path.write_text(re.sub("<original_size>.*</original_size>", "", path.read_text(), flags=re.DOTALL))
    with pytest.raises(DataError, match=r"polygons reach to x 58, y 45 in frames of 32 x 24 .*drawn on larger frames"):
        write_youtube_vis(read_cvat(export), tmp_path / "out")


def test_tracks_that_end_early_are_counted(export, tmp_path):
    write_images(export, 3)
    ending = track(0, "dog", polygon(0, 0, 0, 2, 2), polygon(1, 0, 0, 2, 2))
    write_xml(export, ending, track(1, "dog", *(polygon(frame, 9, 0, 2, 2) for frame in range(4))), size=4, stop=3)
    source = read_cvat(export)
    made = write_youtube_vis(source, tmp_path / "out")
    assert [t["areas"] for t in records(made.annotations)] == [[4, 4, None, None], [4] * 4]
    assert source.notes.lines()[0].startswith("1 tracks end without outside=1; they are absent from there on")


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        (
            [track(0, "dog", polygon(0, 1, 1, 4, 4), polygon(2, 1, 1, 4, 4))],
            "no shape in frame 1, between those of 0 and 2",
        ),
        ([track(0, "dog", polygon(0, 1, 1, 4, 4), polygon(0, 1, 1, 4, 4))], "frame 0: two shapes; a track has one"),
        (
            [track(0, "dog", polygon(3, 1, 1, 4, 4))],
            r"track 0 \(dog\), frame 3: no image of this frame \(they are 0 to 2\)",
        ),
        (
            [track(0, "dog", '<box frame="0" outside="0"/>')],
            r"track 0 \(dog\), frame 0: a box; expected a polygon or a mask",
        ),
        ([track(0, "dog", '<polygon frame="0" points="1,2;x,3"/>')], "points are '1,2;x,3'; expected x,y;x,y"),
        (
            [track(0, "dog", '<polygon frame="0" points="1,2;2,3"/>')],
            "without a polygon of 3 points or more",
        ),
        ([track(0, "dog", brush(0, "1, 2", 5, 2, 4, 3))], r"the runs sum to 3 pixels; expected 3 x 4 = 12"),
        (
            [track(0, "dog", brush(0, "12", 29, 2, 4, 3))],
            r"a mask of 3 x 4 pixels \(height x width\) at left 29, top 2",
        ),
        ([track(0, "dog", brush(0, "a", 5, 2, 4, 3))], "a mask needs rle"),
        ([track(0, "cat", polygon(0, 1, 1, 4, 4))], r"track 0 \(cat\): its label is not among those of the task"),
        ([track(0, "dog", '<polygon points="1,2"/>')], "frame is ''; expected a whole number"),
        (['<image id="0" name="a.jpg" width="32" height="24"/>'], "'CVAT for images 1.1'"),
    ],
)
def test_faults_are_named(export, tmp_path, tracks, message):
    write_xml(export, *tracks)
    with pytest.raises(DataError, match=message) as caught:
        write_youtube_vis(read_cvat(export), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_export_of_a_task(export, tmp_path):
    path = export / "annotations.xml"

    def refused(message: str, source: Path = export, frames: Path | None = None) -> None:
        with pytest.raises(DataError, match=message):
            write_youtube_vis(read_cvat(source, frames), tmp_path / "out")

    write_xml(export, DOG, width=64)
    refused("original_size: height x width are declared as 24 x 64 pixels, while the frame has 24 x 32")
    write_xml(export, DOG, stop=1, size=2)
    refused("an image of frame 2, while .* has frames 0 to 1; CVAT counts frames from 0")
    write_xml(export, DOG)
    refused("neither a folder of images nor a video file", frames=tmp_path / "nothing")
    path.write_text("<annotations><meta><project/></meta></annotations>")
    refused("an export of a whole project; export its tasks one by one")
    path.write_text("<annotation><folder/></annotation>")
    refused("its root is annotation; expected annotations of CVAT")
    path.write_text("<annotations><track")
    refused("not an XML file that can be read")
    (tmp_path / "task.zip").write_bytes(b"PK")
    refused("a ZIP file; unpack it", tmp_path / "task.zip")
    refused("no such file or folder", tmp_path / "gone")
    path.unlink()
    refused("no annotations.xml in it")


def test_a_video_that_is_too_short_is_refused(export, tmp_path):
    make_video(tmp_path / "short.mp4", 2, size=(24, 32))
    with pytest.raises(DataError, match=r"short.mp4: 2 frames, while annotations are of frame 2 \(counted from 0\)"):
        write_youtube_vis(read_cvat(export, tmp_path / "short.mp4"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
