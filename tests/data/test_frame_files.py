"""Frames whose names are not quite those on disk: found where exactly one file fits, and said."""

import json
import unicodedata
from pathlib import Path

import pytest

from tests.data.builders import small_document, write_set
from vistrials.data.check.dataset import check_dataset
from vistrials.data.frame_files import FrameFinder, locate_frames
from vistrials.formats.annotations import load_video_set

FRAMES = "set/train/JPEGImages"


def made(root: Path, *files: str) -> Path:
    """A frame folder with these (empty) files."""
    for file in files:
        path = root / FRAMES / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root / FRAMES


FOUND = {
    "as written": ("v1/0.jpg", "v1/0.jpg"),
    "Windows separators": ("v1\\0.jpg", "v1/0.jpg"),
    "prefix": ("JPEGImages/v1/0.jpg", "v1/0.jpg"),
    "longer prefix": ("train/JPEGImages/v1/0.jpg", "v1/0.jpg"),
    "prefix of another folder": ("youtube/train/JPEGImages/v1/0.jpg", "v1/0.jpg"),
    "split alone": ("train/v1/0.jpg", "v1/0.jpg"),
    "Windows prefix": (".\\JPEGImages\\v1\\0.jpg", "v1/0.jpg"),
    "absolute": ("/home/a/b/JPEGImages/v1/0.jpg", "v1/0.jpg"),
    "absolute without the folder": ("/home/a/b/v1/0.jpg", "v1/0.jpg"),
    "Windows drive": ("C:\\data\\v1\\0.jpg", "v1/0.jpg"),
    "address": ("https://host/b/v1/0.jpg", "v1/0.jpg"),
    "no suffix": ("v1/0", "v1/0.jpg"),
    "other suffix": ("v1/0.png", "v1/0.jpg"),
    "suffix in capitals": ("v1/0.JPG", "v1/0.jpg"),
    "jpeg": ("v1/0.jpeg", "v1/0.jpg"),
    "folder in capitals": ("V1/0.jpg", "v1/0.jpg"),
    "prefix and other suffix": ("JPEGImages\\v1\\0.PNG", "v1/0.jpg"),
    "leading dot": ("./v1/0.jpg", "./v1/0.jpg"),
    "blanks around": (" v1/0.jpg ", "v1/0.jpg"),
    "escaped": ("v1/a%20b.jpg", "v1/a b.jpg"),
    "name with a dot": ("v1/frame.0001", "v1/frame.0001.jpg"),
}


@pytest.mark.parametrize("case", FOUND)
def test_a_frame_is_found_under_another_name(tmp_path: Path, case: str) -> None:
    name, expected = FOUND[case]
    folder = made(tmp_path, "v1/0.jpg", "v1/1.jpg", "v1/a b.jpg", "v1/frame.0001.jpg", "v1/notes.txt", "v2/1.jpg")
    found = FrameFinder(folder).find(name)
    assert (found.name, found.missing) == (expected, None)


MISSING = {
    "not there": ("v1/7.jpg", "v1 holds 0.jpg, 0.png, 1.jpg, .."),
    "no such video": ("v9/0.jpg", "JPEGImages holds v1, v2, .."),
    "two suffixes": ("v1/0", "it may be v1/0.jpg or v1/0.png: keep one"),
    "no image": ("v1/notes", "v1 holds"),
    "another number": ("v1/00000.jpg", "v1 holds"),
    "climbs": ("../JPEGImages/v1/9.jpg", "holds"),
    "video folder missing in the name": ("1.jpg", "it may be v1/1.jpg or v2/1.jpg"),
    "nothing": ("..", "holds"),
}


@pytest.mark.parametrize("case", MISSING)
def test_a_frame_is_missing_where_none_or_two_fit(tmp_path: Path, case: str) -> None:
    name, expected = MISSING[case]
    folder = made(tmp_path, "v1/0.jpg", "v1/0.png", "v1/1.jpg", "v1/notes.txt", "v2/1.jpg")
    found = FrameFinder(folder).find(name)
    assert found.name == name and found.missing and expected in found.missing


def test_unicode_forms_are_one_name(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "väg/é.jpg") for form in ("NFC", "NFD"))
    assert composed != apart
    assert FrameFinder(made(tmp_path, apart)).find(composed).name == apart


def test_a_folder_between_is_found(tmp_path: Path) -> None:
    made(tmp_path, "v1/0.jpg", "v1/1.jpg")
    assert FrameFinder(tmp_path / "set" / "train").find("v1/0.jpg").name == "JPEGImages/v1/0.jpg"


def test_two_names_are_not_one_file(tmp_path: Path) -> None:
    finder = FrameFinder(made(tmp_path, "v1/0.jpg"))
    assert finder.find("v1/0.jpg").missing is None
    assert finder.find("v1/0.jpg").missing is None  # videos may share frames
    assert "is the frame 'v1/0.jpg' already" in (finder.find("v1/0.png").missing or "")


def test_frames_of_a_set_are_located_and_said(tmp_path: Path) -> None:
    document = small_document()
    path, frames_dir = write_set(tmp_path, document)
    sound = load_video_set(path, frames_dir)
    assert locate_frames(sound) == (sound, None)
    for video in document["videos"][:2]:
        video["file_names"] = [f"JPEGImages\\{name[:-4]}.jpg".replace("/", "\\") for name in video["file_names"]]
    document["videos"][2]["file_names"][1] = "9/nowhere.png"
    (tmp_path / "train.json").write_text(json.dumps(document))
    found, missing = locate_frames(load_video_set(path, frames_dir))
    assert [video.file_names for video in found.videos[:2]] == [video.file_names for video in sound.videos[:2]]
    assert found.notes == ("frames found under another name: 6 (first: JPEGImages\\41\\00000.jpg is 41/00000.png)",)
    assert missing and missing.startswith(f"video 9, frame 1: {frames_dir / '9/nowhere.png'}: no such frame; ")
    kinds = {(problem.severity, problem.kind): problem for problem in check_dataset(path, frames_dir).problems}
    assert kinds["warning", "frames found under another name"].count == 6
    assert kinds["error", "missing frame"].count == 1
