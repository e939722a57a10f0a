"""The network on a GPU, where there is one: every precision trains and tracks, and boxes are those of the CPU."""

import pytest
import torch

from tests.models.small import make_batch, small_model
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import NeckSpec
from vistrials.structures.frames import Frame
from vistrials.tracking.online import OnlineTracker

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")
SIZE = (64, 96)


def boxes_of(device: str) -> torch.Tensor:
    torch.manual_seed(3)
    model = small_model(neck=NeckSpec(levels=(0, 1))).double().to(device).eval()
    image = torch.randn(3, *SIZE).double().to(device)
    objects = OnlineTracker(model, InferenceSpec(score_threshold=0.2)).step(Frame(image, 1.0, SIZE))
    return torch.stack([found.box for found in objects.values()]).cpu()


def test_detections_are_those_of_the_cpu() -> None:
    assert torch.allclose(boxes_of("cuda"), boxes_of("cpu"), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=["32-true", "bf16-mixed", "16-mixed"])
def test_a_step_and_a_frame_under_every_precision(dtype: torch.dtype | None) -> None:
    model = small_model(neck=NeckSpec(levels=(0, 1))).cuda()
    batch = make_batch([2, 0]).to(device="cuda")
    expected = model.train()(batch)
    with torch.autocast("cuda", dtype, enabled=dtype is not None):
        losses = model(batch)
        total = torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum()
        objects = OnlineTracker(model.eval(), InferenceSpec(score_threshold=0.2)).step(
            Frame(torch.randn(3, *SIZE).cuda(), 1.0, SIZE)
        )
    total.backward()
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert {found.box.dtype for found in objects.values()} == {torch.float32}
    # Sampling draws anew; what no sampling touches is alike.
    for name in ("loss_propattn", "loss_propmask"):
        assert float(losses[name].detach()) == pytest.approx(float(expected[name].detach()), rel=0.05)
