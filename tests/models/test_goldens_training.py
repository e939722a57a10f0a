"""Losses and gradients of the whole network against the original program, in float64."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.goldens import Golden, noted, reference_labels, relative_error, strided
from tests.models.original_weights import load_deterministic_weights
from vistrials.models.objprop import ObjProp, build_model
from vistrials.specs.model import BoxHeadSpec, ModelSpec, NeckSpec, ProposalSpec, RPNSpec, SamplerSpec
from vistrials.structures.frames import FramePairBatch
from vistrials.weights.original_names import original_name

ALL = 10**6
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PROPOSALS = ProposalSpec(num_before_nms=300, num_after_nms=300, max_num=300)


def _model(recordings: Path, neck: NeckSpec | None) -> ObjProp:
    spec = ModelSpec(
        neck=neck,
        rpn=RPNSpec(sampler=SamplerSpec(num=ALL, positive_fraction=0.5), proposals=PROPOSALS),
        box_head=BoxHeadSpec(sampler=SamplerSpec(num=ALL, positive_fraction=0.25)),
    )
    model = build_model(spec, num_categories=40).double()
    load_deterministic_weights(model, recordings)
    return model.train()


def _batch(golden: Golden, images: Golden) -> FramePairBatch:
    def per_image(name: str) -> list[torch.Tensor]:
        return [golden[f"{name}_{b}"] for b in (0, 1)]

    return FramePairBatch(
        key_images=images.images("img").double(),
        reference_images=images.images("ref_img").double(),
        image_sizes=[tuple(shape[:2].tolist()) for shape in per_image("img_shape")],
        boxes=[b.double() for b in per_image("gt_bboxes")],
        labels=per_image("gt_labels"),
        masks=per_image("gt_masks"),
        reference_boxes=[b.double() for b in per_image("ref_bboxes")],
        reference_objects=[torch.arange(len(b)) for b in per_image("ref_bboxes")],
        reference_labels=reference_labels(per_image("ref_bboxes"), per_image("gt_labels"), per_image("gt_pids")),
        instance_match=per_image("gt_pids"),
    )


def _keep_outputs(model: ObjProp) -> dict[str, Any]:
    """The outputs of box head and neck, once the model has run."""
    outputs: dict[str, Any] = {}
    for part in ("box_head", "neck"):
        if (module := getattr(model, part)) is not None:
            module.register_forward_hook(lambda _, __, output, part=part: outputs.__setitem__(part, output))
    return outputs


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "neck"), [("full_train_baseline", None), ("full_train_attn", NeckSpec())])
def test_losses_and_gradients(recordings: Path, name: str, neck: NeckSpec | None, device: str) -> None:
    golden = Golden(recordings / f"{name}.npz")
    model = _model(recordings, neck).to(device)
    outputs = _keep_outputs(model)
    losses = model(_batch(golden, Golden(recordings / "full_train_baseline.npz", inputs_only=True)).to(device=device))
    errors = {
        key: relative_error(losses[key], golden[f"loss__{key}"].sum()) for key in losses if key.startswith("loss_")
    }
    for key in ("acc", "match_acc"):
        errors[key] = relative_error(100 * losses[key].reshape(1), golden[f"loss__{key}"].reshape(1).double())
    logits, deltas = outputs["box_head"]
    errors["class logits"] = relative_error(logits[:40], golden["cls_score"])
    errors["box deltas"] = relative_error(deltas[:40, :16], golden["bbox_pred"])
    for i, level in enumerate(outputs.get("neck", [])):
        errors[f"neck output {i}"] = relative_error(strided(level), golden[f"sta{i}_sample"])
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
            difference = abs(float(gradient.norm()) - norm)
            errors["grad " + original.decode()] = noted(difference / max(norm, 1e-6 * largest))
    for name in [n.removeprefix("grad__") for n in golden.arrays.files if n.startswith("grad__")]:
        errors[f"grad sample {name}"] = relative_error(strided(gradients[name]), golden[f"grad__{name}"])
    total_norm = torch.stack([g.norm() for g in gradients.values() if g is not None]).norm()
    errors["grad total"] = relative_error(total_norm, golden["grad_total_norm"])
    for layer in (1, 4):
        for buffer in ("running_mean", "running_var"):
            stored = golden[f"after__prop_head.convs.{layer}.{buffer}"]
            errors[f"{buffer} {layer}"] = relative_error(getattr(model.propagation.features[layer], buffer), stored)
    worst = max(errors, key=errors.__getitem__)
    print(f"{name}: worst of {len(errors)} is {worst}: {errors[worst]:.1e}")
    assert errors[worst] < 1e-8, f"{worst}: {errors[worst]:.1e}"


def test_deterministic_weights_are_those_of_the_original_run(recordings: Path) -> None:
    """What every test of the whole network stands on: each of our tensors holds what its original name says."""
    fingerprint = Golden(recordings / "weights_fingerprint.npz")
    model = build_model(ModelSpec(neck=NeckSpec()), num_categories=40).double()
    load_deterministic_weights(model, recordings)
    state = {original_name(name): value.double().flatten() for name, value in model.state_dict().items()}
    names = [name.decode() for name in fingerprint.raw("names")]
    shapes = dict(zip(names, fingerprint.raw("shapes"), strict=True))
    assert state.keys() == shapes.keys()
    absolute = torch.stack([state[name].abs().sum() for name in names])
    # A sum that cancels has the rounding of its terms, so their magnitude is the scale.
    sums = torch.stack([state[name].sum() for name in names])
    scale = fingerprint["abs_sum"].clamp(min=1)
    assert relative_error(absolute / scale, fingerprint["abs_sum"] / scale) < 1e-12
    assert relative_error(sums / scale + 1, fingerprint["sum"] / scale + 1) < 1e-12
    for name, first in zip(names, fingerprint["first4"], strict=True):
        found = state[name][:4]
        # Machines differ in the last digit of exp.
        assert torch.allclose(found, first[: len(found)], rtol=1e-14, atol=0), name
