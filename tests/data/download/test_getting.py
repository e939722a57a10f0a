import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.data.builders import make_document, make_track, make_video
from tests.data.convert.other_forms import drawn, write_frame, write_values
from tests.data.download.serving import Site, serve
from tests.data.download.test_unpacking import write_zip
from vistrials.cli import app
from vistrials.data.download import catalogue, getting
from vistrials.formats.annotations import load_video_set
from vistrials.formats.files import sha256_of


def vistrials(*arguments: str | Path, **kwargs: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments], **kwargs)


def zipped(folder: Path, path: Path, inside: str = "") -> Path:
    files = {f"{inside}{p.relative_to(folder)}": p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return write_zip(path, files)


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """An archive in the layout of DAVIS: three videos, one of them of `val`."""
    root = tmp_path / "drawn"
    for seed, name in enumerate(("bear", "boat", "camel")):
        for frame in range(3):
            write_frame(root / "JPEGImages/480p" / name / f"{frame:05d}.jpg", seed=10 * seed + frame)
            values = drawn((1, 2 + frame, 3, 10, 8), (2, 20, 5 + frame, 6, 12))
            write_values(root / "Annotations/480p" / name / f"{frame:05d}.png", values, palette=True)
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/train.txt").write_text("bear\nboat\n")
    (root / "ImageSets/2017/val.txt").write_text("camel\n")
    return zipped(root, tmp_path / "davis.zip", "DAVIS/")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch):
    """Changes what is known of davis2017."""

    def change(**fields: object) -> None:
        davis = catalogue.find_set("davis2017")
        own = {name: getattr(davis, name) for name in davis.__slots__} | fields
        monkeypatch.setattr(catalogue, "SETS", (catalogue.PublicSet(**own),))

    return change


def test_without_a_name_the_sets_are_listed_with_licence_size_and_address():
    listed = " ".join(vistrials("data", "get").stdout.split())
    for one in catalogue.SETS:
        assert one.name in listed and (one.address or one.home) in listed
    assert (
        "0.83 GB CC BY-NC 4.0 https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip" in listed
    )


def test_every_set_has_an_address_or_says_how_to_get_one():
    for one in catalogue.SETS:
        assert (one.address is None) == bool(one.how)
        assert one.sha256 is None or len(bytes.fromhex(one.sha256)) == 32
        if one.address is None:
            refused = vistrials("data", "get", one.name, "--yes")
            assert refused.exit_code == 2 and refused.stderr.count("\n") == 1 and "--from" in refused.stderr
    assert "expected one of davis2017, ovis" in vistrials("data", "get", "davis").stderr


def test_davis_becomes_a_sound_data_set(davis, known, tmp_path):
    out = tmp_path / "new" / "davis"
    with serve(Site(davis.read_bytes(), breaks_after=[1000])) as site:
        known(address=site.address, size=len(site.body), sha256=sha256_of(davis))
        done = vistrials("data", "get", "davis2017", "-o", out, "--yes")
    assert done.exit_code == 0, done.output
    assert site.ranges == [None, "bytes=1000-"]
    assert "licence: CC BY-NC 4.0; read README.md in the archive" in done.stderr
    assert f"sha256 {sha256_of(davis)} (as expected)" in done.stderr
    assert "train.json: 2 videos, 6 frames (6 files read), 1 categories, 4 tracks, 12 masks" in done.stdout
    assert "valid.json: 1 videos, 3 frames (3 files read), 1 categories, 2 tracks, 6 masks" in done.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ["davis"]
    again = vistrials("data", "get", "davis2017", "-o", out, "--yes")
    assert again.exit_code == 2 and "there already" in again.stderr and (out / "train.json").is_file()


def test_the_licence_is_shown_and_must_be_accepted(davis, tmp_path, monkeypatch):
    arguments = ("data", "get", "davis2017", "-o", tmp_path / "out", "--from", davis)
    nobody = vistrials(*arguments)
    assert nobody.exit_code == 2 and "CC BY-NC 4.0" in nobody.stderr and "accept it with --yes" in nobody.stderr
    monkeypatch.setattr("vistrials.commands.more_data._is_asked_at_a_terminal", lambda: True)
    refused = vistrials(*arguments, input="n\n")
    assert refused.exit_code == 2 and "was not accepted" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["davis.zip", "drawn"]
    assert vistrials(*arguments, input="y\n").exit_code == 0


@pytest.mark.parametrize("form", ["path", "file"])
def test_a_file_of_ones_own_is_taken_where_it_lies(davis, tmp_path, form):
    given = davis if form == "path" else davis.as_uri()
    done = vistrials("data", "get", "davis2017", "-o", tmp_path / "out", "--yes", "--from", given)
    assert done.exit_code == 0 and davis.is_file()
    assert f"davis.zip: sha256 {sha256_of(davis)} (other than the recorded file's)" in done.stderr
    wrong = vistrials("data", "get", "davis2017", "-o", tmp_path / "b", "--yes", "--from", given, "--sha256", "0" * 64)
    assert wrong.exit_code == 2 and f"found {sha256_of(davis)}" in wrong.stderr and davis.is_file()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ftp://there/a.zip", "expected an address of http, https or file, or a path, found ftp"),
        ("nothing.zip", "no such file"),
        (".", "a folder; expected an archive"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, given, message):
    done = vistrials("data", "get", "davis2017", "-o", tmp_path / "out", "--yes", "--from", given)
    assert done.exit_code == 2 and message in done.stderr and not list(tmp_path.iterdir())


def test_another_file_than_expected_is_removed_and_asked_for_again(davis, known, tmp_path):
    with serve(Site(b"PK something else")) as site:
        known(address=site.address, sha256=sha256_of(davis))
        arguments = ("data", "get", "davis2017", "-o", tmp_path / "out", "--yes")
        wrong = vistrials(*arguments)
        assert wrong.exit_code == 2 and f"expected sha256 {sha256_of(davis)}, found " in wrong.stderr
        assert not (tmp_path / "out").exists()
        site.body, site.etag = davis.read_bytes(), '"two"'
        assert vistrials(*arguments).exit_code == 0
    assert site.ranges == [None, None]


def test_a_damaged_archive_without_a_digest_is_not_kept(davis, known, tmp_path):
    content = davis.read_bytes()
    with serve(Site(content[:-100])) as site:
        known(address=site.address, sha256=None)
        arguments = ("data", "get", "davis2017", "-o", tmp_path / "out", "--yes")
        wrong = vistrials(*arguments)
        assert wrong.exit_code == 2 and "download it again" in wrong.stderr
        site.body, site.etag = content, '"two"'
        done = vistrials(*arguments)
        assert done.exit_code == 0 and "(none on record to compare with)" in done.stderr


def test_a_short_disk_is_said_before_anything_is_asked(known, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
    done = vistrials("data", "get", "davis2017", "-o", tmp_path / "out", "--yes")
    assert done.exit_code == 2 and "1.83 GB of disk needed, 1.00 GB free" in done.stderr
    with serve(Site(b"x" * 10**6)) as site:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2 * 10**6))
        own = vistrials("data", "get", "davis2017", "-o", tmp_path / "out", "--yes", "--from", site.address)
    assert own.exit_code == 2 and "2.2 MB of disk needed, 2.0 MB free" in own.stderr
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("stage", ["unpack", "arrange_davis", "_split_if_needed"])
def test_an_interruption_at_any_stage_is_continued(davis, tmp_path, monkeypatch, stage):
    original = getattr(getting, stage)

    def interrupted(*arguments: object, **named: object) -> object:
        original(*arguments, **named)
        raise KeyboardInterrupt

    with serve(Site(davis.read_bytes())) as site:
        arguments = ("data", "get", "davis2017", "-o", tmp_path / "out", "--yes", "--from", site.address)
        with monkeypatch.context() as patched:
            patched.setattr(getting, stage, interrupted)
            stopped = vistrials(*arguments)
        assert stopped.exit_code == 130 and "the same command continues" in stopped.stderr
        assert not (tmp_path / "out").exists()
        assert vistrials(*arguments).exit_code == 0
    assert site.ranges == [None]  # downloaded once
    assert not (tmp_path / "out.partial").exists()
    assert len(load_video_set(tmp_path / "out/train.json", tmp_path).videos) == 2


def test_an_interruption_while_files_are_moved_is_continued(tmp_path, monkeypatch):
    write_split(tmp_path / "a", "train", "train.json", 1, 2)
    archive = zipped(tmp_path / "a", tmp_path / "a.zip")
    arguments = ("data", "get", "ovis", "-o", tmp_path / "out", "--yes", "--from", archive)

    def interrupted(unpacked: Path, out: Path) -> None:
        (unpacked / "train").rename(tmp_path / "gone")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(getting, "arrange_youtube_vis", interrupted)
        assert vistrials(*arguments).exit_code == 130
    assert vistrials(*arguments).exit_code == 0
    assert len(list((tmp_path / "out/train/JPEGImages").rglob("*.png"))) == 4


def test_what_is_there_needs_no_room_again(davis, tmp_path):
    source = getting.Source(None, davis)
    whole = getting.bytes_needed(catalogue.SETS[0], [source], tmp_path / "out")
    assert whole == round(1.2 * davis.stat().st_size)
    (tmp_path / "out.partial/unpacked").mkdir(parents=True)
    (tmp_path / "out.partial/unpacked/a").write_bytes(bytes(1000))
    assert getting.bytes_needed(catalogue.SETS[0], [source], tmp_path / "out") == whole - 1000


def test_two_calls_at_once_do_not_disturb_each_other(davis, tmp_path):
    from filelock import FileLock

    (tmp_path / "out.partial").mkdir()
    with FileLock(tmp_path / "out.partial" / ".lock"):
        done = vistrials("data", "get", "davis2017", "-o", tmp_path / "out", "--yes", "--from", davis)
    assert done.exit_code == 2 and "another `data get` is at work" in done.stderr


# --- Sets in YouTube-VIS form, in the layouts of their publishers


def write_split(folder: Path, frames: str, json_path: str, first_id: int, num_videos: int, tracks: bool = True) -> None:
    """Videos of two frames and a track each, frames below `frames`, annotations in `json_path`."""
    size = (24, 32)
    videos = [make_video(first_id + number, 2, size) for number in range(num_videos)]
    annotations = [make_track(v["id"], v["id"], 7, [(2, 3, 9, 8), (4, 3, 9, 8)], size) for v in videos]
    for video in videos:
        for name in video["file_names"]:
            (folder / frames / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((*size, 3), video["id"], np.uint8)).save(folder / frames / name)
    document = make_document(videos, annotations if tracks else [])
    if not tracks:
        del document["annotations"]
    (folder / json_path).parent.mkdir(parents=True, exist_ok=True)
    (folder / json_path).write_text(json.dumps(document))


LAYOUTS = {
    # name of the set: frames and annotations of train, of valid, and where annotations are a file of their own.
    "youtube_vis_2021": ("train/JPEGImages", "train/instances.json", "valid/JPEGImages", "valid/instances.json"),
    "youtube_vis_2019": ("train/JPEGImages", "train.json", "valid/JPEGImages", "valid.json"),
    "ovis": ("train", "annotations_train.json", "valid", "annotations_valid.json"),
    "lvvis": ("JPEGImages/train", "train_instances.json", "JPEGImages/val", "val_instances.json"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_frames_and_annotations_are_found_in_every_layout(tmp_path, name):
    train_frames, train_json, valid_frames, valid_json = LAYOUTS[name]
    write_split(tmp_path / "a", train_frames, train_json, 1, 12)
    write_split(tmp_path / "b", valid_frames, valid_json, 101, 2, tracks=False)
    write_split(tmp_path / "b", "test/JPEGImages", "test.json", 201, 1, tracks=False)
    sources = []
    for folder, annotations in (("a", train_json), ("b", valid_json)):
        if "/" not in annotations:
            sources.append((tmp_path / folder / annotations).rename(tmp_path / annotations))
        sources.append(zipped(tmp_path / folder, tmp_path / f"{folder}.zip"))
    given = [part for source in sources for part in ("--from", source)]
    done = vistrials("data", "get", name, "-o", tmp_path / "out", "--yes", *given)
    assert done.exit_code == 0, done.output
    # Nothing of valid is annotated: a tenth of train is scored on.
    assert "minitrain.json: 11 videos, 22 frames (22 files read), 3 categories, 11 tracks, 22 masks" in done.stdout
    assert "minival.json: 1 videos, 2 frames (2 files read)" in done.stdout
    assert "from now on train on minitrain.json (not train.json)" in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        *("minitrain.json", "minival.json", "train", "train.json", "valid", "valid.json")
    ]
    assert len(list((tmp_path / "out/valid/JPEGImages").rglob("*.png"))) == 4
    for profile in ("youtube_vis_2021", "ovis"):
        assert vistrials("data", "check", tmp_path / "out", "--profile", profile).exit_code == 0


def test_annotated_validation_videos_are_scored_on(tmp_path):
    write_split(tmp_path / "a", "train", "train.json", 1, 2)
    write_split(tmp_path / "a", "val", "val.json", 101, 1)
    archive = zipped(tmp_path / "a", tmp_path / "a.zip")
    done = vistrials("data", "get", "lvvis", "-o", tmp_path / "out", "--yes", "--from", archive)
    assert done.exit_code == 0 and "valid.json: 1 videos" in done.stdout
    assert not (tmp_path / "out" / "minival.json").exists()


def test_splits_may_share_a_folder_of_frames(tmp_path):
    write_split(tmp_path / "a", "frames", "train.json", 1, 2)
    write_split(tmp_path / "a", "frames", "valid.json", 101, 1)
    archive = zipped(tmp_path / "a", tmp_path / "a.zip", "top/")
    done = vistrials("data", "get", "ovis", "-o", tmp_path / "out", "--yes", "--from", archive)
    assert done.exit_code == 0 and len(list((tmp_path / "out/JPEGImages").iterdir())) == 3


def test_what_is_missing_or_ambiguous_is_named(tmp_path):
    write_split(tmp_path / "a", "train", "train.json", 1, 2)
    only_frames = tmp_path / "frames.zip"
    annotations = (tmp_path / "a" / "train.json").rename(tmp_path / "train.json")
    zipped(tmp_path / "a", only_frames)

    def refused(message: str, *sources: Path) -> None:
        given = [part for source in sources for part in ("--from", source)]
        done = vistrials("data", "get", "ovis", "-o", tmp_path / "out", "--yes", *given)
        assert done.exit_code == 2 and message in done.stderr, done.output
        assert done.stderr.splitlines()[-1].startswith("error: ") and not (tmp_path / "out").exists()

    refused("expected annotations to train on", only_frames)
    refused("its frame 1/00000.png came with no archive", annotations)
    other = tmp_path / "train_2.json"
    shutil.copyfile(annotations, other)
    refused("train_2.json and train.json are both annotations of split train", only_frames, annotations, other)
    done = vistrials(
        "data", "get", "ovis", "-o", tmp_path / "out", "--yes", "--from", only_frames, "--from", annotations
    )
    assert done.exit_code == 0, done.output


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_an_archive_with_a_link_leaves_nothing(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"train/a": b"x", "link": b"/etc"}, {"link": 0o120000})
    done = vistrials("data", "get", "ovis", "-o", tmp_path / "out", "--yes", "--from", archive)
    assert done.exit_code == 2 and "'link' is a link or a device" in done.stderr and not (tmp_path / "out").exists()
