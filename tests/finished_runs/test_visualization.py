"""Film strips of a run: what is read, what is chosen, what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.engine.tiny_videos import HEIGHT, NUM_FRAMES, WIDTH
from tests.finished_runs.made_runs import make_run
from vistrials.cli import app
from vistrials.errors import DataError, RunError, SpecError
from vistrials.finished_runs import visualization
from vistrials.formats.rle import encode
from vistrials.reports.film_strip import StripRow
from vistrials.reports.painting import PALETTE
from vistrials.runs.directory import RunDirectory
from vistrials.video_files.reading import read_frames

MASK = np.zeros((HEIGHT, WIDTH), np.uint8)
MASK[10:20, 10:30] = 1


def predicted(video_id: int, category_id: int, score: float, masks: Sequence[Any] | None = None) -> dict:
    segmentations = [encode(MASK)] * NUM_FRAMES if masks is None else masks
    return {"video_id": video_id, "category_id": category_id, "score": score, "segmentations": segmentations}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[np.ndarray], list[StripRow], list[int]]]:
    """What is handed over to be drawn."""
    calls = []

    def render(images: Any, rows: Any, numbers: Any) -> np.ndarray:
        calls.append((images, rows, numbers))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(visualization, "render_film_strip", render)
    return calls


def test_the_rows_say_what_annotations_and_predictions_say(tmp_path: Path, drawn: list) -> None:
    masks = [None, encode(MASK), None]
    rows = [predicted(3, 5, 0.4), predicted(7, 5, 0.9), predicted(3, 9, 0.8, masks), predicted(3, 9, 0.29)]
    directory = make_run(tmp_path, rows, annotated=True)
    visualization.visualize(directory.path, tmp_path / "strip.png", video_id=3, frames=[1, 2])
    images, (truth, found), numbers = drawn[0]
    assert numbers == [1, 2]
    for image, number in zip(images, numbers, strict=True):
        file = tmp_path / "data" / "JPEGImages" / "3" / f"{number}.png"
        np.testing.assert_array_equal(image, np.asarray(Image.open(file)))
    assert (truth.title, found.title) == ("ground truth", "baseline (seed 4), scores from 0.3")
    for objects in truth.objects:
        assert [(o.track, o.label, o.score) for o in objects] == [(0, "five", None), (1, "nine", None)]
        # The polygons' boxes: x is the category, y 4, 20 x 24 pixels.
        for number, x in ((0, 5), (1, 9)):
            expected = np.zeros((HEIGHT, WIDTH), bool)
            expected[4:28, x : x + 20] = True
            np.testing.assert_array_equal(objects[number].mask, expected)
    # The best track comes first; the one below 0.3 and the other video's are left out.
    assert [[(o.track, o.label, o.score) for o in objects] for objects in found.objects] == [
        [(0, "nine", 0.8), (1, "five", 0.4)],
        [(1, "five", 0.4)],
    ]
    assert found.objects[0][0].mask.dtype == bool
    np.testing.assert_array_equal(found.objects[0][0].mask, MASK > 0)


def test_defaults_the_first_of_the_fullest_videos_and_its_frames(
    tmp_path: Path, drawn: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = make_run(tmp_path, [], annotated=True)
    assert visualization.visualize(directory.path) == Path("demo-baseline-seed4-valid-video3.png")
    assert Path("demo-baseline-seed4-valid-video3.png").is_file()
    assert drawn[0][2] == [0, 1, 2]


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (9, [0, 1, 2])])
def test_frames_are_spread_evenly(tmp_path: Path, drawn: list, count: int, expected: list[int]) -> None:
    visualization.visualize(make_run(tmp_path, [], annotated=True).path, tmp_path / "strip.png", frames=count)
    assert drawn[0][2] == expected


def test_without_annotations_there_is_no_row_of_ground_truth(tmp_path: Path, drawn: list) -> None:
    directory = make_run(tmp_path, [predicted(3, 5, 0.9)], annotated=False)
    visualization.visualize(directory.path, tmp_path / "strip.png", min_score=0)
    assert [row.title for row in drawn[0][1]] == ["baseline (seed 4)"]


def test_what_is_asked_for_must_exist(tmp_path: Path) -> None:
    run = make_run(tmp_path, [], annotated=True).path
    with pytest.raises(SpecError, match=r"split valid has no video 4; its 2 videos have ids from 3 to 7$"):
        visualization.visualize(run, video_id=4)
    with pytest.raises(SpecError, match=r"video 3 has no frame 3; its frames are 0 to 2$"):
        visualization.visualize(run, frames=[0, 3])
    with pytest.raises(SpecError, match=r"no split 'minival'; it has valid$"):
        visualization.visualize(run, split="minival")


def test_runs_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no predictions of split valid here; `vistrials run"):
        visualization.visualize(make_run(tmp_path, None, annotated=True).path)
    with pytest.raises(RunError, match=r"no run here \(there is no spec.yaml\)"):
        visualization.visualize(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([predicted(4, 5, 0.9)], r"video_id"),
        ([predicted(3, 5, 0.9, [None])], r"predictions\[0\]: expected 3 segmentations, one per frame of video 3"),
        (
            [predicted(3, 5, 0.9, [encode(MASK[1:])] * NUM_FRAMES)],
            r"baseline \(seed 4\), scores from 0.3: video 3, frame 0: a mask of 47 x 64",
        ),
    ],
)
def test_predictions_that_do_not_fit_the_data(tmp_path: Path, rows: list[dict], message: str) -> None:
    with pytest.raises(DataError, match=message):
        visualization.visualize(make_run(tmp_path, rows, annotated=True).path)


def test_a_missing_frame(tmp_path: Path) -> None:
    run = make_run(tmp_path, [], annotated=True).path
    (tmp_path / "data" / "JPEGImages" / "3" / "1.png").unlink()
    with pytest.raises(DataError, match=r"video 3, frame 1: .*1.png: no such frame"):
        visualization.visualize(run)


def test_a_folder_under_other_names_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, [], annotated=True).path
    for name in ("seed5x", "moved"):
        moved = run.rename(run.with_name(name))
        with pytest.raises(RunError, match=r"expected a folder demo/baseline/seed<N>"):
            RunDirectory.open(moved)
        run = moved
    (run / "spec.yaml").write_text("name: 3")
    with pytest.raises(RunError, match=r"another version or damaged"):
        RunDirectory.open(run)


# --- The command


def visualize(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["visualize", *map(str, arguments)])


def test_the_command_by_folder_and_by_name(tmp_path: Path) -> None:
    directory = make_run(tmp_path, [predicted(7, 5, 0.9)], annotated=True)
    first, second = tmp_path / "new" / "first.png", tmp_path / "second.png"
    result = visualize(directory.path, "--video", "7", "--at", "2,0", "-o", first)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{first}\n", "")
    result = visualize(
        "baseline", "--results", tmp_path / "results", "--seed", "4", "--video", "7", "--frames", "2", "-o", second
    )
    assert (result.exit_code, result.stdout) == (0, f"{second}\n")
    # 64 x 48 is drawn five times as large; two columns, two rows, 22 pixels for each title and the numbers.
    sizes = [Image.open(path).size for path in (first, second)]
    assert sizes == [(2 * 320 + 4, 2 * (22 + 240) + 22)] * 2
    assert first.read_bytes() != second.read_bytes()
    before = second.read_bytes()
    result = visualize(directory.path, "--video", "7", "--at", "2,0", "-o", second)
    assert result.exit_code == 2 and second.read_bytes() == before
    assert result.stderr == f"error: {second}: there already; replace with --force, or name another file\n"
    result = visualize(directory.path, "--video", "7", "--at", "2,0", "-o", second, "--force")
    assert result.exit_code == 0 and second.read_bytes() == first.read_bytes()


def test_a_whole_video_as_mp4_and_gif(tmp_path: Path) -> None:
    # In the last frame it covers no object any more, but keeps its colour.
    elsewhere = np.roll(MASK, (26, 30), axis=(0, 1))
    masks = [encode(MASK), None, encode(elsewhere)]
    directory = make_run(tmp_path, [predicted(7, 5, 0.9, masks)], annotated=True)
    for name in ("v.mp4", "v.gif"):
        result = visualize(directory.path, "--video", "7", "--fps", "4", "-o", tmp_path / name)
        assert (result.exit_code, result.stdout) == (0, f"{tmp_path / name}\n"), result.output
        frames = list(read_frames(tmp_path / name))
        assert [time for time, _ in frames] == pytest.approx([0, 0.25, 0.5], abs=0.01)
        # As a film strip of one frame: a column of 320, two rows of 240 and three bands of 22 pixels.
        assert {pixels.shape for _, pixels in frames} == {(2 * (22 + 240) + 22, 320, 3)}
        orange = [(np.abs(pixels[307:].astype(int) - PALETTE[1]) < 15).all(axis=2).sum() for _, pixels in frames]
        # Label and outline have the colour of the true object that is covered best; noise has a few pixels of any.
        assert min(orange[0], orange[2]) > orange[1] + 300, orange


def test_a_film_strip_as_pdf(tmp_path: Path) -> None:
    directory = make_run(tmp_path, [], annotated=True)
    assert visualize(directory.path, "-o", tmp_path / "s.pdf").exit_code == 0
    assert (tmp_path / "s.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "v.avi"), "--out v.avi: cannot be told what to draw; expected .png or .pdf for a film strip, .mp4 or"),
        (("-o", "strip"), "--out strip: cannot be told what to draw"),
        (("-o", "v.mp4", "--frames", "3"), "--out v.mp4: shows all frames; expected --frames and --at only with .png"),
        (("-o", "v.gif", "--at", "1"), "--out v.gif: shows all frames"),
        (("-o", "s.png", "--fps", "3"), "--fps: expected only with --out FILE.mp4, .gif"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = visualize(make_run(tmp_path, [], annotated=True).path, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr and result.stderr.count("\n") == 1


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    directory = make_run(tmp_path, [], annotated=True)
    for arguments, message in (
        ((directory.path, "--at", "0,x"), "--at 0,x: expected frame numbers, such as 0,7,15"),
        ((directory.path, "--at", "0,2", "--frames", "2"), "--frames: expected none with --at"),
        ((directory.path, "--video", "4"), "split valid has no video 4; its 2 videos have ids from 3 to 7"),
        (("baseline", "--results", tmp_path / "results"), "seed0: no such run yet; `vistrials run baseline"),
        (("basline",), "no trial 'basline'; did you mean 'baseline'?"),
    ):
        result = visualize(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr and result.stderr.count("\n") == 1
