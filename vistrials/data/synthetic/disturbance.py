"""What keeps a detector from an object that stays in sight: for some frames it pales, blurs, blends in or flickers."""

from dataclasses import dataclass

import numpy as np

KINDS = ("blur", "fading", "camouflage", "flicker")
DISTURBED_FRAMES = range(5, 10)  # about as long as objects of the occlusion videos are out of sight
MIN_CLEAR_FRAMES = 3  # before and after
LEAST_OPACITY, MOST_OPACITY = 0.12, 0.28  # of what stands 75 grey levels off the backdrop, 9 to 21 are left


@dataclass(frozen=True)
class Disturbance:
    """How the N objects of a video of T frames are drawn, and the frames as a whole."""

    opacity: np.ndarray  # [T, N] share of an object's own paint, the rest is what lies behind it; 1 = undisturbed
    camouflage: np.ndarray  # [T, N] share of its paint that is backdrop from elsewhere; 0 = undisturbed
    blur_px: np.ndarray  # [T] sigma of the blur of the frame; 0 = sharp


def sample_disturbance(rng: np.random.Generator, num_frames: int, num_objects: int) -> Disturbance:
    """Draws one kind of disturbance for a video, and when it sets in: for all objects at once if it is blur.

    Args:
        rng: the generator of this video.
        num_frames: T, at least 3 + 5 + 3.
        num_objects: N.
    """
    kind = str(rng.choice(KINDS))
    opacity, camouflage = np.ones((num_frames, num_objects)), np.zeros((num_frames, num_objects))
    blur = np.zeros(num_frames)
    if kind == "blur":
        blur[_sample_span(rng, num_frames)] = rng.uniform(5.0, 8.0)
        return Disturbance(opacity, camouflage, blur)
    for index in range(num_objects):
        span = _sample_span(rng, num_frames)
        left = rng.uniform(LEAST_OPACITY, MOST_OPACITY)
        if kind == "fading":
            opacity[span, index] = left
            # It pales and comes back over a frame on either side.
            opacity[[span.start - 1, span.stop], index] = 0.5 + left / 2
        elif kind == "camouflage":
            camouflage[span, index] = 1 - left / 2
        else:
            opacity[span, index] = np.where(rng.random(span.stop - span.start) < 0.75, left, 1.0)
    return Disturbance(opacity, camouflage, blur)


def _sample_span(rng: np.random.Generator, num_frames: int) -> slice:
    """Draws the frames of a disturbance, clear ones before and after it."""
    longest = min(DISTURBED_FRAMES.stop - 1, num_frames - 2 * MIN_CLEAR_FRAMES)
    length = int(rng.integers(DISTURBED_FRAMES.start, longest + 1))
    start = int(rng.integers(MIN_CLEAR_FRAMES, num_frames - MIN_CLEAR_FRAMES - length + 1))
    return slice(start, start + length)
