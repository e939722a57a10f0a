"""Small YouTube-VIS data for tests: one image row of pixels, so that overlaps can be counted by eye."""

import numpy as np

from vistrials.formats import rle

WIDTH = 100


def strip(start, stop, width=WIDTH):
    """The pixels start..stop-1 of an image of one row."""
    mask = np.zeros((1, width), dtype=bool)
    mask[0, start:stop] = True
    return rle.encode(mask)


def ground_truth(annotations, num_videos=1, num_categories=1, num_frames=1):
    """Videos and categories counted from 1, and the annotations given, with ids from 1."""
    return {
        "videos": [{"id": 1 + n, "height": 1, "width": WIDTH, "length": num_frames} for n in range(num_videos)],
        "categories": [{"id": 1 + n, "name": f"category {1 + n}"} for n in range(num_categories)],
        "annotations": [{"id": 1 + n, **annotation} for n, annotation in enumerate(annotations)],
    }


def truth(masks, video=1, category=1, crowd=0, areas=None):
    """An annotation; its areas are those of its masks where none are given."""
    return {
        "video_id": video,
        "category_id": category,
        "iscrowd": crowd,
        "segmentations": masks,
        "areas": [mask and int(rle.decode(mask).sum()) for mask in masks] if areas is None else areas,
    }


def prediction(masks, score, video=1, category=1):
    """An entry of a predictions file."""
    return {"video_id": video, "category_id": category, "score": score, "segmentations": masks}
