"""Frames that go through the network together give what they give one by one."""

from collections.abc import Iterator

import pytest
import torch

from tests.models.small import small_model
from vistrials.models.objprop import ObjProp
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import ConvolutionNeckSpec, NeckSpec
from vistrials.structures.frames import Frame
from vistrials.tracking.online import OnlineTracker, in_batches, track_video

SPEC = InferenceSpec(score_threshold=0.2, max_detections=6)
NECKS = {
    "no neck": None,
    "previous frame": NeckSpec(levels=(0, 1), gamma_init=3.0),
    "same frame": NeckSpec(levels=(0, 1), gamma_init=3.0, reference="same_frame"),
    "other video": NeckSpec(levels=(0, 1), gamma_init=3.0, reference="other_video"),
    "convolutions": ConvolutionNeckSpec(levels=(0, 1)),
}


def network(neck: NeckSpec | ConvolutionNeckSpec | None) -> ObjProp:
    return small_model(neck=neck).double().eval()


def frames(count: int, seed: int = 3) -> list[Frame]:
    """Of two sizes and two scales; the black one loses objects, which are then propagated."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        size = (64, 96) if number < 5 else (60, 90)
        image = torch.randn(3, *size, generator=generator)
        made.append(Frame(image * (number != 3), 1.0 if number < 4 else 0.5, (size[0], size[1])))
    return made


def others() -> Iterator[Frame]:
    return iter([f for f in frames(40, seed=4) if f.image.shape[-1] == 96] + [frames(6, seed=5)[-1]] * 3)


@pytest.mark.parametrize("neck", NECKS.values(), ids=NECKS)
def test_objects_are_those_of_frame_by_frame(neck) -> None:
    model = network(neck)
    alone, together = (OnlineTracker(model, SPEC, others()) for _ in range(2))
    expected = [alone.step(frame) for frame in frames(7)]
    found = [objects for batch in in_batches(frames(7), 3) for objects in together.step_together(batch)]
    assert any(o.propagated for objects in expected for o in objects.values())
    for one, other in zip(expected, found, strict=True):
        assert list(one) == list(other) and len(one) > 0
        for a, b in zip(one.values(), other.values(), strict=True):
            assert (a.label, a.propagated) == (b.label, b.propagated)
            assert torch.allclose(a.box, b.box, atol=1e-9) and abs(a.score - b.score) < 1e-9
            assert torch.equal(a.mask, b.mask)


def test_tracks_of_a_video_are_those_of_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(None)
    sizes: list[int] = []
    pyramid = model.pyramid
    monkeypatch.setattr(model, "pyramid", lambda images: sizes.append(len(images)) or pyramid(images))
    tracks = {}
    for size in (1, 4):
        spec = SPEC.model_copy(update={"frames_per_batch": size})
        tracks[size] = [track.to_json() for track in track_video(model, frames(5), 1, [1, 2, 3], spec)]
    assert sizes == [1, 1, 1, 1, 1, 4, 1]
    for one, other in zip(tracks[1], tracks[4], strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), rel=1e-9) and one == other
    assert len(tracks[1]) > 1


def test_batches_hold_every_item_once_in_order() -> None:
    assert list(in_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(in_batches([], 2)) == []
