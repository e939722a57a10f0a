from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.data.builders import box_mask
from tests.data.pseudo.drawn import LEFT, RIGHT, SIZE, one_clip, write_clip
from vistrials.cli import app
from vistrials.data.check.dataset import check_dataset
from vistrials.data.pseudo import dataset
from vistrials.data.pseudo.dataset import write_pseudo_set
from vistrials.data.pseudo.recipes import Pasted, Recipe, Window
from vistrials.errors import DataError
from vistrials.formats.annotations import decode_mask, load_video_set


def vistrials(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_is_written_is_what_was_composed(tmp_path, monkeypatch):
    clips = one_clip(tmp_path / "clip")
    # Frame 0 stays; LEFT of frame 1 covers all of RIGHT (8 x 9) in the second frame, as it is twice as large.
    over = Pasted(0, 0, (1, 1), ((100, 0), (-6, 20)), factor=2.0)
    recipe = Recipe(0, (0, 0), (Window(0, 0, *SIZE),) * 2, SIZE, pasted=(over,))
    monkeypatch.setattr(dataset, "draw_recipe", lambda *arguments: recipe)
    made = write_pseudo_set(clips, tmp_path / "out", 1, 2, originals=False)
    assert (made.num_videos, made.num_frames, made.num_tracks, made.num_masks) == (1, 2, 4, 6)
    found = load_video_set(made.annotations, tmp_path / "out/JPEGImages")
    (video,) = found.videos
    masks = [[s if s is None else decode_mask(s, *SIZE) for s in track.segmentations] for track in video.tracks]
    assert (masks[0][0] == box_mask(LEFT[0], SIZE)).all() and (masks[0][1] == box_mask(LEFT[0], SIZE)).all()
    assert (masks[1][0] == box_mask(RIGHT[0], SIZE)).all() and masks[1][1] is None
    assert video.tracks[1].bboxes[1] is None and video.tracks[1].areas[1] is None
    assert masks[3][0] is None and (masks[3][1] == box_mask((26, 2, 12, 20), SIZE)).all()
    assert [track.category_id for track in video.tracks] == [3, 7, 300, 3]
    assert [track.is_crowd for track in video.tracks] == [False, False, True, False]


@pytest.mark.parametrize("originals", [True, False])
def test_the_set_is_sound_and_holds_the_originals_if_wanted(tmp_path, originals):
    clips = one_clip(tmp_path / "clip")
    made = write_pseudo_set(clips, tmp_path / "out", 5, 6, size=(30, 44), originals=originals)
    report = check_dataset(made.annotations, tmp_path / "out/JPEGImages")
    assert report.problems == () and report.num_videos == 5 + originals
    found = load_video_set(made.annotations, tmp_path / "out/JPEGImages")
    first = found.videos[0]
    if originals:
        assert (first.height, first.width, len(first)) == (*SIZE, 4)
        assert (decode_mask(first.tracks[1].segmentations[3], *SIZE) == box_mask(RIGHT[3], SIZE)).all()
        assert np.array_equal(
            np.asarray(Image.open(found.frames_dir / first.file_names[2])), clips.image(0, 2).transpose(1, 2, 0)
        )
        assert first.tracks[2].is_crowd
    for video in found.videos[originals:]:
        assert (video.height, video.width, len(video)) == (30, 44, 6)
        assert video.file_names[0].startswith("pseudo_0000")
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("clip", "out")] == []


def test_the_same_seed_gives_the_same_bytes_and_a_video_depends_on_its_number_alone(tmp_path):
    clips = one_clip(tmp_path / "clip")
    for name, seed, number in (("a", 0, 3), ("b", 0, 3), ("c", 1, 3), ("d", 0, 5)):
        write_pseudo_set(clips, tmp_path / name, number, 4, seed=seed, originals=False)
    a, b, c, d = (content_of(tmp_path / name) for name in "abcd")
    assert a == b and a != c
    assert a["JPEGImages/pseudo_00001/00000.jpg"] != a["JPEGImages/pseudo_00002/00000.jpg"]
    assert all(d[name] == content for name, content in a.items() if name != "train.json") and len(d) > len(a)


def test_videos_of_two_clips_with_one_name_stay_apart(tmp_path):
    paths = [write_clip(tmp_path / name) for name in "ab"]
    done = vistrials("data", "pseudo", *paths, "-o", tmp_path / "out", "--videos", 2, "--frames", 3, "--size", "44x30")
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("train.json: 4 videos, 14 frames, " + done.stdout.split("14 frames, ")[1])
    assert sorted(p.name for p in (tmp_path / "out/JPEGImages").iterdir()) == [
        *("1", "1_2", "pseudo_00001", "pseudo_00002")
    ]
    found = load_video_set(tmp_path / "out/train.json", tmp_path)
    assert (found.videos[2].height, found.videos[2].width) == (30, 44)


def test_what_is_there_is_kept(tmp_path):
    clip = write_clip(tmp_path / "clip")
    arguments = ("data", "pseudo", clip, "-o", tmp_path / "out", "--videos", 1, "--frames", 2)
    assert vistrials(*arguments).exit_code == 0
    before = content_of(tmp_path / "out")
    again = vistrials(*arguments, "--seed", 1)
    assert again.exit_code == 2 and "exists already" in again.stderr and content_of(tmp_path / "out") == before


@pytest.mark.parametrize("size", ["432", "432x", "0x240", "x240", "432x240x3"])
def test_sizes_are_two_numbers(tmp_path, size):
    done = vistrials("data", "pseudo", write_clip(tmp_path / "clip"), "-o", tmp_path / "out", "--size", size)
    assert done.exit_code == 2 and "expected WIDTHxHEIGHT in pixels, such as 432x240" in done.stderr


def test_a_broken_frame_leaves_nothing_behind(tmp_path):
    clip = write_clip(tmp_path / "clip")
    for frame in (clip.parent / "JPEGImages" / "1").iterdir():
        frame.write_bytes(b"no image")
    done = vistrials("data", "pseudo", clip, "-o", tmp_path / "out", "--no-originals")
    assert done.exit_code == 2 and "not a readable image" in done.stderr and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    with pytest.raises(DataError, match="at least one of one frame, found 1 of 0"):
        write_pseudo_set(one_clip(tmp_path / "b"), tmp_path / "out", 1, 0)
