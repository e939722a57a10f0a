"""Files and folders replaced whole or not at all."""

from pathlib import Path

import pytest

from vistrials.formats.files import replacing_numbered


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
