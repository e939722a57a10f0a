"""Files that score badly for a reason that is not the network's: evaluate and diagnose say the same of them."""

from typing import Any

import pytest

from tests.evaluation.building import ground_truth, prediction, strip, truth
from vistrials.errors import DataError
from vistrials.evaluation.errors.analysis import diagnose
from vistrials.evaluation.youtube_vis import evaluate

A, B = [strip(0, 10), strip(2, 12)], [strip(40, 60), strip(42, 62)]
TRUTH = ground_truth(
    [truth(A), truth(B, category=2), truth(A, video=2), truth(B, video=2, category=2)],
    num_videos=2,
    num_categories=3,
    num_frames=2,
)
FOUND = [
    prediction(A, 0.9),
    prediction(B, 0.8, category=2),
    prediction(A, 0.9, video=2),
    prediction(B, 0.8, video=2, category=2),
]


def changed(**changes: Any) -> list[dict[str, Any]]:
    """All predictions with keys replaced: by a value, or what a function makes of the old one."""
    return [
        {**entry, **{key: to(entry[key]) if callable(to) else to for key, to in changes.items()}} for entry in FOUND
    ]


def warnings(truths: Any, predictions: Any) -> str:
    evaluation, diagnosis = evaluate(truths, predictions), diagnose(truths, predictions)
    assert evaluation.warnings == diagnosis.warnings
    return " | ".join(evaluation.warnings)


def with_truth(index: int, **changes: Any) -> dict[str, Any]:
    annotations = [dict(entry) for entry in TRUTH["annotations"]]
    annotations[index] |= changes
    return {**TRUTH, "annotations": annotations}


def test_of_sound_files_nothing_is_said() -> None:
    assert warnings(TRUTH, FOUND) == ""
    assert warnings(TRUTH, []) == ""  # nothing predicted, nothing to misread


def test_category_ids_of_another_list() -> None:
    said = warnings(TRUTH, changed(category_id=lambda category: category + 1))
    assert "find 0 of 4 true tracks, those of another one 4 more, most often 'category 1' by 'category 2'" in said
    assert "are the category ids of another list or order?" in said
    swapped = changed(category_id=lambda category: 3 - category)
    assert "those of another one 4 more" in warnings(TRUTH, swapped)


def test_only_the_shifted_ids_that_exist_are_left() -> None:
    """A file that starts at 0, of which somebody removed what was refused."""
    left = [{**FOUND[1], "category_id": 1}, {**FOUND[3], "category_id": 1}]
    assert "those of another one 2 more, most often 'category 2' by 'category 1'" in warnings(TRUTH, left)


def test_bad_masks_are_not_taken_for_another_list() -> None:
    said = warnings(TRUTH, changed(segmentations=[strip(80, 90), strip(80, 90)]))
    assert said == ""


def test_one_confusion_of_many_is_no_list() -> None:
    assert warnings(TRUTH, [*FOUND[:3], {**FOUND[3], "category_id": 3}]) == ""
    half = [*FOUND[:2], *({**entry, "category_id": 3 - entry["category_id"]} for entry in FOUND[2:])]
    assert warnings(TRUTH, half) == ""


def test_videos_without_predictions() -> None:
    said = warnings(TRUTH, FOUND[:2])
    assert said.startswith("videos with true tracks but without a prediction: 1 of 2 (first: video 2)")


def test_predictions_of_single_frames() -> None:
    single = [
        {
            **entry,
            "segmentations": [mask if frame == kept else None for frame, mask in enumerate(entry["segmentations"])],
        }
        for entry in FOUND
        for kept in (0, 1)
    ]
    assert "all 8 predictions are present in one frame only" in warnings(TRUTH, single)
    of_one_frame = [truth([mask[0]], video=video) for video, mask in ((1, A), (2, B))]
    assert warnings(ground_truth(of_one_frame, 2), [prediction([A[0]], 1.0), prediction([B[0]], 1.0, video=2)]) == ""


def test_truths_without_a_pixel() -> None:
    nothing = with_truth(0, segmentations=[None, strip(0, 0)], areas=[None, 0])
    assert (
        "annotations without a pixel, which count but cannot be found: 1 (first: annotations[0], video 1)"
        in warnings(nothing, FOUND)
    )
    one_frame_left = with_truth(0, segmentations=[strip(0, 0), A[1]], areas=[0, 10])
    assert warnings(one_frame_left, FOUND) == ""


def test_an_annotation_of_id_0() -> None:
    said = warnings(with_truth(1, id=0), FOUND)
    assert said.startswith("annotation id 0, whose track the official program counts as missed") and "video 1" in said


def test_polygons_of_two_points_are_counted() -> None:
    polygons = [[[0, 0, 9, 0, 9, 1, 0, 1], [3, 0, 4, 1]], None]
    said = warnings(with_truth(0, segmentations=polygons, areas=None), FOUND)
    assert "annotations with polygons of fewer than 3 points, which are left out: 1 (first: annotations[0]" in said
    said = warnings(TRUTH, [{**FOUND[0], "segmentations": polygons}, *FOUND[1:]])
    assert "predictions with polygons of fewer than 3 points" in said


def test_switched_sizes_are_named() -> None:
    on_end = {"size": [100, 1], "counts": A[0]["counts"]}
    assert "100 x 1 instead of 1 x 100, height and width switched" in warnings(
        TRUTH, changed(segmentations=[on_end, on_end])
    )


def test_strict_refuses_what_does_not_fit_its_video_alone() -> None:
    assert len(evaluate(with_truth(1, id=0), FOUND[:2], strict=True).warnings) == 2
    with pytest.raises(DataError, match="more or fewer segmentations"):
        evaluate(TRUTH, [*FOUND, prediction(A[:1], 0.1)], strict=True)
