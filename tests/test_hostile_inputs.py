"""Inputs made to do harm: each ends in one line, in bounded time and memory; what docs/threats.md promises."""

import gzip
import io
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vistrials.commands.display import visible
from vistrials.data.check.dataset import check_dataset
from vistrials.data.convert.labelme import read_labelme
from vistrials.data.convert.mots import read_mots
from vistrials.data.frame_files import FrameFinder
from vistrials.data.frames import read_frame
from vistrials.errors import CheckpointError, DataError, RunError, SpecError, VistrialsError
from vistrials.formats.annotations import build_video_set
from vistrials.formats.files import read_lines
from vistrials.formats.images import MAX_FRAME_PIXELS, read_pixels
from vistrials.formats.json_file import load_json
from vistrials.formats.rle import to_rle
from vistrials.reports.frame_text import escape_latex, escape_markdown, to_csv
from vistrials.runs.recorded_spec import read_recorded_spec
from vistrials.specs.loading import load_trial
from vistrials.specs.yaml_text import parse_yaml
from vistrials.structures.video import Video, VideoSet
from vistrials.weights import files
from vistrials.weights.files import read_checkpoint

THREATS = Path(__file__).parents[1] / "docs" / "threats.md"


@pytest.fixture(autouse=True)
def in_seconds():
    """A test that hangs or computes for long is stopped by the system, not waited for."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def document(**video):
    return {
        "videos": [{"id": 1, "height": 4, "width": 4, "file_names": ["v/0.png"], **video}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [],
    }


def one_line(error):
    text = str(error.value)
    assert text and "\n" not in text and len(text) < 1000
    return text


def huge_png(side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# --- Pictures


@pytest.mark.parametrize(
    "content",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", b"P7 332\n4 4 255\n" + b"\0" * 16, b"<svg/>"],
    ids=["eps", "xv", "svg"],
)
def test_a_frame_of_another_format_is_not_decoded(tmp_path, content):
    (tmp_path / "0.jpg").write_bytes(content)
    with pytest.raises(DataError, match="not a readable image") as error:
        read_pixels(tmp_path / "0.jpg")
    one_line(error)


def test_an_eps_never_reaches_ghostscript_from_data_check(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a program was started"))
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "EPS")
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "0.png").write_bytes(buffer.getvalue())
    (tmp_path / "a.json").write_text(json.dumps(document()))
    kinds = [p.kind for p in check_dataset(tmp_path / "a.json", tmp_path, require_annotations=False).problems]
    assert kinds == ["unreadable frame"]


@pytest.mark.parametrize("size", [None, (4, 4), (13_000, 13_000)])
def test_a_frame_of_13000_by_13000_is_refused_before_it_is_decoded(tmp_path, size):
    (tmp_path / "0.png").write_bytes(huge_png(13_000))
    assert MAX_FRAME_PIXELS < 13_000**2
    with pytest.raises(DataError, match="13000 x 13000") as error:
        read_pixels(tmp_path / "0.png", size)
    assert "cannot be decoded" not in one_line(error) and "truncated" not in one_line(error)


# --- Masks and sizes


@pytest.mark.parametrize("side", [10**400, 0, -1, 1.5, float("nan"), "4", None, True], ids=lambda side: str(side)[:5])
def test_a_width_that_is_none_is_refused(side):
    with pytest.raises(DataError, match="width|pixels; expected at most") as error:
        build_video_set(document(width=side), Path(), "a.json", False)
    one_line(error)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [1 << 15, 1 << 15], "counts": [0, 1 << 30]},
        {"size": [10**400, 1], "counts": "0"},
        {"size": [4, 4], "counts": [16, 10**400]},
        [[0, 0, 1e300, 0, 1e300, 1e300]],
        [[0, 0, float("nan"), 0, 1, 1]],
    ],
    ids=["large", "10^400", "run of 10^400", "far polygon", "nan polygon"],
)
def test_a_mask_beyond_any_frame_is_refused(segmentation):
    with pytest.raises(DataError) as error:
        to_rle(segmentation, 4, 4)
    one_line(error)


def test_the_largest_mask_and_polygons_as_far_as_numbers_go_take_bounded_memory():
    """As much as one frame of the largest size that is accepted, 2^26 pixels, and no more."""
    for segmentation in ({"size": [16384, 16384], "counts": [0, 1 << 28]}, [[0, 0, 1e5, 0, 1e5, 1e5, 0, 1e5]]):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            to_rle(segmentation, 16, 16)
        except DataError as error:
            assert "\n" not in str(error)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


# --- Weights


def zip_bomb(path):
    torch.save({"a": torch.zeros(4)}, path)
    with zipfile.ZipFile(path) as good:
        records = {entry.filename: good.read(entry) for entry in good.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bad:
        for name, content in records.items():
            bad.writestr(name, bytes(1 << 28) if name.endswith("data/0") else content)


def repeated_number(path):
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, path)


@pytest.mark.parametrize("make", [zip_bomb, repeated_number])
def test_weights_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch, make):
    monkeypatch.setattr(files, "_FREE_BYTES", 1 << 27)  # for a bomb that is quickly made
    make(tmp_path / "weights.pt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="would unpack to") as error:
        read_checkpoint(tmp_path / "weights.pt")
    one_line(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


# --- YAML and JSON

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (BOMB, "aliases that stand for"),
        ("a: &a [*a]", "lies in"),
        ("[" * 200_000, "deep"),
        ("{a: " * 200_000, "deep"),
        ("- " * 3000, "deep"),
        ("a: " + "9" * 5000, "digits"),
        ("? [a, b]\n: 1", "no plain value"),
        ("? {a: b}\n: 1", "no plain value"),
        ("a: 2001-13-40", "month"),
        ("a: !!python/object/apply:os.system [ls]", "constructor"),
        ("a: " + "x" * (1 << 20), "characters"),
    ],
    ids=[
        "aliases",
        "circle",
        "brackets",
        "braces",
        "dashes",
        "digits",
        "list key",
        "mapping key",
        "date",
        "tag",
        "size",
    ],
)
def test_yaml_that_explodes_is_refused_from_a_trial_and_from_a_run(tmp_path, text, match):
    with pytest.raises(SpecError, match=match) as error:
        parse_yaml(text, "trial.yaml")
    one_line(error)
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=match):
        load_trial(path)
    with pytest.raises(RunError, match=match):
        read_recorded_spec(path)


def test_yaml_with_a_few_aliases_is_read():
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: &y {d: 1}}", "x") == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[" * 200_000, "deeply|JSON"),
        ('{"a":' * 200_000, "deeply|JSON"),
        ("[" + "9" * 5000 + "]", "digits"),
        ("", "empty"),
        ('{"a": 1', "cut short"),
    ],
    ids=["brackets", "braces", "digits", "empty", "cut"],
)
def test_json_that_explodes_is_refused(tmp_path, text, match):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=match) as error:
        load_json(tmp_path / "a.json")
    one_line(error)


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vistrials.formats.json_file.MAX_TEXT", 1 << 20)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b" " * (8 << 20)))
    with pytest.raises(DataError, match="expected less") as error:
        load_json(tmp_path / "a.json.gz")
    one_line(error)


# --- Names


@pytest.mark.parametrize("name", ["../../x", "a/b", "/etc", "", ".", "..", "a\x1b[2J", "a\n"])
@pytest.mark.parametrize("key", ["name", "profile", "splits"])
def test_a_recorded_name_that_leads_elsewhere_is_refused(tmp_path, key, name):
    plain = {"name": "baseline", "profile": "demo", "splits": "valid"} | {key: name}
    splits = json.dumps([plain["splits"]])
    text = f"name: {json.dumps(plain['name'])}\nprofile: {json.dumps(plain['profile'])}\ndata: {{splits: {splits}}}\n"
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(SpecError):
        load_trial(tmp_path / "spec.yaml")
    with pytest.raises(RunError):
        read_recorded_spec(tmp_path / "spec.yaml")


@pytest.mark.parametrize("name", ["../secret.png", "v/../../secret.png", "..\\secret.png"])
def test_a_frame_name_that_climbs_is_refused(name):
    with pytest.raises(DataError, match="below the folder") as error:
        build_video_set(document(file_names=[name]), Path(), "a.json", False)
    one_line(error)


def test_an_absolute_frame_name_never_leads_out_of_the_folder(tmp_path):
    (tmp_path / "frames").mkdir()
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(secret)
    assert FrameFinder(tmp_path / "frames").find(str(secret)).missing is not None
    assert FrameFinder(tmp_path / "frames").find("../secret.png").missing is not None
    for name in (str(secret), "../secret.png"):
        video = Video(1, 4, 4, (name,), ())
        with pytest.raises(DataError, match="leads out"):
            read_frame(VideoSet((), (video,), tmp_path / "frames"), video, 0)
    # What the user has linked there is the user's own choice.
    (tmp_path / "frames" / "elsewhere").symlink_to(tmp_path)
    video = Video(1, 4, 4, ("elsewhere/secret.png",), ())
    assert read_frame(VideoSet((), (video,), tmp_path / "frames"), video, 0).shape == (3, 4, 4)


def test_an_image_path_of_labelme_never_leads_out_of_the_folder(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (tmp_path / "set" / "labels").mkdir(parents=True)
    label = {"shapes": [], "imagePath": "../../secret.png", "imageHeight": 4, "imageWidth": 4}
    (tmp_path / "set" / "labels" / "0.json").write_text(json.dumps(label))
    with pytest.raises(DataError, match="leads out") as error:
        read_labelme(tmp_path / "set" / "labels")
    one_line(error)


# --- Terminals and exports


def test_what_steers_a_terminal_is_written_out():
    assert visible("a\x1b[2J\x9b1m\x7f\u202eb\ud800") == r"a\x1b[2J\x9b1m\x7f\u202eb\ud800"
    assert visible("Å\t日本\n") == "Å\t日本\n"


@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_names_reach_no_terminal_raw_and_any_terminal_shows_them(tmp_path, locale):
    (tmp_path / "v\x1b[31m.json").write_text("{}")
    command = [sys.executable, "-m", "vistrials", "data", "check", str(tmp_path / "v\x1b[31m é\udcff.json")]
    done = subprocess.run(command, env={**os.environ, **locale}, capture_output=True, timeout=120)
    assert done.returncode == 2
    assert b"\x1b" not in done.stdout + done.stderr and b"Traceback" not in done.stderr
    assert rb"\x1b[31m" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_exports_escape_what_their_readers_interpret():
    pd = pytest.importorskip("pandas")
    cells = ["=cmd()", "+1", "-1", "@x"]
    assert to_csv(pd.DataFrame({"=a": cells})).split("\n")[:-1] == ["'=a", *(f"'{cell}" for cell in cells)]
    assert escape_latex(r"\input{a}_&%") == r"\textbackslash{}input\{a\}\_\&\%"
    assert escape_markdown("a|b`c`<script>\n") == r"a\|b\`c\`&lt;script> "


# --- Files that are none


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may have about 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def read_texts_of_mots(path):
    """As the text of a video, which lists its objects."""
    (path.parent / "instances_txt").mkdir()
    (path.parent / "images" / "v").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(path.parent / "images" / "v" / "0.png")
    path.rename(path.parent / "instances_txt" / "v.txt")
    list(read_mots(path.parent).videos)


def make_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("make", [make_pipe, make_socket, make_device])
@pytest.mark.parametrize(
    "read",
    [read_pixels, load_json, read_checkpoint, load_trial, read_recorded_spec, read_lines, read_texts_of_mots],
)
def test_what_is_no_plain_file_is_refused_rather_than_waited_for(tmp_path, make, read):
    path = tmp_path / "x"
    make(path)
    with pytest.raises(VistrialsError) as error:
        read(path)
    one_line(error)


# --- The table of docs/threats.md


def test_each_row_of_the_table_names_a_test_that_exists():
    rows = [line for line in THREATS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (THREATS.parents[1] / file).read_text(encoding="utf-8"), row
