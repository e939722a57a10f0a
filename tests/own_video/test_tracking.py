"""One's own videos, from the file to overlays, tracks, masks and boxes."""

import csv
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.own_video.conftest import MadeRun
from tests.video_files.made_videos import flip_bytes, make_video
from vistrials.cli import app
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import SilentReporter
from vistrials.evaluation.youtube_vis import evaluate_files
from vistrials.formats.rle import decode
from vistrials.own_video import tracking
from vistrials.own_video.names import name_outputs
from vistrials.own_video.network import Network
from vistrials.own_video.outputs import ShownObject, TrackedFrame, TrackedVideo, TrackRules, open_outputs
from vistrials.own_video.tracking import TrackingSummary, track
from vistrials.reports.painting import colour_of
from vistrials.structures.video import Category
from vistrials.video_files.reading import FrameReader, TimedFrame, VideoInfo, open_frames, read_frames
from vistrials.video_files.sources import find_sources


class HeardReporter(SilentReporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def run_track(
    inputs: list[Path | str], outputs: list[Path], network: Network, reporter: Any = None, **settings: Any
) -> list[TrackingSummary]:
    sources = find_sources(inputs)
    places = name_outputs([str(path) for path in outputs], sources)
    return track(sources, places, network, reporter=reporter or SilentReporter(), **settings)


def without_about(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "about"} for row in rows]


def test_tracks_are_those_of_infer_on_the_same_frames(made_run: MadeRun, network: Network, tmp_path: Path) -> None:
    frames = [made_run.data / "JPEGImages" / str(video_id) for video_id in (7, 3)]
    run_track([*frames], [tmp_path / "t.json"], network, min_score=0)
    for number, video_id in enumerate((7, 3), 1):
        rows = json.loads((tmp_path / f"t-{video_id}.json").read_text())
        expected = [row | {"video_id": number} for row in made_run.predictions if row["video_id"] == video_id]
        assert len(rows) >= 2 and {row["category_id"] for row in rows} <= {5, 9}
        assert without_about(rows) == expected
        about = {key: rows[0]["about"][key] for key in ("video", "height", "width", "num_frames")}
        assert about == {"video": str(video_id), "height": 48, "width": 64, "num_frames": 3}


def test_a_predictions_file_holds_tracks_by_their_mean_score(
    made_run: MadeRun, network: Network, tmp_path: Path
) -> None:
    frames = made_run.data / "JPEGImages" / "7"
    expected = [row for row in made_run.predictions if row["video_id"] == 7]
    scores = sorted(row["score"] for row in expected)
    limit = scores[len(scores) // 2]
    assert scores[0] < limit
    run_track([frames], [tmp_path / "t.json"], network, min_score=limit)
    rows = json.loads((tmp_path / "t.json").read_text())
    assert without_about(rows) == [row | {"video_id": 1} for row in expected if row["score"] >= limit]


def test_all_outputs_show_the_same_objects(made_run: MadeRun, network: Network, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("o.mp4", "t.json", "b.csv", "masks")]
    [summary] = run_track([made_run.data / "JPEGImages" / "7"], outputs, network, min_score=0)
    rows = json.loads(outputs[1].read_text())
    by_number = {row["about"]["object"]: row for row in rows}
    assert summary.num_objects == len(rows) == len(by_number)
    with open(outputs[2], newline="") as file:
        boxes = list(csv.DictReader(file))
    assert {int(box["object"]) for box in boxes} == set(by_number)
    for number, row in by_number.items():
        seen = [int(box["frame"]) for box in boxes if int(box["object"]) == number]
        assert seen == [frame for frame, mask in enumerate(row["segmentations"]) if mask is not None]
    assert boxes[0]["time_s"] == "0.000000" and boxes[-1]["time_s"] == f"{2 / 24:.6f}"
    assert sorted(path.name for path in outputs[3].iterdir()) == ["00000.png", "00001.png", "00002.png"]
    for frame in range(3):
        image = Image.open(outputs[3] / f"{frame:05d}.png")
        assert image.mode == "P" and image.size == (64, 48)
        values = np.asarray(image)
        covered = np.zeros((48, 64), bool)
        for number, row in by_number.items():
            if row["segmentations"][frame] is None:
                assert not (values == number).any()
            else:
                mask = decode(row["segmentations"][frame]) > 0
                covered |= mask
                assert mask[values == number].all()
        assert ((values > 0) == covered).all()
    overlay = list(read_frames(outputs[0]))
    assert len(overlay) == 3
    # 64 pixels are enlarged by a whole factor to 320.
    assert overlay[0].pixels.shape == (240, 320, 3)


def test_a_predictions_file_can_be_scored(made_run: MadeRun, network: Network, tmp_path: Path) -> None:
    run_track([made_run.data / "JPEGImages" / "7"], [tmp_path / "t.json"], network, min_score=0)
    truth = json.loads((made_run.data / "valid.json").read_text())
    truth["videos"] = [video | {"id": 1} for video in truth["videos"] if video["id"] == 7]
    truth["annotations"] = [track | {"video_id": 1} for track in truth["annotations"] if track["video_id"] == 7]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    assert 0 <= evaluate_files(tmp_path / "gt.json", tmp_path / "t.json").figures["AP"] <= 1


def test_an_overlay_has_the_times_of_its_video(network: Network, tmp_path: Path) -> None:
    ticks = [0, 100, 150, 400]
    video = make_video(tmp_path / "v.mp4", ticks=ticks, time_base=Fraction(1, 1000))
    run_track([video], [tmp_path / "o.mp4"], network)
    with open_frames(video) as reader, open_frames(tmp_path / "o.mp4") as overlay:
        assert [time for time, _ in overlay] == pytest.approx([time for time, _ in reader])
        assert overlay.end_s == pytest.approx(reader.end_s)


def test_masks_keep_an_odd_size(network: Network, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.new("RGB", (95, 63), (number, 90, 0)).save(tmp_path / "frames" / f"{number}.png")
    run_track([tmp_path / "frames"], [tmp_path / "t.json", tmp_path / "o.mp4", tmp_path / "m"], network, min_score=0)
    rows = json.loads((tmp_path / "t.json").read_text())
    assert {tuple(mask["size"]) for row in rows for mask in row["segmentations"] if mask} == {(63, 95)}
    assert Image.open(tmp_path / "m" / "00001.png").size == (95, 63)
    assert next(read_frames(tmp_path / "o.mp4")).pixels.shape == (252, 380, 3)


def test_a_phone_s_video_is_tracked_upright(network: Network, tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 2, rotation=90)
    run_track([video], [tmp_path / "m"], network, min_score=0)
    assert Image.open(tmp_path / "m" / "00000.png").size == (64, 96)


def test_damaged_frames_are_said_and_counted_as_frames(network: Network, tmp_path: Path) -> None:
    video = flip_bytes(make_video(tmp_path / "v.webm", 8, codec="libvpx-vp9"), [2])
    reporter = HeardReporter()
    [summary] = run_track([video], [tmp_path / "m", tmp_path / "o.mp4"], network, reporter, min_score=0)
    assert summary.num_frames == 8 and len(list((tmp_path / "m").iterdir())) == 8
    assert len(list(read_frames(tmp_path / "o.mp4"))) == 8
    # Those after it, up to the next key frame, refer to it.
    assert any(re.search(r"v.webm: [1-6] of 8 frames are damaged; ", line) for line in reporter.warnings)


def test_nothing_to_see_is_said(network: Network, tmp_path: Path) -> None:
    reporter = HeardReporter()
    run_track([make_video(tmp_path / "v.mp4", 2)], [tmp_path / "t.json"], network, reporter, min_score=1.0)
    assert json.loads((tmp_path / "t.json").read_text()) == []
    [line] = reporter.warnings
    assert line.startswith(f"{tmp_path / 'v.mp4'}: no object has a score of 1 in any frame, the highest is 0.")


# --- Interrupts


OUTPUTS = ("o.mp4", "t.json", "b.csv", "m")


def check_finished(folder: Path, num_frames: int) -> None:
    assert len(list(read_frames(folder / "o.mp4"))) == num_frames
    rows = json.loads((folder / "t.json").read_text())
    assert rows and all(len(row["segmentations"]) == num_frames for row in rows)
    assert len(list((folder / "m").iterdir())) == num_frames
    assert (folder / "b.csv").read_text().startswith("frame,time_s,object,")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_an_interrupt_while_frames_are_read_leaves_whole_files(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(reader: FrameReader) -> Iterator[TimedFrame]:
        for number, frame in enumerate(read(reader)):
            if number == 3:
                raise KeyboardInterrupt
            yield frame

    read = FrameReader.__iter__
    monkeypatch.setattr(FrameReader, "__iter__", interrupted)
    video = make_video(tmp_path / "v.mp4", 6)
    with pytest.raises(BaseException, match=r"stopped after 3 frames of .*v.mp4, which are in .*o.mp4") as stopped:
        run_track([video], [tmp_path / name for name in OUTPUTS], network, min_score=0)
    assert stopped.type is Interrupted  # a KeyboardInterrupt that gets through would stop the tests instead
    monkeypatch.undo()
    check_finished(tmp_path, 3)


def test_ctrl_c_ends_at_the_next_frame_and_begins_no_other_video(network: Network, tmp_path: Path) -> None:
    class Impatient(SilentReporter):
        frames = 0

        def advance(self, steps: int = 1, **values: float) -> None:
            self.frames += steps
            if self.frames == 2:
                os.kill(os.getpid(), signal.SIGINT)

    videos: list[Path | str] = [make_video(tmp_path / name, 5) for name in ("a.mp4", "b.mp4")]
    out = tmp_path / "out"
    with pytest.raises(Interrupted, match=r"stopped after 2 frames of .*a.mp4.*; 1 more were not begun"):
        run_track(videos, [out / name for name in ("o.mp4", "t.json")], network, Impatient(), min_score=0)
    assert sorted(path.name for path in out.iterdir()) == ["o-a.mp4", "t-a.json"]
    assert len(list(read_frames(out / "o-a.mp4"))) == 2


def test_a_crash_leaves_what_was_there(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").mkdir()
    before = {tmp_path / "o.mp4": b"old video", tmp_path / "t.json": b"[]", tmp_path / "m" / "00000.png": b"old mask"}
    for path, content in before.items():
        path.write_bytes(content)

    def broken(*arguments: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tracking, "_show", broken)
    with pytest.raises(OSError, match="no space left"):
        run_track([make_video(tmp_path / "v.mp4", 2)], [tmp_path / name for name in ("o.mp4", "t.json", "m")], network)
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "o.mp4", "t.json", "v.mp4"]


# --- Single outputs


def shown(number: int, score: float, mask: np.ndarray) -> ShownObject:
    return ShownObject(number, Category(1, "thing"), score, (0, 0, 9, 4), mask, False)


def save(tmp_path: Path, name: str, objects: list[ShownObject]) -> Path:
    pixels = np.zeros((8, 10, 3), np.uint8)
    video = TrackedVideo(VideoInfo("v", 8, 10, Fraction(10), Fraction(1, 10), 1), 1)
    [places] = name_outputs([str(tmp_path / name)], find_sources(["0"]))
    with open_outputs(places, video, TrackRules(0, 1, [Category(1, "thing")])) as add:
        add(TrackedFrame(0, 0.0, pixels, {}, objects))
        video.num_frames, video.end_s = 1, 0.1
    return tmp_path / name


def test_in_masks_the_surest_is_in_front_and_colours_are_those_of_overlays(tmp_path: Path) -> None:
    left, right = np.zeros((8, 10), bool), np.zeros((8, 10), bool)
    left[:, :6], right[:, 4:] = True, True
    folder = save(tmp_path, "m", [shown(1, 0.5, left), shown(2, 0.9, right), shown(255, 0.99, ~left & ~right | left)])
    image = Image.open(folder / "00000.png")
    # Object 255 is left out: the number belongs to no object in DAVIS.
    assert np.asarray(image)[0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    palette = image.getpalette()
    assert palette is not None
    assert (tuple(palette[:3]), tuple(palette[3:6]), tuple(palette[6:9])) == ((0, 0, 0), colour_of(0), colour_of(1))


def test_boxes_are_corner_and_size(tmp_path: Path) -> None:
    path = save(tmp_path, "b.csv", [shown(3, 0.51239, np.zeros((8, 10), bool))])
    assert path.read_text().splitlines()[1] == "0,0.000000,3,thing,0.5124,0.00,0.00,10.00,5.00,0"


# --- The command


def vistrials(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["track", *map(str, arguments)], input=stdin)


def test_the_command_reads_a_stream(made_run: MadeRun, tmp_path: Path) -> None:
    content = make_video(tmp_path / "v.webm", 3, codec="libvpx-vp9").read_bytes()
    out = tmp_path / "t.json"
    result = vistrials("-", "-o", out, "--weights", made_run.directory.weights, "--device", "cpu", stdin=content)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()
    assert first.startswith("stdin: 3 frames, ") and first.endswith(" frames per second")
    assert second == str(out)


def test_the_command_keeps_files_and_counts_frames(made_run: MadeRun, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    shutil.copytree(made_run.data / "JPEGImages" / "3", frames)
    out = tmp_path / "o.mp4"
    common = (f"{frames}/*.png", "-o", out, "--run", made_run.directory.path, "--device", "cpu")
    result = vistrials(*common, "--fps", "12.5", "--max-frames", "2")
    assert result.exit_code == 0, result.output
    with open_frames(out) as reader:
        assert [time for time, _ in reader] == pytest.approx([0, 0.08])
    before = out.read_bytes()
    result = vistrials(*common)
    assert result.exit_code == 2 and out.read_bytes() == before
    assert result.stderr == f"error: {out}: there already; replace with --force, or name another file\n"
    assert vistrials(*common, "--force").exit_code == 0
    assert len(list(read_frames(out))) == 3
    # What cannot be written is said before any frame is read.
    for name in ("o.mp4/b.json", "o.mp4/masks/"):
        result = vistrials(f"{frames}/*.png", "-o", f"{tmp_path}/{name}", "--run", made_run.directory.path)
        assert result.exit_code == 2 and "cannot be a folder to write to" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("v.mp4", "-o", "o.avi", "--run", "r"), "--out o.avi: cannot be told what to write"),
        (("v.mp4", "-o", "o.mp4"), "expected --run RUN .* or --weights FILE, found neither"),
        (("v.mp4", "-o", "o.mp4", "--run", "r", "--weights", "w"), "found both"),
        (("v.mp4", "-o", "o.mp4", "--weights", "w", "--fps", "5"), "--fps: expected only with images"),
        (("v.mp4", "-o", "o.mp4", "--run", "r", "--trial", "t"), "--trial: expected only with --weights"),
        (("v.mp4", "-o", "v.mp4", "--force", "--run", "r"), "v.mp4: is an input"),
        (("absent.mp4", "-o", "o.mp4", "--run", "r"), "absent.mp4: no such file or folder"),
        (("v.mp4", "-o", "o.mp4", "--weights", "w.safetensors"), "w.safetensors: no such file"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("v.mp4").touch()
    result = vistrials(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr), result.stderr
