"""Losses of key frames with one reference frame or several."""

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.models.small import make_batch, small_model
from vistrials.models.objprop import ObjProp
from vistrials.models.track_memory import remember
from vistrials.specs.model import (
    AnchorSpec,
    BoxHeadSpec,
    ConvolutionNeckSpec,
    MaskHeadSpec,
    NeckSpec,
    PresenceSpec,
    PropagationSpec,
    RPNSpec,
    SamplerSpec,
    TrackHeadSpec,
    TrackMemorySpec,
)
from vistrials.structures.frames import FramePairBatch

LEVELS = (0, 1, 2, 3)
EVERYTHING = SamplerSpec(num=10**6, positive_fraction=0.5)


def losses_before_clips(model: ObjProp, batch: FramePairBatch) -> dict[str, Tensor]:
    """The losses of pairs, put together as when there was nothing but pairs."""
    both = model.pyramid(batch.network_images().to(next(model.parameters()).dtype))
    key, reference = ([level.chunk(2)[i] for level in both] for i in (0, 1))
    rpn_input = model.neck(key, reference) if model.neck else key
    sizes = [(level.shape[-2], level.shape[-1]) for level in rpn_input]
    logits, deltas = model.rpn(rpn_input)
    losses = model.rpn.loss(logits, deltas, sizes, batch)
    proposals = [boxes for boxes, _ in model.rpn.propose(logits, deltas, sizes, batch.image_sizes)]
    rois = model.box_head.sample(proposals, batch)
    features = model.box_features(key, [r.boxes for r in rois])
    logits, deltas = model.box_head(features)
    losses |= model.box_head.loss(logits, deltas, rois, batch)
    embeddings = model.track_head(features)
    references = model.track_head(model.box_features(reference, batch.reference_boxes))
    losses |= model.track_head.loss(embeddings, references, rois, batch)
    rois = model.mask_head.rois(rois)
    labels = torch.cat([of_image[r.truth_index] for r, of_image in zip(rois, batch.labels, strict=True)])
    mask_logits = model.mask_head(model.mask_features(key, [r.boxes for r in rois]), labels)
    losses |= model.mask_head.loss(mask_logits, rois, batch)
    if model.propagation is not None:
        features, references = model.propagation.extract(key), model.propagation.extract(reference)
        losses |= model.propagation.loss(features, references, batch)
    return losses


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack([loss for name, loss in losses.items() if name.startswith("loss_")]).sum()


@pytest.mark.parametrize("neck", [None, NeckSpec(levels=LEVELS), ConvolutionNeckSpec(levels=LEVELS)])
def test_with_one_reference_three_steps_are_to_the_bit_what_they_were(neck: object) -> None:
    ours = small_model(neck=neck)
    theirs, batch = copy.deepcopy(ours), make_batch([3, 2], [2, 2])
    for step in range(3):
        losses = []
        for model, call in ((ours, ours), (theirs, lambda batch: losses_before_clips(theirs, batch))):
            torch.manual_seed(step)
            found = call(batch)
            model.zero_grad()
            total(found).backward()
            torch.optim.SGD(model.parameters(), lr=0.001).step()
            losses.append({name: loss.item() for name, loss in found.items()})
        assert losses[0] == losses[1]
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def model_of_clips(**changes: object) -> ObjProp:
    """In float64, with samplers that leave nothing to chance; the backbone's batch norms by stored statistics."""
    parts = {
        "rpn": RPNSpec(anchors=AnchorSpec(scale=3), sampler=EVERYTHING),
        "box_head": BoxHeadSpec(fc_channels=16, sampler=EVERYTHING),
        "propagation": PropagationSpec(channels=8, num_mask_convs=1, presence=PresenceSpec(channels=4)),
    }
    return small_model(**(parts | changes)).double().train()


def clips(num_references: int = 2) -> FramePairBatch:
    """Two key frames; each reference frame shows other objects of them."""
    batch = make_batch([3, 2], [2, 2], num_references=num_references).to(torch.float64)
    batch.instance_match[0], batch.instance_match[-1] = torch.tensor([2, 0, 1]), torch.tensor([0, 2])
    batch.reference_objects[0] = torch.tensor([2, 0])
    batch.reference_objects[-1] = torch.tensor([2, 1])
    return batch


@pytest.mark.parametrize("num_references", [2, 3])
def test_losses_are_the_means_over_pairs(num_references: int) -> None:
    model, batch = model_of_clips(), clips(num_references)
    assert batch.num_references == num_references
    of_pairs = [model(pairs) for pairs in batch.by_reference()]
    found = model(batch)
    assert found.keys() == of_pairs[0].keys()
    for name, loss in found.items():
        mean = sum(losses[name].item() for losses in of_pairs) / num_references
        assert loss.item() == pytest.approx(mean, rel=1e-12), name
    for name in ("loss_match", "loss_propattn", "loss_propmask", "loss_proppresence"):
        assert abs(of_pairs[0][name] - of_pairs[1][name]) > 1e-6, name


def test_gradients_are_the_means_over_pairs() -> None:
    model, batch = model_of_clips(mask_head=MaskHeadSpec(num_convs=1, channels=8)), clips()
    total(model(batch)).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for pairs in batch.by_reference():
        (total(model(pairs)) / 2).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(found[name], parameter.grad, rtol=1e-9, atol=1e-12), name


def test_under_a_neck_the_rpn_learns_from_each_reference_and_proposes_by_the_last() -> None:
    model, batch = model_of_clips(neck=NeckSpec(levels=LEVELS, gamma_init=3.0)), clips()
    of_pairs, found = [model(pairs) for pairs in batch.by_reference()], model(batch)
    for name in ("loss_rpn_cls", "loss_rpn_bbox"):
        assert found[name].item() == pytest.approx(sum(losses[name].item() for losses in of_pairs) / 2, rel=1e-12)
        assert abs(of_pairs[0][name] - of_pairs[1][name]) > 1e-6
    for name in ("loss_cls", "loss_bbox", "loss_mask"):
        assert found[name].item() == pytest.approx(of_pairs[1][name].item(), rel=1e-12)
    assert abs(of_pairs[0]["loss_cls"] - of_pairs[1]["loss_cls"]) > 1e-9


@pytest.mark.parametrize("neck", [NeckSpec(levels=LEVELS, reference="same_frame"), ConvolutionNeckSpec(levels=LEVELS)])
def test_a_neck_that_sees_no_reference_runs_once(neck: object) -> None:
    model, calls = model_of_clips(neck=neck), []
    model.neck.register_forward_hook(lambda *_: calls.append(1))
    model(clips())
    assert len(calls) == 1


@pytest.mark.parametrize("normalised", [False, True])
def test_with_a_memory_the_key_frame_is_matched_with_it_alone(normalised: bool) -> None:
    spec = TrackHeadSpec(fc_channels=16, normalised=normalised, logit_scale=3, memory=TrackMemorySpec())
    model, batch = model_of_clips(track_head=spec), clips()
    pyramid = model.pyramid(batch.network_images())
    references = [[level.chunk(3)[i] for level in pyramid] for i in (1, 2)]
    embeddings = [
        model.track_head(model.box_features(levels, pairs.reference_boxes))
        for levels, pairs in zip(references, batch.by_reference(), strict=True)
    ]
    if normalised:
        embeddings = [normalize(of_frame, dim=1) for of_frame in embeddings]
    expected, remembered = remember(embeddings, batch.by_reference(), None)
    heard = []
    loss = model.track_head.loss
    model.track_head.loss = lambda *arguments: heard.append(arguments) or loss(*arguments)
    found = model(batch)
    ((_, memory, _, of_memory),) = heard
    assert torch.allclose(memory, expected, rtol=1e-12)
    # Image 0 has objects 2 and 0, then 0 and 1; image 1 has 0 and 1, then 2 and 1.
    assert len(memory) == 6 and [m.tolist() for m in of_memory.instance_match] == [[1, 2, 3], [1, 2]]
    assert [m.tolist() for m in remembered.instance_match] == [m.tolist() for m in of_memory.instance_match]
    plain = model_of_clips(track_head=spec.model_copy(update={"memory": None}))(batch)
    assert {name for name, value in plain.items() if not torch.equal(value, found[name])} <= {"loss_match", "match_acc"}
    assert abs(plain["loss_match"] - found["loss_match"]) > 1e-6


def test_how_objects_are_numbered_changes_no_loss() -> None:
    spec = TrackHeadSpec(fc_channels=16, memory=TrackMemorySpec())
    model, batch = model_of_clips(track_head=spec), clips()
    found = model(batch)
    renamed = torch.tensor([1, 2, 0])
    batch.reference_objects = [renamed[objects] for objects in batch.reference_objects]
    for name, loss in model(batch).items():
        assert torch.allclose(loss, found[name], rtol=1e-12), name
    batch.reference_objects[0] = batch.reference_objects[0].flip(0)
    assert not torch.allclose(model(batch)["loss_match"], found["loss_match"], rtol=1e-9)


def test_a_memory_of_nothing_gives_losses_with_a_graph() -> None:
    model = model_of_clips(track_head=TrackHeadSpec(fc_channels=16, memory=TrackMemorySpec()))
    losses = model(make_batch([2, 1], [0, 0], num_references=2).to(torch.float64))
    total(losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(("memory", "found"), [(None, False), (TrackMemorySpec(), True)])
def test_what_the_tracker_is_told_of_memory(memory: TrackMemorySpec | None, found: bool) -> None:
    model = small_model(track_head=TrackHeadSpec(fc_channels=16, memory=memory))
    assert (model.memory_at_inference is not None) is found
    off = TrackHeadSpec(fc_channels=16, memory=TrackMemorySpec(at_inference=False))
    assert small_model(track_head=off).memory_at_inference is None
