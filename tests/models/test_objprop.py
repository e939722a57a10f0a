import pytest
import torch

from tests.models.small import make_batch, small_model
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import NeckSpec, PropagationSpec, WeightedAffinitySpec
from vistrials.structures.frames import Frame

LOSSES = {
    "loss_rpn_cls",
    "loss_rpn_bbox",
    "loss_cls",
    "loss_bbox",
    "loss_match",
    "loss_mask",
    "loss_propattn",
    "loss_propmask",
}


def _total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([value for name, value in losses.items() if name.startswith("loss_")]).sum()


def test_published_losses() -> None:
    losses = small_model()(make_batch([2, 1]))
    assert {name for name in losses if name.startswith("loss_")} == LOSSES
    assert all(value.dim() == 0 and torch.isfinite(value) for value in losses.values())


def test_masktrack_has_no_propagation_losses() -> None:
    losses = small_model(propagation=None)(make_batch([2, 1]))
    assert {name for name in losses if name.startswith("loss_")} == LOSSES - {
        "loss_propattn",
        "loss_propmask",
    }


@pytest.mark.parametrize(
    ("instances", "references"),
    [([0, 0], [0, 0]), ([0, 2], [1, 2]), ([2, 1], [0, 0]), ([1], [3])],
    ids=["nothing", "one image empty", "no references", "one positive image"],
)
def test_images_without_ground_truth_give_losses_with_a_graph(instances: list[int], references: list[int]) -> None:
    model = small_model()
    losses = model(make_batch(instances, references))
    if sum(instances) == 0:
        assert all(losses[name] == 0 for name in ("loss_bbox", "loss_match", "loss_mask", "loss_rpn_bbox"))
    if sum(references) == 0:
        assert losses["loss_propattn"] == 0 and losses["loss_propmask"] == 0
    _total(losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.mask_head.logits.weight.grad is not None


def test_frozen_stages_have_no_gradient_and_all_else_has() -> None:
    model = small_model(neck=NeckSpec(levels=(0, 1, 2, 3)))
    _total(model(make_batch([3, 2]))).backward()
    frozen = {name for name, p in model.named_parameters() if p.grad is None}
    assert frozen == {name for name in dict(model.named_parameters()) if name.startswith(
        ("backbone.conv1", "backbone.bn1", "backbone.layer1")
    )}  # fmt: skip


def test_backbone_norms_keep_their_statistics_in_training() -> None:
    model = small_model().train()
    before = model.backbone.bn1.running_mean.clone()
    model(make_batch([1]))
    assert torch.equal(model.backbone.bn1.running_mean, before)
    assert model.propagation.features[1].num_batches_tracked == 2  # key and reference frames, separately


@pytest.mark.parametrize("scope", ["per_sample", "shared", "per_category"])
def test_identity_weights_start_from_the_plain_affinity(scope: str) -> None:
    plain = small_model()
    weighted = small_model(propagation=PropagationSpec(
        channels=8, num_mask_convs=1, affinity=WeightedAffinitySpec(scope=scope, num_samples=2)
    ))  # fmt: skip
    weighted.load_state_dict(plain.state_dict(), strict=False)
    batch = make_batch([2, 2])
    torch.manual_seed(5)
    expected = plain(batch)
    torch.manual_seed(5)
    actual = weighted(batch)
    for name in ("loss_propattn", "loss_propmask"):
        assert torch.allclose(actual[name], expected[name], rtol=1e-5)
    _total(actual).backward()
    assert weighted.propagation.affinity.weight.grad.abs().sum() > 0


def test_an_object_that_only_the_reference_frame_shows_trains_the_matrix_of_its_own_category() -> None:
    affinity = WeightedAffinitySpec(scope="per_category")
    model = small_model(propagation=PropagationSpec(channels=8, num_mask_convs=1, affinity=affinity))
    batch = make_batch([1], [2])  # of labels 1 and 2, and the key frame shows the first
    model(batch)["loss_propattn"].backward()
    trained = model.propagation.affinity.weight.grad.abs().sum(dim=(1, 2)) > 0
    assert trained.tolist() == [True, True, False]


def test_neck_reads_the_previous_frame_at_inference_unless_switched_off() -> None:
    frames = torch.randn(2, 1, 3, 64, 96)
    outcomes = {}
    for at_inference in (True, False):
        model = small_model(neck=NeckSpec(levels=(0, 1, 2, 3), gamma_init=5.0, at_inference=at_inference)).eval()
        with torch.inference_mode():
            first, second = (model.pyramid(image) for image in frames)
            found = [model.detect(second, (64, 96), 1.0, InferenceSpec(), previous).boxes for previous in (None, first)]
        outcomes[at_inference] = found[0].shape == found[1].shape and torch.allclose(found[0], found[1])
    assert outcomes == {True: False, False: True}


def test_a_frame_record_moves_with_its_batch() -> None:
    moved = make_batch([1]).to(torch.float64)
    assert moved.key_images.dtype == moved.boxes[0].dtype == torch.float64
    assert moved.labels[0].dtype == torch.int64 and moved.masks[0].dtype == torch.uint8
    assert Frame(moved.key_images[0], 1.0, (64, 96)).original_size == (64, 96)


def test_affinity_stays_in_float32_under_mixed_precision() -> None:
    model = small_model()
    key, reference = torch.randn(2, 8, 4, 6) * 30
    boxes, labels = torch.tensor([[0.0, 0.0, 23.0, 15.0]]), torch.tensor([1])
    expected = model.propagation.attend(key, reference, boxes, labels)
    with torch.autocast("cpu", torch.bfloat16):
        actual = model.propagation.attend(key, reference, boxes, labels)
    assert all(torch.equal(a, e) for a, e in zip(actual, expected, strict=True))
