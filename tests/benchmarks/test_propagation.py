"""What propagation costs, on tracks made by hand and on a tiny run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.propagation import (
    find_propagated,
    load_model,
    long_enough,
    measure,
    predict,
    render,
    share_regained,
    sort_by_object,
    without,
    without_sorts,
)
from vistrials import pipeline
from vistrials.data.frames import iter_frames
from vistrials.data.sources import resolve_split
from vistrials.engine.inference import its_threads
from vistrials.evaluation.youtube_vis import evaluate
from vistrials.formats import rle
from vistrials.formats.annotations import load_video_set
from vistrials.formats.json_file import load_json
from vistrials.runs.directory import RunDirectory
from vistrials.specs.loading import load_trial
from vistrials.specs.trial import TrialSpec
from vistrials.tracking.online import OnlineTracker

HEIGHT, WIDTH = 4, 10


def columns(first: int, last: int) -> dict[str, Any]:
    """The mask of whole columns, 4 pixels each."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[:, first : last + 1] = 1
    return rle.encode(mask)


OBJECT, ELSEWHERE, PART = columns(0, 5), columns(6, 8), columns(0, 1)
# One object of 24 pixels, hidden in the third of seven frames.
TRUTH = {
    "videos": [{"id": 1, "height": HEIGHT, "width": WIDTH, "length": 7}],
    "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "ring"}],
    "annotations": [
        {
            "id": 1,
            "video_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "areas": [24, 24, None, 24, 24, 24, 24],
            "segmentations": [OBJECT, OBJECT, None, OBJECT, OBJECT, OBJECT, OBJECT],
        }
    ],
}


def track(*masks: dict[str, Any] | None, category: int = 1, score: float = 0.9) -> dict[str, Any]:
    return {"video_id": 1, "category_id": category, "score": score, "segmentations": list(masks)}


# Detected in the first two frames and the last three; in the third and fourth it is propagated.
ON = track(OBJECT, OBJECT, ELSEWHERE, PART, OBJECT, OBJECT, OBJECT)
DETECTED = track(OBJECT, OBJECT, None, None, OBJECT, OBJECT, OBJECT)
# A ring, of which there is none, detected once and propagated once: too short a track without propagation.
RING_ON, RING_DETECTED = (track(ELSEWHERE, second, *[None] * 5, category=2) for second in (PART, None))


def test_propagated_is_what_no_track_holds_without_propagation() -> None:
    assert find_propagated([ON, RING_ON], [DETECTED, RING_DETECTED]) == {(0, 2), (0, 3), (1, 1)}
    assert long_enough([DETECTED, RING_DETECTED], 2) == [DETECTED]
    # Also where the tracks are numbered otherwise; another video's masks do not count.
    assert find_propagated([ON], [RING_DETECTED, DETECTED]) == {(0, 2), (0, 3)}
    assert len(find_propagated([ON | {"video_id": 2}], [DETECTED])) == 7


def test_masks_are_sorted_by_what_they_lie_on() -> None:
    places = {(0, 2), (0, 3), (1, 1)}
    expected = {"hidden": {(0, 2)}, "visible": {(0, 3)}, "none": {(1, 1)}}
    assert sort_by_object(TRUTH, [ON, RING_ON], places) == expected


def test_the_object_is_the_one_of_highest_overlap() -> None:
    # The second object is there in all frames, so that nothing drawn on it is drawn on a hidden one.
    second = TRUTH["annotations"][0] | {"id": 2, "areas": [12] * 7, "segmentations": [ELSEWHERE] * 7}  # type: ignore[operator,index]
    truth = TRUTH | {"annotations": [*TRUTH["annotations"], second]}
    on_second = track(ELSEWHERE, ELSEWHERE, OBJECT, *[ELSEWHERE] * 4)
    assert sort_by_object(truth, [ON, on_second], {(0, 2), (1, 2)}) == {
        "hidden": {(0, 2)},
        "visible": {(1, 2)},
        "none": set(),
    }


def test_masks_are_removed_and_tracks_without_any_go() -> None:
    before = [ON, RING_ON]
    kept = without(before, {(0, 2), (1, 0), (1, 1)})
    assert kept == [ON | {"segmentations": [OBJECT, OBJECT, None, PART, OBJECT, OBJECT, OBJECT]}]
    assert before[0]["segmentations"][2] == ELSEWHERE  # what it was made from stays
    assert without(before, set()) == before


def test_each_removal_gains_what_arithmetic_says() -> None:
    predictions = [ON, RING_ON]
    sorts = sort_by_object(TRUTH, predictions, {(0, 2), (0, 3), (1, 1)})
    found = {name: evaluate(TRUTH, own).figures["AP"] for name, own in without_sorts(predictions, sorts).items()}
    assert found == pytest.approx(
        {
            # Truth: 6 · 24 pixels, of which 5 · 24 + 8 are hit. 128 / (144 + 12) = .82: right at .50 .. .80, 7 of 10.
            "on": 7 / 10,
            # Without the 12 pixels on the hidden object 128 / 144 = .89: right at .50 .. .85.
            "without_hidden": 8 / 10,
            # Without the 8 on the visible one 120 / 156 = .77: right at .50 .. .75.
            "without_visible": 6 / 10,
            # Without either 120 / 144 = .83: right at .50 .. .80.
            "without_both": 7 / 10,
        }
    )


def test_the_share_regained_is_of_the_loss() -> None:
    figures = {"on": 0.5, "off": 0.6, "without_hidden": 0.54, "without_visible": 0.49}
    assert share_regained(figures, "without_hidden") == pytest.approx(0.4)
    assert share_regained(figures, "without_visible") == pytest.approx(-0.1)
    assert np.isnan(share_regained(figures | {"off": 0.5}, "without_hidden"))


# --- On a tiny run


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunDirectory, TrialSpec]]:
    folder = tmp_path_factory.mktemp("propagation")
    settings = [
        *("data.source.train=[2,3]", "data.source.minival=[1,6]", "data.source.occlusion=[1,16]"),
        *("data.splits=[minival]", "train.max_iters=1", "train.batch_size=1", "inference.min_track_frames=3"),
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("VISTRIALS_CACHE", str(folder / "cache"))
        spec = load_trial("baseline", "smoke", settings)
        yield pipeline.run(spec, folder / "results", device="cpu"), spec


def test_the_tiny_runs_own_figures_come_out_again(tiny_run: tuple[RunDirectory, TrialSpec]) -> None:
    directory, _ = tiny_run
    measured = measure(directory.path, ["minival"], num_train_videos=1)
    found = measured["splits"]["minival"]
    assert found["AP"]["on"] == directory.read_metrics("minival")["AP"]
    assert found["AP"].keys() == {"on", "without_hidden", "without_visible", "without_both", "off"}
    assert measured["one_frame_ahead"].keys() == {"minival", "train"}
    assert "| AP on `minival` | seed 0 |" in render([measured])


def test_propagated_masks_are_those_that_the_tracker_calls_so(tiny_run: tuple[RunDirectory, TrialSpec]) -> None:
    directory, spec = tiny_run
    data = resolve_split(spec.data, "minival")
    video_set = load_video_set(data.annotations, data.frames_dir)
    models = [load_model(directory, spec, video_set.num_categories, propagates=on) for on in (True, False)]
    on, detected = (predict(model, video_set, spec) for model in models)
    on = long_enough(on, spec.inference.min_track_frames)
    assert on == load_json(directory.predictions("minival"))

    tracker = OnlineTracker(models[0], spec.inference)
    (video,) = video_set.videos
    with its_threads(models[0]):
        expected = {
            (number, rle.encode(tracked.mask.numpy())["counts"])
            for number, frame in enumerate(iter_frames(video_set, video, spec.data.image_size_px))
            for tracked in tracker.step(frame).values()
            if tracked.propagated
        }
    # Some are detected too seldom to make a track without propagation; they are detected none the less.
    assert len(detected) > len(long_enough(detected, spec.inference.min_track_frames))
    found = {(frame, on[index]["segmentations"][frame]["counts"]) for index, frame in find_propagated(on, detected)}
    assert found and found == expected


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        ("masktrack_rcnn", "this trial has no propagation head; name a run of one that has"),
        (
            "baseline",
            "no weights here; OMP_NUM_THREADS=1 vistrials run baseline --profile smoke --results FOLDER --seed 3",
        ),
    ],
)
def test_a_run_that_cannot_be_measured_is_refused(trial: str, expected: str, tmp_path: Path) -> None:
    spec = load_trial(trial, "smoke")
    directory = RunDirectory.for_spec(spec, tmp_path, 3)
    with pytest.raises(SystemExit, match=expected):
        load_model(directory, spec, 8, propagates=True)
