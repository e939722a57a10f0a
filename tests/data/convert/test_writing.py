import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.data.convert.other_forms import SIZE, converted_masks, drawn, records, write_frame, write_values
from vistrials.cli import app
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.writing import SourceSet, SourceTrack, SourceVideo, by_number, write_youtube_vis
from vistrials.errors import DataError
from vistrials.formats.rle import encode
from vistrials.structures.video import Category

CATEGORIES = [Category(7, "cat"), Category(3, "dog")]


def mask(x: int, y: int, w: int, h: int) -> np.ndarray:
    pixels = np.zeros(SIZE, bool)
    pixels[y : y + h, x : x + w] = True
    return pixels


def make_source(folder: Path, names: tuple[str, ...] = ("a", "b"), categories=CATEGORIES) -> SourceSet:
    """Videos of three frames with a cat in frames 0 and 2 and a dog in all."""

    def videos():
        for number, name in enumerate(names):
            frames = [folder / f"{name}-{frame}" / f"{frame:05d}.png" for frame in range(3)]
            for frame, path in enumerate(frames):
                write_frame(path, seed=10 * number + frame)
            cat = SourceTrack(categories[0].id, {0: encode(mask(1, 2, 5, 6)), 2: encode(mask(3, 2, 5, 6))})
            dog = SourceTrack(categories[-1].id, {frame: encode(mask(10, 0, 4, 24)) for frame in range(3)}, number == 1)
            yield SourceVideo(name, frames, SIZE, [cat, dog])

    return SourceSet(folder, categories, len(names), videos())


def test_what_is_written_is_sound_and_complete(tmp_path):
    calls = []
    made = write_youtube_vis(
        make_source(tmp_path / "src"), tmp_path / "new" / "out", progress=lambda *numbers: calls.append(numbers)
    )
    assert made.annotations == tmp_path / "new" / "out" / "train.json"
    assert (made.num_videos, made.num_frames, made.num_tracks, made.num_masks) == (2, 2 * 3, 2 * 2, 2 * (2 + 3))
    assert calls == [(1, 2), (2, 2)]
    report = check_dataset(made.annotations, made.annotations.parent / "JPEGImages")
    assert report.problems == ()
    assert report.num_frames_read == 6
    document = json.loads(made.annotations.read_text())
    assert document["categories"] == [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    assert document["videos"][1]["file_names"] == ["b/00000.png", "b/00001.png", "b/00002.png"]
    first = document["annotations"][0]
    assert first["bboxes"] == [[1, 2, 5, 6], None, [3, 2, 5, 6]]
    assert first["areas"] == [5 * 6, None, 5 * 6]
    assert [track["iscrowd"] for track in document["annotations"]] == [0, 0, 0, 1]
    assert (converted_masks(made.annotations)["a", 0][2] == mask(3, 2, 5, 6)).all()


def test_frames_are_links_or_copies(tmp_path):
    made = write_youtube_vis(make_source(tmp_path / "src"), tmp_path / "linked")
    frame, original = tmp_path / "linked/JPEGImages/a/00001.png", tmp_path / "src/a-1/00001.png"
    assert os.path.samefile(frame, original)
    copied = write_youtube_vis(make_source(tmp_path / "src"), tmp_path / "copied", copy=True)
    frame = tmp_path / "copied/JPEGImages/a/00001.png"
    assert not os.path.samefile(frame, original)
    assert frame.read_bytes() == original.read_bytes()
    assert made.annotations.read_text() == copied.annotations.read_text()


def test_a_frame_that_is_a_symbolic_link_is_followed(tmp_path):
    source = make_source(tmp_path / "src", ("a",))
    video = next(source.videos)
    alias = tmp_path / "alias.png"
    alias.symlink_to(video.frames[0])
    videos = iter([SourceVideo("a", [alias, *video.frames[1:]], SIZE, video.tracks)])
    write_youtube_vis(SourceSet(tmp_path, CATEGORIES, 1, videos), tmp_path / "out")
    assert not (tmp_path / "out/JPEGImages/a/alias.png").is_symlink()


def test_frames_are_copied_where_links_are_not_possible(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    write_youtube_vis(make_source(tmp_path / "src"), tmp_path / "out")
    original = tmp_path / "src/a-1/00001.png"
    assert (tmp_path / "out/JPEGImages/a/00001.png").read_bytes() == original.read_bytes()


def test_masks_without_a_pixel_are_absent(tmp_path):
    write_frame(tmp_path / "0.png")
    empty, full = encode(np.zeros(SIZE)), encode(np.ones(SIZE))
    tracks = [SourceTrack(7, {0: empty}), SourceTrack(7, {0: full}), SourceTrack(7, {})]
    videos = iter([SourceVideo("a", [tmp_path / "0.png"], SIZE, tracks)])
    made = write_youtube_vis(SourceSet(tmp_path, CATEGORIES, 1, videos), tmp_path / "out")
    assert [track["areas"] for track in records(made.annotations)] == [[24 * 32]]


def test_a_second_split_joins_the_first(tmp_path):
    out = tmp_path / "out"
    write_youtube_vis(make_source(tmp_path / "src", ("a", "b")), out)
    # The same names under other ids.
    other = [Category(1, "dog"), Category(2, "cat")]
    write_youtube_vis(make_source(tmp_path / "src2", ("c",), other), out, "valid")
    assert sorted(path.name for path in (out / "JPEGImages").iterdir()) == ["a", "b", "c"]
    train, valid = (json.loads((out / f"{split}.json").read_text()) for split in ("train", "valid"))
    assert train["categories"] == valid["categories"]
    assert [track["category_id"] for track in valid["annotations"]] == [3, 7]  # dog, cat
    for split in ("train", "valid"):
        assert check_dataset(out / f"{split}.json", out / "JPEGImages").problems == ()


@pytest.mark.parametrize(
    ("names", "split", "categories", "message"),
    [
        (("c",), "train", CATEGORIES, "train.json: exists already"),
        (("c", "b"), "valid", CATEGORIES, "b: exists already; a video belongs to one split"),
        (("c",), "valid", [Category(7, "cow")], "category 'cow' is not among those of .*train.json \\(cat, dog\\)"),
        (("c",), "../valid", CATEGORIES, "expected a plain name"),
        (("c", "c"), "valid", CATEGORIES, "video 'c' occurs twice"),
        (("..",), "valid", CATEGORIES, "not the name of a folder"),
    ],
)
def test_a_split_that_does_not_fit_changes_nothing(tmp_path, names, split, categories, message):
    out = tmp_path / "out"
    write_youtube_vis(make_source(tmp_path / "src"), out)
    before = sorted(tmp_path.glob("out/**/*"))
    with pytest.raises(DataError, match=message) as caught:
        write_youtube_vis(make_source(tmp_path / "src2", names, categories), out, split)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.glob("out/**/*")) == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="holds other files; choose a new or empty folder"):
        write_youtube_vis(make_source(tmp_path / "src"), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not a folder"):
        write_youtube_vis(make_source(tmp_path / "src"), tmp_path / "file")


@pytest.mark.parametrize("there", [False, True])
def test_a_source_that_breaks_halfway_leaves_nothing(tmp_path, there):
    out = tmp_path / "out"
    if there:
        out.mkdir()

    def videos():
        yield next(make_source(tmp_path / "src").videos)
        raise DataError("the second video is broken")

    with pytest.raises(DataError, match="second video is broken"):
        write_youtube_vis(SourceSet(tmp_path, CATEGORIES, 2, videos()), out)
    assert out.exists() is there
    assert [path.name for path in tmp_path.iterdir()] == ["src"] + ["out"] * there or not any(out.iterdir())
    assert not list(tmp_path.glob(".*"))


def test_moving_beside_another_split_is_undone(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_youtube_vis(make_source(tmp_path / "src"), out)
    before = sorted(out.rglob("*"))
    rename = Path.rename

    def fail_at_the_annotations(self, target):
        if Path(target).name == "valid.json":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_at_the_annotations)
    with pytest.raises(OSError, match="disk full"):
        write_youtube_vis(make_source(tmp_path / "src2", ("c", "d")), out, "valid")
    assert sorted(out.rglob("*")) == before


def test_a_source_without_objects_is_refused(tmp_path):
    write_frame(tmp_path / "0.png")
    videos = iter([SourceVideo("a", [tmp_path / "0.png"], SIZE, [])])
    with pytest.raises(DataError, match="no object in any of 1 videos"):
        write_youtube_vis(SourceSet(tmp_path, CATEGORIES, 1, videos), tmp_path / "out")


def test_two_frames_of_one_name_are_refused(tmp_path):
    source = make_source(tmp_path / "src", ("a",))
    video = next(source.videos)
    videos = iter([SourceVideo("a", [video.frames[0]] * 2, SIZE, video.tracks)])
    with pytest.raises(DataError, match="video a: two frames are named 00000.png"):
        write_youtube_vis(SourceSet(tmp_path, CATEGORIES, 1, videos), tmp_path / "out")


def test_frames_are_ordered_by_number():
    names = ["10.jpg", "9.jpg", "a2b3.png", "a2b10.png", "a10b1.png", "009.jpg", "b.jpg"]
    ordered = ["009.jpg", "9.jpg", "10.jpg", "a2b3.png", "a2b10.png", "a10b1.png", "b.jpg"]
    assert [path.name for path in by_number(map(Path, names))] == ordered


def test_names_with_folders_become_flat(tmp_path):
    write_youtube_vis(make_source(tmp_path / "src", ("x/y",)), tmp_path / "out")
    assert (tmp_path / "out/JPEGImages/x_y/00000.png").is_file()


def run(*arguments: object):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


FORMS = "davis youtube-vos mots mots-png masks vipseg sa-v youtube-vis coco-video burst cvat cvat-coco labelme video"


@pytest.mark.parametrize("form", FORMS.split())
def test_the_command_line_says_what_is_wrong_in_one_line(tmp_path, form):
    result = run("data", "convert", form, tmp_path / "nothing", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "error:" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert run("data", "convert", form, "--help").exit_code == 0


def test_converting_needs_no_torch(tmp_path):
    write_frame(tmp_path / "src" / "JPEGImages" / "480p" / "a" / "0.jpg")
    write_values(tmp_path / "src" / "Annotations" / "480p" / "a" / "0.png", drawn((1, 2, 3, 4, 5)), palette=True)
    arguments = ["data", "convert", "davis", str(tmp_path / "src"), "-o", str(tmp_path / "out")]
    code = (
        f"import sys; from vistrials.cli import app; app({arguments}, standalone_mode=False); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "train.json: 1 videos, 1 frames, 1 tracks, 1 masks" in done.stdout


def test_the_command_line_says_what_was_left_out(tmp_path):
    for frame in (0, 1):
        write_frame(tmp_path / "src" / "JPEGImages" / "v" / f"{frame}.jpg")
    write_values(tmp_path / "src" / "Annotations" / "v" / "1" / "0.png", drawn((1, 2, 3, 4, 5)))
    result = run("data", "convert", "masks", tmp_path / "src", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 videos, 1 frames, 1 tracks, 1 masks" in result.stdout
    assert "1 frames without a PNG of any object were left out (first: " in result.stderr
