"""The figures of TrackEval, asked for in the form it takes: per-frame lists, or a folder of files."""

import contextlib
import io
import json

import numpy as np
import pytest

from vistrials.evaluation.hota import TRACKING_FIGURES
from vistrials.formats import rle


def import_trackeval():
    """The package, or a skip that says why."""
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.importorskip("trackeval", reason="TrackEval is not installed: pip install trackeval")


def figures_of(hota, identity):
    """Of TrackEval's results those that vistrials computes, under the same names."""
    results = {name: float(np.mean(value)) for name, value in {**hota, **identity}.items()}
    return {name: results[name] for name in TRACKING_FIGURES}


def trackeval_counts(ious, is_true, is_predicted):
    """Figures of one video and category; every track must be present somewhere, as TrackEval asks."""
    trackeval = import_trackeval()
    data = {
        "num_gt_ids": is_true.shape[1],
        "num_tracker_ids": is_predicted.shape[1],
        "num_gt_dets": int(is_true.sum()),
        "num_tracker_dets": int(is_predicted.sum()),
        "gt_ids": [np.flatnonzero(present) for present in is_true],
        "tracker_ids": [np.flatnonzero(present) for present in is_predicted],
        "similarity_scores": [
            overlap[np.ix_(truth, predicted)]
            for overlap, truth, predicted in zip(ious, is_true, is_predicted, strict=True)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        hota, identity = trackeval.metrics.HOTA(), trackeval.metrics.Identity()
        return figures_of(hota.eval_sequence(data), identity.eval_sequence(data))


def trackeval_youtube_vis(folder, ground_truth, predictions):
    """Figures from files: {category name, "cls_comb_cls_av" or "cls_comb_det_av": figures}.

    TrackEval takes ground truth with uncompressed RLE only, names videos by the folder of their first frame, and
    reads one file per folder. All videos and categories must have names of their own.
    """
    trackeval = import_trackeval()
    sizes = {video["id"]: (video["height"], video["width"]) for video in ground_truth["videos"]}
    annotations = [
        {
            **annotation,
            "height": sizes[annotation["video_id"]][0],
            "width": sizes[annotation["video_id"]][1],
            "segmentations": [
                mask and uncompressed(mask, *sizes[annotation["video_id"]]) for mask in annotation["segmentations"]
            ],
        }
        for annotation in ground_truth["annotations"]
    ]
    for name, content in (
        ("gt/youtube_vis_all/gt.json", {**ground_truth, "annotations": annotations}),
        ("pred/youtube_vis_all/ours/data/pred.json", predictions),
    ):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.YouTubeVIS(
            {
                "GT_FOLDER": f"{folder}/gt/",
                "TRACKERS_FOLDER": f"{folder}/pred/",
                "SPLIT_TO_EVAL": "all",
                "OUTPUT_FOLDER": f"{folder}/out",
                "PRINT_CONFIG": False,
            }
        )
        evaluator = trackeval.Evaluator(
            {"PRINT_RESULTS": False, "PRINT_CONFIG": False, "TIME_PROGRESS": False, "PLOT_CURVES": False}
        )
        identity = trackeval.metrics.Identity({"PRINT_CONFIG": False})
        results, _ = evaluator.evaluate([dataset], [trackeval.metrics.HOTA(), identity])
    combined = results["YouTubeVIS"]["ours"]["COMBINED_SEQ"]
    return {name: figures_of(value["HOTA"], value["Identity"]) for name, value in combined.items()}


def uncompressed(segmentation, height, width):
    runs = rle.decode_runs([segmentation], height, width)
    return {"size": runs.sizes[0].tolist(), "counts": runs.lengths.tolist()}
