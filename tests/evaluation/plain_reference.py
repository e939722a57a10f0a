"""Average precision over tracks in its plainest form: one loop per index, masks merged pair by pair.

Written apart from the package (it shares no code with it), so that the two can be held against each other.
"""

import numpy as np
from pycocotools import mask as coco_mask

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
RANGES = [(0, 1e10), (0, 128**2), (128**2, 256**2), (256**2, 1e10)]
LIMITS = [1, 10, 100]


def plain_evaluation(ground_truth, predictions):
    """precision [T, R, K, A, M] and recall [T, K, A, M] of YouTube-VIS data."""
    sizes = {video["id"]: (video["height"], video["width"]) for video in ground_truth["videos"]}
    categories = sorted(category["id"] for category in ground_truth["categories"])
    truths = [
        {
            "key": (annotation["video_id"], annotation["category_id"]),
            "masks": [as_mask(s, *sizes[annotation["video_id"]]) for s in annotation["segmentations"]],
            "area": mean_of_nonzero(annotation["areas"]),
            "crowd": bool(annotation.get("iscrowd", 0)),
        }
        for annotation in ground_truth["annotations"]
    ]
    predicted = []
    for prediction in predictions:
        masks = [as_mask(s, *sizes[prediction["video_id"]]) for s in prediction["segmentations"]]
        predicted.append(
            {
                "key": (prediction["video_id"], prediction["category_id"]),
                "masks": masks,
                "area": mean_of_nonzero([mask_area(mask) for mask in masks]),
                "score": prediction["score"],
            }
        )
    shape = (len(categories), len(RANGES), len(LIMITS))
    precision = -np.ones((len(THRESHOLDS), len(RECALLS), *shape))
    recall = -np.ones((len(THRESHOLDS), *shape))
    ious = {}
    for k, category in enumerate(categories):
        for t, threshold in enumerate(THRESHOLDS):
            for a, area_range in enumerate(RANGES):
                for m, limit in enumerate(LIMITS):
                    rows, num_truths = [], 0
                    for video in sorted(sizes):
                        own_truths = [x for x in truths if x["key"] == (video, category)]
                        own = [x for x in predicted if x["key"] == (video, category)]
                        own = sorted(own, key=lambda x: -x["score"])[:limit]
                        found, counted = outcomes(own, own_truths, threshold, area_range, ious)
                        rows += found
                        num_truths += counted
                    if num_truths:
                        curve, final = precision_curve(rows, num_truths)
                        precision[t, :, k, a, m] = curve
                        recall[t, k, a, m] = final
    return precision, recall


def outcomes(predicted, truths, threshold, area_range, ious):
    """[(score, "right" | "wrong" | "ignored")] and how many truths count, in one video and category."""
    low, high = area_range
    ignore = [truth["crowd"] or truth["area"] < low or truth["area"] > high for truth in truths]
    taken = [False] * len(truths)
    rows = []
    for prediction in predicted:
        choice = None
        for pool in (False, True):
            best = min(threshold, 1 - 1e-10)
            for g, truth in enumerate(truths):
                if ignore[g] != pool or (taken[g] and not truth["crowd"]):
                    continue
                pair = (id(prediction), id(truth))
                if pair not in ious:
                    ious[pair] = iou_of_tracks(prediction["masks"], truth["masks"])
                if ious[pair] >= best:
                    best, choice = ious[pair], g
            if choice is not None:
                break
        if choice is not None:
            taken[choice] = True
            rows.append((prediction["score"], "ignored" if ignore[choice] else "right"))
        elif prediction["area"] < low or prediction["area"] > high:
            rows.append((prediction["score"], "ignored"))
        else:
            rows.append((prediction["score"], "wrong"))
    return rows, ignore.count(False)


def precision_curve(rows, num_truths):
    """Precision at the recall points, and the final recall."""
    rows = sorted(rows, key=lambda row: -row[0])
    right = wrong = 0
    points = []
    for _, outcome in rows:
        right += outcome == "right"
        wrong += outcome == "wrong"
        points.append((right / num_truths, right / (right + wrong + np.spacing(1))))
    curve = []
    for wanted in RECALLS:
        first = next((i for i, (reached, _) in enumerate(points) if reached >= wanted), None)
        curve.append(0.0 if first is None else max(value for _, value in points[first:]))
    return curve, (points[-1][0] if points else 0.0)


def iou_of_tracks(one, other):
    """Sum of the frames' intersections over the sum of their unions, over the frames both lists have."""
    intersection = union = 0
    for a, b in zip(one, other, strict=False):
        if a and b:
            if a["size"] == b["size"]:
                intersection += mask_area(coco_mask.merge([a, b], intersect=True))
                union += mask_area(coco_mask.merge([a, b], intersect=False))
        else:
            union += mask_area(a) + mask_area(b)
    return intersection / union if union else 0.0


def as_mask(segmentation, height, width):
    """Any encoding as a compressed mask, None where absent."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def mask_area(mask):
    """Pixels of a mask; 0 where absent."""
    return int(coco_mask.area(mask)) if mask else 0


def mean_of_nonzero(areas):
    """Mean of the areas that are neither None nor 0; 0 without any."""
    present = [area for area in areas if area]
    return float(np.mean(present)) if present else 0.0
