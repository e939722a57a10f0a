from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vistrials.errors import DataError
from vistrials.formats.safe_names import file_below, relative_name


@pytest.mark.parametrize("name", ["a.jpg", "v/a.jpg", "v\\a.jpg", "./v/a.jpg", "影片/帧\u30001.jpg", "a..b/c"])
def test_plain_names_are_taken(name):
    assert not relative_name(name, "x").is_absolute()
    assert relative_name(name, "x").name in ("a.jpg", "帧\u30001.jpg", "c")


@pytest.mark.parametrize(
    "name",
    [
        "/a.jpg",
        "../a.jpg",
        "v/../../a.jpg",
        "..\\a.jpg",
        "C:\\a.jpg",
        "c:a.jpg",
        "\\\\host\\a",
        "",
        " ",
        ".",
        "a\nb",
        "a\0b",
    ],
)
def test_other_names_are_refused_in_one_line(name):
    with pytest.raises(DataError) as caught:
        relative_name(name, "file.json: image 3")
    assert str(caught.value).startswith("file.json: image 3: ") and "\n" not in str(caught.value)


@given(st.text())
def test_no_name_leads_out(name):
    try:
        path = file_below(Path("/data/set"), name, "x")
    except DataError:
        return
    assert Path("/data/set") in path.resolve().parents


@pytest.mark.parametrize("value", [None, 3, ["a"]])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(DataError, match="is no name; expected a path"):
        relative_name(value, "x")
