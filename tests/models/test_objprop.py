import pytest
import torch
from torch import Tensor, nn

from tests.models.small import make_batch, small_model
from vistrials.errors import SpecError
from vistrials.models.objprop import ObjProp
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import (
    AnchorSpec,
    BoxHeadSpec,
    ConvolutionNeckSpec,
    MaskHeadSpec,
    NeckSpec,
    PropagationSpec,
    RPNSpec,
    SamplerSpec,
    WeightedAffinitySpec,
)
from vistrials.structures.frames import Frame, FramePairBatch

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


def test_masks_are_twice_as_large_as_the_features_of_their_rois() -> None:
    model = small_model(mask_head=MaskHeadSpec(num_convs=1, channels=8, roi_size=5)).eval()
    levels = model.pyramid(torch.zeros(1, 3, 64, 96))
    probs = model.mask_probs(levels, [torch.tensor([[0.0, 0.0, 31.0, 31.0]])], torch.tensor([1]))
    assert probs.shape == (1, 10, 10)


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
            found = [
                model.detect(second, (64, 96), 1.0, InferenceSpec(), previous)[0].boxes for previous in (None, first)
            ]
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


# Assembly


class Sevens(nn.Module):
    """A neck whose output is 7 everywhere; `seen` keeps the values that it was given, key and reference."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[set[float], set[float]]] = []

    def forward(self, key: list[Tensor], reference: list[Tensor]) -> list[Tensor]:
        self.seen.append((values(key), values(reference)))
        return [torch.full_like(level, 7.0) for level in key]


def values(levels: list[Tensor]) -> set[float]:
    return {v for level in levels for v in level.unique().tolist()}


def listening_model(monkeypatch: pytest.MonkeyPatch) -> tuple[ObjProp, dict[str, list[set[float]]]]:
    """A model whose pyramid repeats the first pixel of each image, and the values that its parts are given."""
    model = small_model(neck=NeckSpec(levels=(0, 1, 2, 3)))
    model.neck = Sevens()
    heard: dict[str, list[set[float]]] = {"rpn": [], "box_features": [], "mask_features": [], "extract": []}

    def pyramid(images: Tensor) -> list[Tensor]:
        height, width = images.shape[-2:]
        return [images[:, :1, :1, :1].repeat(1, 8, height // s, width // s) for s in (4, 8, 16, 32)]

    def listen(part: nn.Module, name: str) -> None:
        original = getattr(part, name)

        def spy(levels, *args):
            heard[name].append(values(levels))
            return original(levels, *args)

        monkeypatch.setattr(part, name, spy)

    monkeypatch.setattr(model, "pyramid", pyramid)
    model.rpn.register_forward_pre_hook(lambda module, args: heard["rpn"].append(values(args[0])))
    for part, name in ((model, "box_features"), (model, "mask_features"), (model.propagation, "extract")):
        listen(part, name)
    return model, heard


def test_in_training_each_head_reads_its_frame_and_the_rpn_alone_the_neck(monkeypatch: pytest.MonkeyPatch) -> None:
    model, heard = listening_model(monkeypatch)
    batch = make_batch([2, 1])
    batch.key_images.fill_(2.0)
    batch.reference_images.fill_(3.0)
    model(batch)
    assert model.neck.seen == [({2.0}, {3.0})]
    assert heard == {
        "rpn": [{7.0}],
        "box_features": [{2.0}, {3.0}],
        "mask_features": [{2.0}],
        "extract": [{2.0}, {3.0}],
    }


def test_at_inference_the_rpn_alone_reads_the_neck(monkeypatch: pytest.MonkeyPatch) -> None:
    model, heard = listening_model(monkeypatch)
    model.eval()
    now, before = (model.pyramid(torch.full((1, 3, 64, 96), value)) for value in (2.0, 1.0))
    model.detect(now, (64, 96), 1.0, InferenceSpec(), before)
    model.detect(now, (64, 96), 1.0, InferenceSpec(), None)
    assert model.neck.seen == [({2.0}, {1.0}), ({2.0}, {2.0})]
    assert heard["rpn"] == [{7.0}] * 2 and heard["box_features"] == [{2.0}] * 2


def test_the_order_of_images_and_of_objects_changes_no_loss() -> None:
    everything = SamplerSpec(num=10**6, positive_fraction=0.5)
    model = small_model(
        rpn=RPNSpec(anchors=AnchorSpec(scale=3), sampler=everything),
        box_head=BoxHeadSpec(fc_channels=16, sampler=everything),
    ).double()
    batch = make_batch([3, 2], [2, 2]).to(torch.float64)
    batch.instance_match = [torch.tensor([2, 0, 1]), torch.tensor([1, 2])]
    losses = model(batch)

    order, references = torch.tensor([2, 0, 1]), torch.tensor([1, 0])
    # Row i of the new reference boxes was row references[i]: 1 + the row is renamed alike, 0 stays.
    renamed = torch.tensor([0, 2, 1])
    moved = FramePairBatch(
        key_images=batch.key_images.flip(0),
        reference_images=batch.reference_images.flip(0),
        image_sizes=batch.image_sizes[::-1],
        boxes=[batch.boxes[1], batch.boxes[0][order]],
        labels=[batch.labels[1], batch.labels[0][order]],
        masks=[batch.masks[1], batch.masks[0][order]],
        reference_boxes=[batch.reference_boxes[1], batch.reference_boxes[0][references]],
        reference_labels=[batch.reference_labels[1], batch.reference_labels[0][references]],
        reference_objects=[batch.reference_objects[1], batch.reference_objects[0][references]],
        instance_match=[batch.instance_match[1], renamed[batch.instance_match[0]][order]],
    )
    again = model(moved)
    for name, value in losses.items():
        assert torch.allclose(again[name], value, rtol=1e-9), name
    batch.instance_match[0] = torch.tensor([1, 0, 2])
    assert not torch.allclose(model(batch)["loss_match"], losses["loss_match"], rtol=1e-9)


def test_masks_at_inference_are_probabilities_of_the_labels_maps() -> None:
    model = small_model().eval()
    levels = model.pyramid(torch.randn(1, 3, 64, 96))
    boxes = torch.tensor([[3.0, 4.0, 40.0, 30.0]]).repeat(2, 1)
    probs = model.mask_probs(levels, [boxes], torch.tensor([1, 3]))
    logits = model.mask_head(model.mask_features(levels, [boxes]), torch.tensor([1, 3]))
    assert torch.allclose(probs, 1 / (1 + torch.exp(-logits)))
    assert not torch.allclose(probs[0], probs[1])


def test_embeddings_have_length_1_at_inference_and_are_compared_by_their_cosine() -> None:
    model = small_model().eval()
    levels = model.pyramid(torch.randn(1, 3, 64, 96))
    (embeddings,) = model.embed(levels, [torch.tensor([[0.0, 0.0, 30.0, 40.0], [10.0, 10.0, 90.0, 60.0]])])
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(2))
    assert torch.allclose(model.match_scores(embeddings, embeddings)[:, 1:].diagonal(), torch.ones(2))


class ListeningNeck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.references: list[Tensor] = []

    def forward(self, key: list[Tensor], reference: list[Tensor]) -> list[Tensor]:
        self.references.append(reference[0].detach())
        return key


@pytest.mark.parametrize("attends_to", ["other_frame", "same_frame", "other_video"])
def test_what_the_neck_attends_to(attends_to: str) -> None:
    model = small_model(neck=NeckSpec(levels=(0,), reference=attends_to))
    model.neck = ListeningNeck()
    batch = make_batch([1, 1, 2])
    model(batch)
    both = model.pyramid(batch.network_images())[0].detach()
    key, reference = both.chunk(2)
    expected = {"other_frame": reference, "same_frame": key, "other_video": reference[[2, 0, 1]]}[attends_to]
    assert torch.allclose(model.neck.references[0], expected, atol=1e-6)

    model.eval()
    levels, previous = ([level[i : i + 1] for level in model.pyramid(batch.network_images())] for i in (0, 1))
    model.detect(levels, (64, 96), 1.0, InferenceSpec(), previous)
    model.detect(levels, (64, 96), 1.0, InferenceSpec(), None)
    expected = levels[0] if attends_to == "same_frame" else previous[0]
    assert torch.equal(model.neck.references[1], expected) and torch.equal(model.neck.references[2], levels[0])
    assert model.wants_other_video == (attends_to == "other_video")


def test_a_neck_that_attends_to_another_video_wants_two_pairs() -> None:
    model = small_model(neck=NeckSpec(levels=(0,), reference="other_video"))
    with pytest.raises(SpecError, match="expected two pairs or more on a device, found 1"):
        model(make_batch([1]))


def test_a_convolution_neck_is_there_in_training_and_at_inference() -> None:
    model = small_model(neck=ConvolutionNeckSpec(levels=(0,)))
    model.neck = ListeningNeck()
    model(make_batch([1, 1]))
    model.eval()
    model.detect(model.pyramid(torch.zeros(1, 3, 64, 96)), (64, 96), 1.0, InferenceSpec(), None)
    assert len(model.neck.references) == 2 and not model.wants_other_video
