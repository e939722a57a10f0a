"""JSON in and out: the round trip, and one clear line for every way a file can be broken."""

import gzip
import json
import math
import os

import msgspec
import pytest

from vistrials.errors import DataError
from vistrials.formats import files, json_file
from vistrials.formats.json_file import load_json, load_json_as, save_json_atomic

VALUE = {"videos": [{"id": 1, "name": "Straße"}], "score": 0.1, "none": None}


@pytest.mark.parametrize("name", ["value.json", "value.json.gz"])
def test_what_is_saved_is_loaded(tmp_path, name):
    save_json_atomic(tmp_path / name, VALUE)
    assert load_json(tmp_path / name) == VALUE
    assert os.listdir(tmp_path) == [name]


def test_gzip_is_told_by_its_bytes_not_its_name(tmp_path):
    (tmp_path / "zipped.json").write_bytes(gzip.compress(json.dumps(VALUE).encode()))
    (tmp_path / "plain.json.gz").write_text(json.dumps(VALUE))
    assert load_json(tmp_path / "zipped.json") == VALUE
    assert load_json(tmp_path / "plain.json.gz") == VALUE


def test_a_byte_order_mark_is_no_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert load_json(tmp_path / "a.json") == [1]


def test_a_gzip_file_depends_on_the_value_alone(tmp_path):
    save_json_atomic(tmp_path / "a.json.gz", VALUE)
    save_json_atomic(tmp_path / "b.json.gz", VALUE)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b'{"a": 1,\n "b": [1, 2', "cut short: it ends inside a value at line 2 column 12"),
        (b'{"a": "b', "cut short"),
        (b'{"a": 1,\n "b": }', "not valid JSON: Expecting value at line 2 column 7 (character 15 of 16)"),
        (b"[1] [2]", "not valid JSON: Extra data at line 1 column 5"),
        (b'["\xff"]', "byte 2 is not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5000, "not usable JSON"),
        (gzip.compress(b"[1, 2, 3]", mtime=0)[:10] + b"\xff" * 50, "damaged gzip"),
        (b"\x1f\x8b" + b"\xff" * 50, "damaged gzip"),
        (gzip.compress(b"[1, 2, 3]" * 100, mtime=0)[:-12], "gzip cut short after"),
        (gzip.compress(b"[1, 2, 3]", mtime=0)[:-8] + b"\0" * 8, "damaged gzip"),
    ],
)
def test_a_broken_file_is_one_line_that_says_where(tmp_path, content, expected):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_json(path)
    message = str(error.value)
    assert expected in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match="nothing.json: no such file"):
        load_json(tmp_path / "nothing.json")
    with pytest.raises(DataError, match="cannot be read"):
        load_json(tmp_path)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    save_json_atomic(path, {"AP": 0.5})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(DataError, match="cannot be written .No space left on device"):
        save_json_atomic(path, {"AP": 0.6})
    assert load_json(path) == {"AP": 0.5}
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_nan_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json_atomic(tmp_path / "a.json", {"loss": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        save_json_atomic(tmp_path / "nowhere" / "a.json", [])


class Pair(msgspec.Struct):
    a: int
    b: msgspec.Raw


def test_a_part_may_stay_unparsed(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'[{"a": 1, "b": [2, 3], "c": 4}]'))
    (pair,) = load_json_as(tmp_path / "a.json.gz", list[Pair])
    assert pair.a == 1
    assert msgspec.json.decode(pair.b) == [2, 3]


def test_a_file_of_another_form_is_loaded_as_it_is(tmp_path):
    (tmp_path / "a.json").write_text('[{"a": "1", "b": NaN}]')
    (other,) = load_json_as(tmp_path / "a.json", list[Pair])
    assert other["a"] == "1"
    assert math.isnan(other["b"])


def test_a_pipe_of_a_shell_is_read_to_its_end():
    end, other_end = os.pipe()
    os.write(other_end, b"[1, 2]")
    os.close(other_end)
    try:
        assert load_json(f"/dev/fd/{end}") == [1, 2]
    finally:
        os.close(end)


def test_text_that_is_too_long_to_be_parsed_may_stay_packed(tmp_path, monkeypatch):
    """Annotations of a training are parsed as a whole, what is scored stays on disk."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"a": list(range(1000))}]))
    monkeypatch.setattr(json_file, "MAX_TEXT", 2000)
    with pytest.raises(DataError, match="more than .* GiB of JSON"):
        load_json(path)
    (entry,) = json_file.load_json_as(path, list[dict[str, msgspec.Raw]])
    assert bytes(entry["a"]) == json.dumps(list(range(1000))).encode()


def test_long_text_is_unzipped_to_a_file(tmp_path, monkeypatch):
    value = [{"a": list(range(1000))}]
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(json.dumps(value).encode()))
    monkeypatch.setattr(json_file, "_MAX_UNZIPPED_IN_MEMORY", 100)
    assert load_json(tmp_path / "x.json.gz") == value
    assert isinstance(json_file._read(tmp_path / "x.json.gz", 10**6), memoryview)
