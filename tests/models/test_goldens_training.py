"""Losses and gradients of the whole network against the original program, in float64."""

from pathlib import Path

import pytest
import torch

from tests.models.goldens import Golden, relative_error
from tests.models.original_weights import load_deterministic_weights
from vistrials.models.objprop import ObjProp, build_model
from vistrials.models.original_names import original_name
from vistrials.specs.model import BoxHeadSpec, ModelSpec, NeckSpec, ProposalSpec, RPNSpec, SamplerSpec
from vistrials.structures.frames import FramePairBatch

ALL = 10**6
PROPOSALS = ProposalSpec(num_before_nms=300, num_after_nms=300, max_num=300)


def _model(goldens: Path, neck: NeckSpec | None) -> ObjProp:
    spec = ModelSpec(
        neck=neck,
        rpn=RPNSpec(sampler=SamplerSpec(num=ALL, positive_fraction=0.5), proposals=PROPOSALS),
        box_head=BoxHeadSpec(sampler=SamplerSpec(num=ALL, positive_fraction=0.25)),
    )
    model = build_model(spec, num_categories=40).double()
    load_deterministic_weights(model, goldens, seed=9)
    return model.train()


def _batch(golden: Golden, images: Golden) -> FramePairBatch:
    def per_image(name: str) -> list[torch.Tensor]:
        return [golden[f"{name}_{b}"] for b in (0, 1)]

    return FramePairBatch(
        key_images=images["img"].double(),
        reference_images=images["ref_img"].double(),
        image_sizes=[tuple(shape[:2].tolist()) for shape in per_image("img_shape")],
        boxes=[b.double() for b in per_image("gt_bboxes")],
        labels=per_image("gt_labels"),
        masks=per_image("gt_masks"),
        reference_boxes=[b.double() for b in per_image("ref_bboxes")],
        instance_match=per_image("gt_pids"),
    )


@pytest.mark.parametrize(("name", "neck"), [("baseline", None), ("attn", NeckSpec())])
def test_losses_and_gradients(shared_dir: Path, name: str, neck: NeckSpec | None) -> None:
    goldens = shared_dir / "goldens"
    golden = Golden(goldens / f"full_train_{name}.npz")
    model = _model(goldens, neck)
    losses = model(_batch(golden, Golden(goldens / "full_train_baseline.npz")))
    errors = {
        key: relative_error(losses[key], golden[f"loss__{key}"].sum()) for key in losses if key.startswith("loss_")
    }
    total = sum(value for key, value in losses.items() if key.startswith("loss_"))
    errors["total"] = relative_error(total, golden["total_loss"])
    total.backward()
    gradients = {original_name(n): p.grad for n, p in model.named_parameters()}
    norms = dict(zip(golden.raw("grad_param_names"), golden.raw("grad_param_norms"), strict=True))
    largest = max(norms.values())
    for original, norm in norms.items():
        gradient = gradients[original.decode()]
        if norm < 0:
            assert gradient is None, f"{original} has a gradient but is frozen in the original"
        else:
            assert gradient is not None
            errors["grad " + original.decode()] = abs(float(gradient.norm()) - norm) / max(norm, 1e-6 * largest)
    for layer in (1, 4):
        for buffer in ("running_mean", "running_var"):
            stored = golden[f"after__prop_head.convs.{layer}.{buffer}"]
            errors[f"{buffer} {layer}"] = relative_error(getattr(model.propagation.features[layer], buffer), stored)
    worst = max(errors, key=errors.__getitem__)
    print(f"{name}: worst of {len(errors)} is {worst}: {errors[worst]:.1e}")
    assert errors[worst] < 1e-8, f"{worst}: {errors[worst]:.1e}"
