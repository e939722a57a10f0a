"""Archives for servers: what is kept, put right, refused."""

import copy
import json
import os
import zipfile

import numpy as np
import pytest

from tests.evaluation.building import WIDTH, ground_truth, prediction, strip, truth
from vistrials.errors import DataError
from vistrials.evaluation.submission import prepare_submission, save_submission, submit_files
from vistrials.evaluation.youtube_vis import evaluate
from vistrials.formats import rle
from vistrials.formats.json_file import load_json, save_json_atomic

MASK = strip(0, 10)
SERVER = ground_truth([], num_videos=2, num_categories=3, num_frames=2) | {"annotations": None}
GOOD = prediction([MASK, None], 0.5)


def changed(**changes):
    return GOOD | changes


def test_what_is_right_stays_as_it_is():
    predictions = [prediction([MASK, None], 1, video=2), prediction([None, None], 0), prediction([MASK, MASK], 0.25)]
    before = copy.deepcopy(predictions)
    submission = prepare_submission(predictions, SERVER)
    assert submission.rows == before == predictions
    assert (submission.num_videos, submission.num_predicted_videos, submission.fixes) == (2, 2, ())


@pytest.mark.parametrize("annotations", [{}, {"annotations": None}, {"annotations": [{"what": "ever"}]}])
def test_the_server_s_file_needs_no_annotations(annotations):
    server = {key: SERVER[key] for key in ("videos", "categories")} | annotations
    assert prepare_submission([GOOD], server).rows == [GOOD]


@pytest.mark.parametrize(
    ("segmentation", "fix"),
    [
        ({"size": [1, WIDTH], "counts": [0, 10, WIDTH - 10]}, "run lengths compressed"),
        ({"size": [1, WIDTH], "counts": MASK["counts"].encode()}, "run lengths compressed"),
        ([[0, 0, 10, 0, 10, 1, 0, 1]], "polygons turned into compressed run lengths"),
    ],
)
def test_other_encodings_are_compressed(segmentation, fix):
    submission = prepare_submission([GOOD, changed(segmentations=[MASK, segmentation])], SERVER)
    encoded = submission.rows[1]["segmentations"][1]
    assert isinstance(encoded["counts"], str) and encoded["size"] == [1, WIDTH]
    assert rle.decode(encoded)[0].tolist() == [1] * 10 + [0] * (WIDTH - 10)
    assert submission.fixes == (f"{fix}: 1 (first: predictions[1] segmentations[1])",)


def test_empty_segmentations_and_further_keys():
    submission = prepare_submission([changed(segmentations=[[], {}], id=3, bbox=None), changed(id=4)], SERVER)
    assert submission.rows == [prediction([None, None], 0.5), GOOD]
    assert submission.fixes == (
        "empty segmentations turned into null: 2 (first: predictions[0] segmentations[0])",
        "keys 'bbox' left out: 1 (first: predictions[0])",
        "keys 'id' left out: 2 (first: predictions[0])",
    )


def test_a_hundred_tracks_of_a_video_and_category_stay():
    # Category 2 of the first video: 60 of score .9, 60 of .5 and 1 of 1, of which the last 21 of .5 go. Its other
    # category and the second video are not full.
    first = [prediction([MASK, None], 0.9 if n % 2 else 0.5, category=2) for n in range(120)]
    others = [prediction([MASK, None], 0.1, video=2, category=2)] * 60 + [prediction([MASK, None], 0.1)] * 60
    predictions = [*first, prediction([MASK, None], 1.0, category=2), *others]
    submission = prepare_submission(predictions, SERVER)
    left_out = [n for n in range(120) if n % 2 == 0][-21:]
    assert submission.rows == [p for n, p in enumerate(predictions) if n not in left_out]
    assert submission.fixes == (
        "tracks left out beyond the 100 of highest score of their video and category: 21 "
        f"(first: predictions[{left_out[0]}], video 1, category 2, score 0.5)",
    )


# --- No repair changes a figure


def scene():
    """A small, a medium and a large track in either of two videos, and two predictions of each that need no repair."""
    height, width = 320, 330
    videos = [{"id": v, "height": height, "width": width, "length": 3} for v in (1, 2)]
    truths, predictions = [], []
    for n in range(6):
        top, side = 3 * n, (60, 180, 300)[n % 3]
        boxes = np.zeros((2, 3, height, width), dtype=bool)
        boxes[0, :, top : top + side, :side] = True
        boxes[1, n % 2 :, top : top + side, n : side + n] = True  # partly late, and not quite there
        masks = [[rle.encode(mask) if mask.any() else None for mask in of_track] for of_track in boxes]
        where = {"video": 1 + n % 2, "category": 1 + n // 2}
        truths.append(truth(masks[0], **where))
        # Of equal scores the order decides, and the wrong one comes first.
        wrong = [None, masks[0][0], None]
        predictions += [prediction(wrong, 0.5 if n < 3 else 0.3, **where), prediction(masks[1], 0.5, **where)]
    document = ground_truth(truths, num_categories=3) | {"videos": videos}
    return document, predictions


def as_run_lists(segmentation):
    runs = rle.decode_runs([segmentation])
    return segmentation | {"counts": runs.lengths.tolist()}


def as_polygons(segmentation):
    """The corners of the smallest box around a mask, which here is a box."""
    ys, xs = np.nonzero(rle.decode(segmentation))
    left, top, right, bottom = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    return [[float(x) for x in (left, top, right, top, right, bottom, left, bottom)]]


def with_masks(change):
    def changed_rows(predictions):
        return [p | {"segmentations": [change(mask) for mask in p["segmentations"]]} for p in predictions]

    return changed_rows


def too_many(predictions):
    """130 tracks more in every video and category, below, between and above the others' scores."""
    return [
        p | {"score": score, "segmentations": p["segmentations"][::-1]}
        for p in predictions[1::2]
        for score in np.linspace(0.3, 0.6, 130).tolist()
    ] + predictions


def spread_over_categories(predictions):
    """Better than all others, 98 tracks of category 3 that find nothing: 100 of it, and 104 in all, in each video."""
    nothing = [p | {"category_id": 3, "score": 0.9, "segmentations": [None] * 3} for p in predictions[:4:2]]
    return [row for row in nothing for _ in range(98)] + predictions


def as_float_runs(mask):
    runs = as_run_lists(mask)
    return {"size": [float(side) for side in runs["size"]], "counts": [float(run) for run in runs["counts"]]}


REPAIRS = {
    "none": lambda predictions: predictions,
    "run lists": with_masks(lambda mask: mask and as_run_lists(mask)),
    "bytes": with_masks(lambda mask: mask and mask | {"counts": mask["counts"].encode()}),
    "polygons": with_masks(lambda mask: mask and as_polygons(mask)),
    "polygons and stray points": with_masks(lambda mask: mask and [*as_polygons(mask), [1, 0, 2, 0], [3, 0]]),
    "sizes as floats": with_masks(lambda mask: mask and mask | {"size": [float(side) for side in mask["size"]]}),
    "run lists of floats": with_masks(lambda mask: mask and as_float_runs(mask)),
    "ids as floats": lambda predictions: [p | {"category_id": float(p["category_id"]), "x": 1} for p in predictions],
    "empty lists": with_masks(lambda mask: mask or []),
    "empty objects": with_masks(lambda mask: mask or {}),
    "further keys": lambda predictions: [p | {"id": n, "bbox": [0, 0, 1, 1]} for n, p in enumerate(predictions)],
    "many of a category": too_many,
    "many of several categories": spread_over_categories,
}


def figures_of(document, predictions):
    return list(evaluate(document, predictions).figures.values())


@pytest.mark.parametrize("name", REPAIRS)
def test_no_repair_changes_a_figure(name):
    document, predictions = scene()
    given = REPAIRS[name](predictions)
    submission = prepare_submission(given, document)
    figures = figures_of(document, given)
    assert len(figures) == 12 and min(figures) > 0 and figures[0] < 1
    assert figures_of(document, submission.rows) == figures
    assert bool(submission.fixes) == (name not in ("none", "many of several categories"))


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], r"^predictions are empty; expected at least one track"),
        ({}, r"^predictions are an object; expected a list"),
        ([GOOD, changed(video_id=3)], r"^predictions\[1\]: video_id 3 is not in the ground truth, which has 1, 2$"),
        ([changed(category_id=0)], r"^predictions\[0\]: category_id 0 is not in the ground truth"),
        ([changed(score=float("nan"))], r"^predictions\[0\]: score is nan; expected a finite number"),
        ([changed(score=1.5)], r"^predictions\[0\]: score is 1.5; expected 0 to 1$"),
        ([changed(score=-0.1)], r"^predictions\[0\]: score is -0.1; expected 0 to 1$"),
        ([changed(score="0.5")], r"^predictions\[0\]: score is '0.5'; expected a number"),
        (
            [changed(segmentations=[MASK])],
            r"^predictions\[0\]: 1 segmentations; expected 2, one per frame of video 1$",
        ),
        (
            [GOOD, changed(video_id=2, segmentations=[MASK, strip(0, 10, 50)])],
            r"^predictions\[1\] segmentations\[1\]: a mask of 1 x 50; expected 1 x 100, height x width of video 2$",
        ),
        (
            [changed(segmentations=[{"size": [1, WIDTH], "counts": "T"}, None])],
            r"^predictions\[0\] segmentations\[0\]: counts",
        ),
        (
            [changed(segmentations=[None, {"size": [40000, 40000], "counts": MASK["counts"]}])],
            r"^predictions\[0\] segmentations\[1\]: size is \[40000, 40000\]; expected positive sides",
        ),
        ([{"video_id": 1, "category_id": 1, "score": 0.5}], r"^predictions\[0\]: has no 'segmentations'"),
    ],
)
def test_refusals(predictions, message):
    with pytest.raises(DataError, match=message) as caught:
        prepare_submission(predictions, SERVER)
    assert "\n" not in str(caught.value)


def test_broken_tracks_are_refused_even_if_they_would_be_left_out():
    predictions = [GOOD] * 100 + [prediction([MASK], 0.1)]
    with pytest.raises(DataError, match=r"predictions\[100\]: 1 segmentations"):
        prepare_submission(predictions, SERVER)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ([], r"ground truth: expected an object .*, found a list"),
        ({"videos": []}, r"'categories' is missing"),
        (
            SERVER | {"videos": [{"id": 1, "height": 1, "width": WIDTH}]},
            r"video 1 has neither length nor file_names; expected one of them",
        ),
    ],
)
def test_a_server_s_file_that_cannot_be_used(server, message):
    with pytest.raises(DataError, match=message):
        prepare_submission([GOOD], server)


# --- Files


def test_the_archive_holds_the_rows_and_always_the_same_bytes(tmp_path):
    path = tmp_path / "new" / "results.zip"
    save_submission(path, [GOOD])
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["results.json"]
        assert archive.testzip() is None
        # Not the time of writing, which would make the bytes differ from one time to the next.
        assert archive.getinfo("results.json").date_time == (1980, 1, 1, 0, 0, 0)
        assert json.loads(archive.read("results.json")) == [GOOD]
    first = path.read_bytes()
    save_submission(path, [GOOD])
    assert path.read_bytes() == first
    save_submission(path, [GOOD, GOOD])
    assert path.read_bytes() != first
    assert os.listdir(path.parent) == ["results.zip"]


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "results.zip"
    path.write_bytes(b"old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match=r"results.zip: cannot be written \(No space left on device\)"):
        save_submission(path, [GOOD])
    assert os.listdir(tmp_path) == ["results.zip"] and path.read_bytes() == b"old"


def test_a_refusal_writes_nothing_and_names_the_files(tmp_path):
    pred, server = tmp_path / "pred.json", tmp_path / "server.json"
    save_json_atomic(pred, [changed(score=2)])
    save_json_atomic(server, SERVER)
    with pytest.raises(DataError, match=r"pred.json against .*server.json: predictions\[0\]: score is 2"):
        submit_files(pred, server, tmp_path / "new" / "results.zip")
    assert sorted(os.listdir(tmp_path)) == ["pred.json", "server.json"]


def test_an_archive_that_is_there_is_kept_unless_told(tmp_path):
    pred, server, out = (tmp_path / name for name in ("pred.json", "server.json", "results.zip"))
    save_json_atomic(pred, [GOOD])
    save_json_atomic(server, SERVER)
    out.write_bytes(b"old")
    with pytest.raises(DataError, match=r"results.zip: there already; replace with --force, or .* with --out$"):
        submit_files(pred, server, out)
    assert out.read_bytes() == b"old"
    submit_files(pred, server, out, replace=True)
    with zipfile.ZipFile(out) as archive:
        assert json.loads(archive.read("results.json")) == [GOOD]


def test_the_inputs_are_never_replaced(tmp_path):
    pred, server = tmp_path / "pred.json", tmp_path / "server.json"
    save_json_atomic(pred, [GOOD])
    save_json_atomic(server, SERVER)
    for path in (pred, server):
        before = path.read_bytes()
        with pytest.raises(DataError, match=r"the archive would replace it; choose another file"):
            submit_files(pred, server, tmp_path / "." / path.name, replace=True)
        assert path.read_bytes() == before


def test_figures_of_real_predictions_stay(shared_dir, tmp_path):
    folder = shared_dir / "evaluation" / "davis8"
    submission = submit_files(folder / "dt.json.gz", folder / "gt.json.gz", tmp_path / "results.zip")
    assert (len(submission.rows), submission.num_predicted_videos, submission.fixes) == (200, 8, ())
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        sent = json.loads(archive.read("results.json"))
    figures = list(evaluate(load_json(folder / "gt.json.gz"), sent).figures.values())
    np.testing.assert_allclose(figures, load_json(folder / "official_stats.json"), rtol=0, atol=1e-9)
