"""How many frames of visible objects the detector of the shipped start misses, in each split of the embedded data.

Run: python -m benchmarks.missed_frames [--videos 60] [--split SPLIT ...] [--profile demo_study]

A frame of an object counts where its visible mask is not empty. It is missed where no detection of the frame, whatever
its category, has a mask that overlaps the visible one by an IoU of .5. Frames are looked at one by one: nothing is
tracked or propagated.
"""

import argparse
from collections.abc import Sequence

import torch

from vistrials.data.frames import iter_frames
from vistrials.data.sources import resolve_split
from vistrials.data.transforms import pad_alone
from vistrials.finished_runs.one_frame_ahead import mask_iou
from vistrials.formats.annotations import decode_mask, load_video_set
from vistrials.models.folding import for_inference
from vistrials.models.mask_head import crop_mask, paste
from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.loading import load_trial
from vistrials.specs.trial import TrialSpec
from vistrials.structures.frames import Frame
from vistrials.structures.video import VideoSet
from vistrials.weights.files import load_weights
from vistrials.weights.shipped import weights_file

MIN_IOU = 0.5


def load_start(num_categories: int) -> tuple[ObjProp, TrialSpec]:
    """The detector that trials of the demo start from, as it predicts."""
    spec = load_trial("masktrack_rcnn", "demo")
    assert spec.init.weights is not None
    model = build_model(spec.model, num_categories)
    load_weights(model, weights_file(spec.init.weights), allow_missing=False)
    return for_inference(model), spec


@torch.inference_mode()
def detect_masks(model: ObjProp, frame: Frame, spec: TrialSpec) -> list[torch.Tensor]:
    """Masks of the detections of a frame, (H, W) bool each."""
    levels = model.pyramid(pad_alone(frame.image))
    height, width = frame.image.shape[-2:]
    (found,) = model.detect(levels, (height, width), frame.scale, spec.inference)
    probs = model.mask_probs(levels, [found.boxes * frame.scale], found.labels)
    size, threshold = frame.original_size, spec.inference.mask_threshold
    return [
        paste(*crop_mask(prob, (int(x1), int(y1), int(x2), int(y2)), size, threshold), size)
        for prob, (x1, y1, x2, y2) in zip(probs, found.boxes.tolist(), strict=True)
    ]


def count_missed(model: ObjProp, spec: TrialSpec, video_set: VideoSet, num_videos: int) -> tuple[int, int]:
    """Frames of visible objects of the first videos: those missed, and all."""
    num_missed = num_seen = 0
    for video in video_set.videos[:num_videos]:
        for number, frame in enumerate(iter_frames(video_set, video, spec.data.image_size_px)):
            masks = detect_masks(model, frame, spec)
            for track in video.tracks:
                if track.segmentations[number] is None:
                    continue
                truth = torch.from_numpy(decode_mask(track.segmentations[number], video.height, video.width)).bool()
                num_seen += 1
                num_missed += all(mask_iou(mask, truth) < MIN_IOU for mask in masks)
    return num_missed, num_seen


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--videos", type=int, default=60, help="first videos of each split")
    parser.add_argument("--split", nargs="+", default=None)
    parser.add_argument("--profile", default="demo_study")
    options = parser.parse_args(arguments)
    data = load_trial("masktrack_rcnn", options.profile).data
    for split in options.split or data.splits:
        found = resolve_split(data, split)
        video_set = load_video_set(found.annotations, found.frames_dir)
        model, spec = load_start(video_set.num_categories)
        num_missed, num_seen = count_missed(model, spec, video_set, options.videos)
        print(f"{split}: {num_missed} of {num_seen} frames of visible objects missed, {num_missed / num_seen:.1%}")


if __name__ == "__main__":
    main()
