"""What does not fit between two splits."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.data.builders import small_document, write_set
from vistrials.cli import app
from vistrials.data.check.dataset import check_dataset
from vistrials.data.check.splits import find_between
from vistrials.formats.json_file import save_json_atomic


def report(folder: Path, name: str, document: dict[str, Any]):
    save_json_atomic(folder / name, document)
    return check_dataset(folder / name, None)


def of_videos(*ids: int) -> dict[str, Any]:
    """The small set with some of its videos: 41, 5 and 9."""
    document = small_document()
    document["videos"] = [video for video in document["videos"] if video["id"] in ids]
    document["annotations"] = [track for track in document["annotations"] if track["video_id"] in ids]
    return document


def test_splits_of_other_videos_and_the_same_categories_fit(tmp_path: Path) -> None:
    train, valid = report(tmp_path, "train.json", of_videos(41)), report(tmp_path, "valid.json", of_videos(5, 9))
    assert list(find_between(train, valid)) == []


def test_shared_videos_are_a_warning(tmp_path: Path) -> None:
    train, valid = report(tmp_path, "train.json", of_videos(41, 5)), report(tmp_path, "valid.json", of_videos(5, 9))
    (found,) = find_between(train, valid)
    assert (found.severity, found.kind) == ("warning", "splits share videos")
    assert str(found).startswith("train.json and valid.json: 1 of 2 videos to score on are trained on as well (5);")


@pytest.mark.parametrize("change", ["order", "one more"])
def test_other_categories_are_an_error(tmp_path: Path, change: str) -> None:
    other = of_videos(5, 9)
    if change == "order":
        other["categories"].reverse()
    else:
        other["categories"].append({"id": 8, "name": "axolotl"})
    train, valid = report(tmp_path, "train.json", of_videos(41)), report(tmp_path, "valid.json", other)
    (found,) = find_between(train, valid)
    assert (found.severity, found.kind) == ("error", "splits have other categories")
    told = "'cat' where the other has 'newt'" if change == "order" else "3 and 4 categories, more in one"
    assert told in str(found)


def test_the_command_says_it(tmp_path: Path) -> None:
    _, frames = write_set(tmp_path, of_videos(41, 5))
    frames.rename(tmp_path / "JPEGImages")
    document = of_videos(41, 5)
    document["categories"].reverse()
    save_json_atomic(tmp_path / "valid.json", document)
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["data", "check", str(tmp_path), "-p", "laptop"])
    assert result.exit_code == 1
    assert "splits have other categories" in result.stdout and "splits share videos" in result.stdout


def test_copies_under_other_names_are_shared_videos(tmp_path: Path) -> None:
    """Of equal frames in another folder, or within one file, nothing but the content tells."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_set(tmp_path / folder, of_videos(41, 5))
    reports = [
        check_dataset(tmp_path / folder / "train.json", tmp_path / folder / "frames") for folder in ("one", "two")
    ]
    (found,) = find_between(*reports)
    assert found.kind == "splits share videos" and "2 of 2 videos to score on" in str(found)

    document = of_videos(41, 5)
    document["videos"][1] = {**document["videos"][0], "id": 5, "file_names": [f"5/{frame}.png" for frame in range(4)]}
    document["annotations"] = [track for track in document["annotations"] if track["video_id"] == 41]
    (tmp_path / "three").mkdir()
    annotations, frames = write_set(tmp_path / "three", document)
    for frame in range(4):
        (frames / "5" / f"{frame}.png").write_bytes((frames / "41" / f"{frame:05d}.png").read_bytes())
    kinds = {problem.kind: problem.examples[0] for problem in check_dataset(annotations, frames).problems}
    assert kinds["videos that are copies"] == "video 5: frames equal video 41's; they count twice"


def test_still_and_black_pictures_are_no_copies(tmp_path: Path) -> None:
    document = of_videos(41)
    document["videos"].append(
        {**document["videos"][0], "id": 5, "file_names": [f"5/{frame}.png" for frame in range(4)]}
    )
    annotations, frames = write_set(tmp_path, document)
    black = (frames / "41" / "00000.png").read_bytes()
    for path in frames.rglob("*.png"):
        path.write_bytes(black)
    assert "videos that are copies" not in [problem.kind for problem in check_dataset(annotations, frames).problems]
