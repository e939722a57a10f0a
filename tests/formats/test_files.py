"""Which files may be written, under which names; files and folders replaced whole or not at all."""

import os
from pathlib import Path

import pytest

from vistrials.errors import DataError
from vistrials.formats.files import check_folder, check_output, has_suffix, replacing_numbered


def make(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(str(folder.name))


def test_numbered_files_replace_all_numbered_ones_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    make(folder, "00000.png", "00007.png", "00001.jpg", "notes.png")
    with replacing_numbered(folder, ".png") as temporary:
        make(temporary, "00000.png", "00001.png")
        assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.jpg", "00007.png", "notes.png"]
    assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.jpg", "00001.png", "notes.png"]
    assert (folder / "00000.png").read_text() != "m" and (folder / "notes.png").read_text() == "m"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_block_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    make(tmp_path / "m", "00000.png")
    with pytest.raises(OSError, match="full"), replacing_numbered(tmp_path / "m", ".png") as temporary:
        make(temporary, "00001.png")
        raise OSError("full")
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["00000.png"]
    with pytest.raises(OSError, match="full"), replacing_numbered(tmp_path / "new", ".png"):
        raise OSError("full")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", True),
        ("folder/A.PNG", True),
        ("a.json.gz", True),
        ("a.gz", False),
        ("apng", False),
        ("a.png.txt", False),
        (".png", False),  # a hidden file without a suffix
        ("a", False),
    ],
)
def test_a_suffix_is_the_end_of_a_name(name: str, expected: bool) -> None:
    assert has_suffix(name, (".png", ".json.gz")) is expected
    assert has_suffix(Path(name), (".png", ".json.gz")) is expected


def test_a_file_that_can_be_written_is_handed_back_and_nothing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.png"
    assert check_output(path, (".png",)) == path
    assert check_output(tmp_path / "whatever") == tmp_path / "whatever"
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused_with_those_that_are_written(tmp_path: Path) -> None:
    for suffixes, shown in [((".png",), ".png"), ((".png", ".pdf", ".svg"), ".png, .pdf or .svg")]:
        with pytest.raises(DataError) as refused:
            check_output(tmp_path / "a.docx", suffixes, replace=True)
        assert str(refused.value) == (
            f"{tmp_path / 'a.docx'}: expected the name of the file to write to end in {shown}"
        )


def test_a_file_there_already_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(DataError, match="there already; replace with --force, or think"):
        check_output(path, otherwise="think")
    assert check_output(path, replace=True) == path


def test_a_folder_is_no_file_with_force_neither(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(DataError, match=r"a\.png: expected the name of a file to write, found a folder"):
        check_output(tmp_path / "a.png", (".png",), replace=True)


def test_a_file_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(DataError, match=r"notes/deep: cannot be a folder to write to: .*notes is none"):
        check_output(tmp_path / "notes" / "deep" / "a.png")


@pytest.mark.parametrize("folder", ["read_only", "read_only/new"])
def test_a_folder_that_may_not_be_written_is_refused(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "read_only").mkdir()
    # The user of the tests may be one whom no permission stops.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "read_only")
    with pytest.raises(DataError, match=r"cannot be written to \(.*read_only is read-only for you\)"):
        check_folder(tmp_path / folder)
    check_folder(tmp_path / "elsewhere")
