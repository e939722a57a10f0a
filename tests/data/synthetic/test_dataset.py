import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vistrials.data.synthetic import dataset as synthetic
from vistrials.data.synthetic.dataset import SPLITS, SyntheticSizes, default_cache_dir, ensure_synthetic, synthesize
from vistrials.errors import DataError
from vistrials.formats.annotations import load_video_set
from vistrials.formats.rle import decode

SMALL = SyntheticSizes(train=(8, 3), minival=(10, 12), occlusion=(8, 18), gaps=(8, 16), crossing=(6, 14))
TINY = SyntheticSizes(train=(1, 2), minival=(1, 2), occlusion=(1, 16), gaps=(1, 14), crossing=(1, 12))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "small", SMALL, seed=3)


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _document(folder: Path, split: str) -> dict:
    return json.loads((folder / f"{split}.json").read_text())


def _longest_gap(track: dict) -> int:
    seen = [frame for frame, box in enumerate(track["bboxes"]) if box is not None]
    return max((after - before - 1 for before, after in zip(seen, seen[1:], strict=False)), default=0)


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    first = _content(synthesize(tmp_path / "a", TINY, seed=5))
    again = _content(synthesize(tmp_path / "b", TINY, seed=5))
    other = _content(synthesize(tmp_path / "c", TINY, seed=6))
    assert first == again
    assert len(first) == 2 * 5 + 1 + 2 + 2 + 16 + 14 + 12  # annotations, manifest, frames
    frames = [name for name in first if name.endswith(".jpg")]
    assert all(first[name] != other[name] for name in frames)


def test_a_video_does_not_depend_on_how_many_are_drawn(tmp_path, small):
    fewer = synthesize(tmp_path / "few", SyntheticSizes((2, 3), (1, 12), (1, 18), (2, 16), (1, 14)), seed=3)
    for name, content in _content(fewer / "JPEGImages").items():
        assert content == (small / "JPEGImages" / name).read_bytes()
    tracks = _document(fewer, "train")["annotations"]
    assert tracks == _document(small, "train")["annotations"][: len(tracks)]


@pytest.mark.parametrize("split", SPLITS)
def test_splits_have_the_asked_sizes_and_readable_frames(small, split):
    num_videos, num_frames = getattr(SMALL, split)
    document = _document(small, split)
    assert [video["id"] for video in document["videos"]] == list(range(1, num_videos + 1))
    for video in document["videos"]:
        assert (video["width"], video["height"], video["length"]) == (160, 96, num_frames)
        assert video["file_names"][0] == f"{split}_{video['id']:04d}/00000.jpg"
        assert len(video["file_names"]) == num_frames
        for name in video["file_names"]:
            with Image.open(small / "JPEGImages" / name) as image:
                assert (image.size, image.mode) == ((160, 96), "RGB")


@pytest.mark.parametrize("split", SPLITS)
def test_masks_match_boxes_and_areas_and_never_overlap(small, split):
    document = _document(small, split)
    num_frames = getattr(SMALL, split)[1]
    assert [track["id"] for track in document["annotations"]] == list(range(1, len(document["annotations"]) + 1))
    for video in document["videos"]:
        covered = np.zeros((num_frames, 96, 160), int)
        for track in document["annotations"]:
            if track["video_id"] != video["id"]:
                continue
            assert (track["width"], track["height"], track["length"]) == (160, 96, num_frames)
            assert track["iscrowd"] == 0
            columns = (track["bboxes"], track["areas"], track["segmentations"])
            assert [len(column) for column in columns] == [num_frames] * 3
            for frame, (box, area, segmentation) in enumerate(zip(*columns, strict=True)):
                if segmentation is None:
                    assert box is None and area is None
                    continue
                assert isinstance(segmentation["counts"], str)
                mask = decode(segmentation)
                rows, cols = np.nonzero(mask)
                assert area == len(rows) >= 12
                assert box == [cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1]
                covered[frame] += mask
        assert covered.max() == 1


def test_every_category_occurs_and_twins_do(small):
    document = _document(small, "train")
    names = [category["name"] for category in document["categories"]]
    assert names == ["disc", "square", "triangle", "star", "cross", "ring", "crescent", "hourglass"]
    assert [category["id"] for category in document["categories"]] == list(range(1, 9))
    assert {track["category_id"] for track in document["annotations"]} == set(range(1, 9))
    pairs = [(track["video_id"], track["category_id"]) for track in document["annotations"]]
    assert len(set(pairs)) < len(pairs)


def test_every_occlusion_video_hides_an_object_for_long_and_minival_seldom_does(small):
    def videos_with_long_gap(split: str) -> int:
        tracks = _document(small, split)["annotations"]
        return len({track["video_id"] for track in tracks if _longest_gap(track) >= 4})

    assert videos_with_long_gap("occlusion") == SMALL.occlusion[0]
    assert videos_with_long_gap("minival") < SMALL.minival[0] / 2
    gaps = [_longest_gap(track) for track in _document(small, "occlusion")["annotations"]]
    assert sum(4 <= gap <= 8 for gap in gaps) >= SMALL.occlusion[0]


def test_splits_do_not_share_videos(tmp_path):
    folder = synthesize(tmp_path / "tiny", TINY) / "JPEGImages"
    first, other = ((folder / f"{split}_0001" / "00000.jpg").read_bytes() for split in ("train", "minival"))
    assert first != other


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ("111" + "0000" + "111", True),
        ("111" + "00000000" + "111", True),
        ("111" + "000" + "111", False),  # too short
        ("111" + "000000000" + "111", False),  # too long
        ("11" + "0000" + "111", False),  # hardly seen before
        ("0111" + "0000" + "1110", True),
        ("1101" + "0000" + "111", False),  # a second gap
        ("1111111111", False),
        ("0000000000", False),
    ],
)
def test_hidden_and_returned_counts_the_one_gap(seen, wanted):
    assert synthetic._is_hidden_and_returns(np.array([letter == "1" for letter in seen])) is wanted


def test_the_project_loads_it(small):
    loaded = load_video_set(small / "minival.json", small / "JPEGImages")
    assert len(loaded.videos) == SMALL.minival[0]
    assert sum(len(video.tracks) for video in loaded.videos) == len(_document(small, "minival")["annotations"])


def test_a_folder_that_is_complete_is_left_alone(tmp_path):
    calls = []
    folder = tmp_path / "deep" / "data"
    for _ in range(2):
        assert synthesize(folder, TINY, progress=lambda done, total: calls.append((done, total))) == folder
    assert calls == [(number, 5) for number in range(1, 6)]
    assert json.loads((folder / "synthetic.json").read_text()) == {
        "version": synthetic.VERSION,
        "seed": 0,
        "sizes": {"train": [1, 2], "minival": [1, 2], "occlusion": [1, 16], "gaps": [1, 14], "crossing": [1, 12]},
        "truths": ["visible", "amodal"],
    }


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "data").mkdir()
    assert (synthesize(tmp_path / "data", TINY) / "train.json").is_file()


def test_foreign_content_is_refused_and_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other files, expected .* choose another folder") as caught:
        synthesize(tmp_path, TINY)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(DataError, match="holds other files"):
        synthesize(tmp_path / "notes.txt", TINY)


def test_another_seed_or_version_is_refused(tmp_path, monkeypatch):
    folder = synthesize(tmp_path / "data", TINY, seed=1)
    with pytest.raises(DataError, match='holds synthetic data .*"seed": 1.*expected .*"seed": 2'):
        synthesize(folder, TINY, seed=2)
    monkeypatch.setattr(synthetic, "VERSION", synthetic.VERSION + 1)
    with pytest.raises(DataError, match="holds synthetic data"):
        synthesize(folder, TINY, seed=1)


def test_an_unwritable_place_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write .*; choose another folder"):
        synthesize(tmp_path / "file" / "data", TINY)


def test_an_interrupted_drawing_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "data", TINY, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_processes_takes_the_others_copy(tmp_path):
    def overtake(done: int, total: int) -> None:
        if done == total:
            synthesize(tmp_path / "data", TINY)
            (tmp_path / "data" / "train.json").touch()

    assert synthesize(tmp_path / "data", TINY, progress=overtake) == tmp_path / "data"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_foreign_content_that_appears_meanwhile_is_kept(tmp_path):
    def intrude(done: int, total: int) -> None:
        if done == total:
            (tmp_path / "data").mkdir()
            (tmp_path / "data" / "notes.txt").write_text("mine")

    with pytest.raises(DataError, match="holds other files"):
        synthesize(tmp_path / "data", TINY, progress=intrude)
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "notes.txt"]


def test_the_cache_is_named_by_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("VISTRIALS_CACHE", str(tmp_path / "cache"))
    folder = ensure_synthetic("train", TINY, seed=1)
    assert folder.parent == default_cache_dir() == tmp_path / "cache"
    assert folder.name.startswith(f"synthetic-v{synthetic.VERSION}-train-seed1-")
    assert sorted(path.name for path in folder.glob("*.json")) == ["synthetic.json", "train.amodal.json", "train.json"]
    # The sizes of other splits do not matter.
    assert ensure_synthetic("train", SyntheticSizes(train=(1, 2)), seed=1) == folder
    others = {
        ensure_synthetic("train", TINY, seed=2),
        ensure_synthetic("train", SyntheticSizes(train=(2, 2)), seed=1),
    }
    assert len(others | {folder}) == 3 == len(list((tmp_path / "cache").iterdir()))


def test_cache_folder_follows_the_xdg_rule(monkeypatch):
    monkeypatch.delenv("VISTRIALS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/vistrials")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache_dir() == Path.home() / ".cache" / "vistrials"


@pytest.mark.parametrize(
    ("sizes", "split"),
    [
        ({"train": (0, 8)}, "train"),
        ({"minival": (4, 1)}, "minival"),
        ({"occlusion": (4, 15)}, "occlusion"),
        ({"gaps": (4, 13)}, "gaps"),
        ({"crossing": (4, 11)}, "crossing"),
    ],
)
def test_too_small_sizes_are_refused(sizes, split):
    with pytest.raises(DataError, match=f"split {split}: expected at least 1 video"):
        SyntheticSizes(**sizes)


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(DataError, match="seed of 0 or more, found -1"):
        synthesize(tmp_path / "data", TINY, seed=-1)


def test_drawing_needs_no_torch():
    code = "import sys, vistrials.data.synthetic.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


def _masks(document: dict, track: dict) -> np.ndarray:
    """[T, H, W] bool."""
    empty = np.zeros((96, 160), bool)
    return np.stack([decode(rle).astype(bool) if rle else empty for rle in track["segmentations"]])


@pytest.mark.parametrize("split", SPLITS)
def test_amodal_annotations_hold_the_same_tracks_with_more_of_them(small, split):
    visible, amodal = (_document(small, name) for name in (split, f"{split}.amodal"))
    assert visible["videos"] == amodal["videos"] and visible["categories"] == amodal["categories"]
    num_more = 0
    for seen, whole in zip(visible["annotations"], amodal["annotations"], strict=True):
        assert all(seen[key] == whole[key] for key in ("id", "video_id", "category_id"))
        of_seen, of_whole = _masks(visible, seen), _masks(amodal, whole)
        assert (of_seen <= of_whole).all()
        num_more += int(of_whole.sum() - of_seen.sum())
    assert num_more > 0
    load_video_set(small / f"{split}.amodal.json", small / "JPEGImages")


def test_what_is_hidden_by_bars_is_there_in_amodal_annotations(small):
    """In each occlusion video an object is out of sight for a while; its whole mask goes on."""
    visible, amodal = (_document(small, name) for name in ("occlusion", "occlusion.amodal"))
    for video in visible["videos"]:
        pairs = zip(visible["annotations"], amodal["annotations"], strict=True)
        assert any(
            _longest_gap(seen) >= 3 and _longest_gap(whole) == 0
            for seen, whole in pairs
            if seen["video_id"] == video["id"]
        )


def test_objects_of_gaps_stay_in_sight(small):
    visible, amodal = (_document(small, name) for name in ("gaps", "gaps.amodal"))
    for seen, whole in zip(visible["annotations"], amodal["annotations"], strict=True):
        of_seen, of_whole = (_masks(visible, track).sum(axis=(1, 2)) for track in (seen, whole))
        assert (of_seen > 0).all() and (of_seen >= of_whole / 2).all()


def test_in_crossing_two_of_one_category_meet_between_frames_in_which_they_are_apart(small):
    document = _document(small, "crossing")

    def meet(one: dict, other: dict) -> list[bool]:
        boxes = [(a, b) for a, b in zip(one["bboxes"], other["bboxes"], strict=True) if a and b]
        return [
            all(a[axis] < b[axis] + b[axis + 2] and b[axis] < a[axis] + a[axis + 2] for axis in (0, 1))
            for a, b in boxes
        ]

    for video in document["videos"]:
        tracks = [track for track in document["annotations"] if track["video_id"] == video["id"]]
        found = [
            meet(one, other)
            for i, one in enumerate(tracks)
            for other in tracks[:i]
            if one["category_id"] == other["category_id"]
        ]
        assert any(any(met) and met[:3] == met[-3:] == [False] * 3 for met in found)
