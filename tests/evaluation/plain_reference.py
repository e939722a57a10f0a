"""Average precision over tracks in its plainest form: one loop per index, masks merged pair by pair.

Written apart from the package (it shares no code with it), so that the two can be held against each other: their
arrays by a test, their speed by `benchmarks.evaluation`.
"""

import bisect
import json
import sys
from collections import defaultdict

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
    truths, predicted = defaultdict(list), defaultdict(list)
    for annotation in ground_truth["annotations"]:
        truths[annotation["video_id"], annotation["category_id"]].append(
            {
                "masks": [as_mask(s, *sizes[annotation["video_id"]]) for s in annotation["segmentations"]],
                "area": mean_of_nonzero(annotation["areas"]),
                "crowd": bool(annotation.get("iscrowd", 0)),
            }
        )
    for prediction in predictions:
        masks = [as_mask(s, *sizes[prediction["video_id"]]) for s in prediction["segmentations"]]
        predicted[prediction["video_id"], prediction["category_id"]].append(
            {
                "masks": masks,
                "area": mean_of_nonzero([mask_area(mask) for mask in masks]),
                "score": prediction["score"],
            }
        )
    shape = (len(categories), len(RANGES), len(LIMITS))
    precision = -np.ones((len(THRESHOLDS), len(RECALLS), *shape))
    recall = -np.ones((len(THRESHOLDS), *shape))
    for k, category in enumerate(categories):
        videos = []
        for video in sorted(sizes):
            own = sorted(predicted[video, category], key=lambda x: -x["score"])[: LIMITS[-1]]
            own_truths = truths[video, category]
            ious = [[iou_of_tracks(x["masks"], truth["masks"]) for truth in own_truths] for x in own]
            videos.append((own, own_truths, ious))
        for t, threshold in enumerate(THRESHOLDS):
            for a, area_range in enumerate(RANGES):
                found = [outcomes(*video, threshold, area_range) for video in videos]
                num_truths = sum(counted for _, counted in found)
                if num_truths == 0:
                    continue
                for m, limit in enumerate(LIMITS):
                    rows = [row for rows, _ in found for row in rows[:limit]]
                    precision[t, :, k, a, m], recall[t, k, a, m] = precision_curve(rows, num_truths)
    return precision, recall


def outcomes(predicted, truths, ious, threshold, area_range):
    """[(score, "right" | "wrong" | "ignored")] and how many truths count, in one video and category."""
    low, high = area_range
    ignore = [truth["crowd"] or truth["area"] < low or truth["area"] > high for truth in truths]
    taken = [False] * len(truths)
    rows = []
    for d, prediction in enumerate(predicted):
        choice = None
        for pool in (False, True):
            best = min(threshold, 1 - 1e-10)
            for g, truth in enumerate(truths):
                if ignore[g] != pool or (taken[g] and not truth["crowd"]):
                    continue
                if ious[d][g] >= best:
                    best, choice = ious[d][g], g
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
    recalls, precisions = [], []
    for _, outcome in rows:
        right += outcome == "right"
        wrong += outcome == "wrong"
        recalls.append(right / num_truths)
        precisions.append(right / (right + wrong + np.spacing(1)))
    for i in range(len(rows) - 1, 0, -1):
        precisions[i - 1] = max(precisions[i - 1], precisions[i])
    firsts = [bisect.bisect_left(recalls, wanted) for wanted in RECALLS]
    curve = [precisions[first] if first < len(rows) else 0.0 for first in firsts]
    return curve, (recalls[-1] if rows else 0.0)


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


def main():
    """From two files to two arrays in a third: GT PRED OUT.npz."""
    truth_path, predictions_path, out = sys.argv[1:]
    with open(truth_path) as truth_file, open(predictions_path) as predictions_file:
        precision, recall = plain_evaluation(json.load(truth_file), json.load(predictions_file))
    np.savez(out, precision=precision, recall=recall)


if __name__ == "__main__":
    main()
