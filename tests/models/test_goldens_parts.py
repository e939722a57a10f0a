"""Every part against the recorded outputs of the original program, in float64."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from tests.models.goldens import Golden, gradient_errors, load_part, reference_labels, relative_error
from tests.models.small import batch_of
from vistrials.formats import rle
from vistrials.geometry import boxes as box_ops
from vistrials.models import anchors as anchor_ops
from vistrials.models.affinity import gaussian_of_distance
from vistrials.models.attention_neck import AttentionNeck
from vistrials.models.box_head import BoxHead, SampledRoIs, sample_rois
from vistrials.models.mask_head import MaskHead, crop_mask, mask_targets, paste
from vistrials.models.matching import assign
from vistrials.models.propagation_head import PropagationHead
from vistrials.models.rpn import RPN, select_proposals
from vistrials.models.track_head import TrackHead, match_scores
from vistrials.models.variants import build_sampler
from vistrials.specs.inference import AssociationSpec, InferenceSpec
from vistrials.specs.model import (
    AnchorSpec,
    AssignerSpec,
    BoxHeadSpec,
    MaskHeadSpec,
    NeckSpec,
    PropagationSpec,
    ProposalSpec,
    RPNSpec,
    SamplerSpec,
    TrackHeadSpec,
)
from vistrials.tracking.association import associate, association_scores
from vistrials.weights.original_names import original_name

TOLERANCE = 1e-9
ALL = 10**6
STRIDES = (4, 8, 16, 32, 64)


@pytest.fixture(autouse=True)
def _double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def golden(recordings: Path, request: pytest.FixtureRequest) -> Golden:
    return Golden(recordings / f"{request.param}.npz")


def using(name: str):
    return pytest.mark.parametrize("golden", [name], indirect=True)


@using("attention_neck")
def test_attention_neck_outputs_and_gradients(golden: Golden) -> None:
    neck = AttentionNeck(NeckSpec(levels=(0, 1, 2, 3)), channels=16)
    load_part(neck, "neck", golden, "w__", "neck_attn")
    keys = [golden[f"x{i}"].requires_grad_() for i in range(4)]
    references = [golden[f"ref{i}"].requires_grad_() for i in range(4)]
    outputs = neck(keys, references)
    for i, output in enumerate(outputs):
        assert golden.error(f"out{i}", output) < TOLERANCE
    total = sum((output * golden[f"R{i}"]).sum() for i, output in enumerate(outputs))
    assert relative_error(total, golden["L"]) < TOLERANCE
    total.backward()
    for i in range(4):
        assert golden.error(f"gx{i}", keys[i].grad) < TOLERANCE
        assert golden.error(f"gref{i}", references[i].grad) < TOLERANCE
    assert max(gradient_errors(neck, "neck", golden, "gw__", "neck_attn").values()) < TOLERANCE


@using("prop_head_train")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_propagation_head_losses_and_gradients(golden: Golden, mode: str) -> None:
    head = PropagationHead(PropagationSpec(channels=16), in_channels=16, num_categories=8)
    load_part(head, "propagation", golden, f"{mode}__w__", "prop_head")
    head.train(mode == "train")
    key = head.extract([golden[f"{mode}__x{i}"] for i in range(4)])
    reference = head.extract([golden[f"{mode}__ref{i}"] for i in range(4)])

    def per_image(name: str) -> list[torch.Tensor]:
        return [golden[f"{mode}__{name}_{b}"] for b in range(2)]

    for b, boxes in enumerate(per_image("ref_bboxes")):
        cells = head.attend(key[b], reference[b], boxes, torch.ones(len(boxes), dtype=torch.long), sample=b)
        for name, field in zip(("fg", "bg"), cells, strict=True):
            pixels = torch.nn.functional.interpolate(field[:, None], scale_factor=8, mode="bilinear")[:, 0]
            assert golden.error(f"{mode}__{name}_{b}", pixels[:, ::2, ::2]) < TOLERANCE
    batch = batch_of(
        reference_boxes=per_image("ref_bboxes"), boxes=per_image("gt_bboxes"), labels=per_image("gt_labels"),
        masks=per_image("gt_masks"), instance_match=per_image("gt_pids"),
        reference_labels=reference_labels(per_image("ref_bboxes"), per_image("gt_labels"), per_image("gt_pids")),
    )  # fmt: skip
    losses = head.loss(key, reference, batch)
    assert relative_error(losses["loss_propattn"], golden[f"{mode}__loss_propattn"]) < TOLERANCE
    assert relative_error(losses["loss_propmask"].reshape(1), golden[f"{mode}__loss_propmask"]) < TOLERANCE
    assert relative_error(sum(losses.values()).reshape(1), golden[f"{mode}__total"].reshape(1)) < TOLERANCE
    sum(losses.values()).backward()
    # Biases before a batch norm in training mode have gradients that are zero but for rounding.
    without = ("features.0.bias", "features.3.bias") if mode == "train" else ()
    errors = gradient_errors(head, "propagation", golden, f"{mode}__gw__", "prop_head", without)
    assert max(errors.values()) < TOLERANCE
    _compare_mask_logits(head, golden, mode, key.detach())
    # The file stores the running statistics after the step only, so their update is checked in test_goldens_training.


def _compare_mask_logits(head: PropagationHead, golden: Golden, mode: str, key: torch.Tensor) -> None:
    """Of the reference boxes that have a match: the map of the category, from the stored attention."""
    chosen, labels = golden[f"{mode}__mask_sel"], golden[f"{mode}__mask_sel_labels"]
    counts = [len(golden[f"{mode}__ref_bboxes_{b}"]) for b in range(2)]
    image_of = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
    cells = [
        head.attend(key[b], head_reference, golden[f"{mode}__ref_bboxes_{b}"], torch.ones(counts[b], dtype=torch.long))
        for b, head_reference in enumerate(head.extract([golden[f"{mode}__ref{i}"] for i in range(4)]).detach())
    ]
    difference = torch.cat([foreground - background for foreground, background in cells])
    pixels = torch.nn.functional.interpolate(difference[:, None], scale_factor=8, mode="bilinear")[:, 0]
    with torch.no_grad():
        features = torch.cat([head.attended_features(key[image_of[r]], pixels[[r]].sigmoid()) for r in chosen.tolist()])
        logits = head.mask_logits(features, labels)
    found, stored = golden.kept(f"{mode}__mask_pred", logits[:, ::4, ::4])
    assert relative_error(found, stored[chosen, labels]) < TOLERANCE
    assert relative_error(logits.sum((1, 2)), golden[f"{mode}__mask_pred_sum"][chosen, labels]) < TOLERANCE


@using("prop_head_predict")
def test_propagation_at_inference(golden: Golden, recordings: Path) -> None:
    head = PropagationHead(PropagationSpec(channels=16), in_channels=16, num_categories=8)
    trained = Golden(recordings / "prop_head_train.npz", inputs_only=True)
    load_part(head, "propagation", trained, "eval__w__", "prop_head")
    if "w__convs.0.weight" in golden:
        load_part(head, "propagation", golden, "w__", "prop_head")
    head.eval()
    with torch.no_grad():
        key = head.extract([golden[f"x{i}"] for i in range(4)])
        reference = head.extract([golden[f"ref{i}"] for i in range(4)])
    assert relative_error(key, golden["x_feats"]) < TOLERANCE
    assert relative_error(reference, golden["r_feats"]) < TOLERANCE
    affinity = head.affinity(key[0], reference[0])
    assert relative_error(affinity[::4, ::4], golden["similarity_colsoftmax"][0]) < TOLERANCE
    spatial = torch.kron(gaussian_of_distance(12, 8.0, key), gaussian_of_distance(16, 8.0, key))
    assert relative_error(spatial[::3, ::3], golden["spatial_weight"]) < TOLERANCE
    labels = golden["labels"] + 1
    rescaled = golden["boxes_rescaled"][:, :4] * golden["scale_factor"]
    for i, boxes in enumerate((golden["boxes"][:, :4], rescaled)):
        assert golden.error(f"pred_rescale{i}", head.propagate(key[0], [reference[0]], [boxes], [labels])) < TOLERANCE


@using("rpn")
def test_anchors(golden: Golden) -> None:
    for i, (stride, size) in enumerate(zip(STRIDES, [(48, 80), (24, 40), (12, 20), (6, 10), (3, 5)], strict=True)):
        assert torch.equal(anchor_ops.base_anchors(stride, AnchorSpec()), golden[f"base_anchors_{i}"])
        anchors = anchor_ops.level_anchors(*size, stride, AnchorSpec())
        assert [len(anchors), anchors.sum()] == golden[f"anchors_{i}_count_sum"].tolist()
        stored = golden[f"anchors_{i}"].double()
        assert torch.equal(anchors[: len(stored)], stored)


@using("rpn")
def test_rpn_head(golden: Golden) -> None:
    rpn = RPN(RPNSpec(), channels=8)
    load_part(rpn, "rpn", golden, "w__", "rpn_head")
    logits, deltas = rpn([golden[f"feat{i}"] for i in (2, 3, 4)])
    for j, i in enumerate((2, 3, 4)):
        size = golden[f"feat{i}"].shape[-2:]
        assert golden.error(f"head_cls{i}", logits[j].unflatten(1, (*size, 3)).permute(0, 3, 1, 2)) < TOLERANCE
        maps = deltas[j].reshape(2, *size, 12).permute(0, 3, 1, 2)
        assert golden.error(f"head_bbox{i}", maps) < TOLERANCE


def _rpn_maps(
    golden: Golden,
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    cls_maps = [golden[f"cls{i}"].double().requires_grad_() for i in range(5)]
    bbox_maps = [golden[f"bbox{i}"].double().requires_grad_() for i in range(5)]
    logits = [m.permute(0, 2, 3, 1).flatten(1) for m in cls_maps]
    deltas = [m.permute(0, 2, 3, 1).reshape(2, -1, 4) for m in bbox_maps]
    return cls_maps, bbox_maps, logits, deltas


def _rpn_anchors(maps: list[torch.Tensor]) -> list[torch.Tensor]:
    return [
        anchor_ops.level_anchors(*m.shape[-2:], stride, AnchorSpec()) for m, stride in zip(maps, STRIDES, strict=True)
    ]


@using("rpn")
def test_rpn_losses(golden: Golden) -> None:
    cls_maps, bbox_maps, logits, deltas = _rpn_maps(golden)
    rpn = RPN(RPNSpec(sampler=SamplerSpec(num=ALL, positive_fraction=0.5)), channels=8)
    sizes = [tuple(m.shape[-2:]) for m in cls_maps]
    image_sizes = [tuple(row[:2]) for row in golden["img_shape"].tolist()]
    batch = batch_of(boxes=[golden["gt_bboxes_0"], golden["gt_bboxes_1"]], image_sizes=image_sizes)
    losses = rpn.loss(logits, deltas, sizes, batch)
    assert relative_error(losses["loss_rpn_cls"], golden["loss_rpn_cls"].sum()) < TOLERANCE
    assert relative_error(losses["loss_rpn_bbox"], golden["loss_rpn_bbox"].sum()) < TOLERANCE
    sum(losses.values()).backward()
    for i in range(5):
        assert relative_error(cls_maps[i].grad.abs().sum(), golden[f"gcls{i}_sum_abs"]) < TOLERANCE
        assert relative_error(bbox_maps[i].grad.abs().sum(), golden[f"gbbox{i}_sum_abs"]) < TOLERANCE


@using("rpn")
@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("a", ProposalSpec()),
        ("b", ProposalSpec(num_before_nms=200, num_after_nms=150, max_num=100)),
        ("d", ProposalSpec(num_before_nms=200, num_after_nms=150, max_num=100, min_size_px=40)),
    ],
)
def test_proposals(golden: Golden, name: str, spec: ProposalSpec) -> None:
    cls_maps, _, logits, deltas = _rpn_maps(golden)
    anchors = _rpn_anchors(cls_maps)
    for image, size in enumerate(golden["img_shape"].tolist()):
        with torch.no_grad():
            boxes, scores = select_proposals(
                [level[image].sigmoid() for level in logits],
                [level[image] for level in deltas],
                anchors,
                tuple(size[:2]),
                spec,
            )
        assert (
            relative_error(torch.cat([boxes, scores[:, None]], dim=1), golden[f"proposals_{name}_{image}"]) < TOLERANCE
        )


@using("rpn")
def test_proposals_with_nms_across_levels(golden: Golden) -> None:
    """No setting, for the published system has none; it follows from one level at a time and NMS over all of them."""
    cls_maps, _, logits, deltas = _rpn_maps(golden)
    anchors = _rpn_anchors(cls_maps)
    spec = ProposalSpec(num_before_nms=200, num_after_nms=100, max_num=ALL)
    for image, size in enumerate(golden["img_shape"].tolist()):
        with torch.no_grad():
            levels = [
                select_proposals([c[image].sigmoid()], [d[image]], [a], tuple(size[:2]), spec)
                for c, d, a in zip(logits, deltas, anchors, strict=True)
            ]
        boxes, scores = (torch.cat(parts) for parts in zip(*levels, strict=True))
        kept = box_ops.nms(boxes, scores, spec.nms_iou)[:120]
        found = torch.cat([boxes, scores[:, None]], dim=1)[kept]
        assert relative_error(found, golden[f"proposals_c_{image}"]) < TOLERANCE


@using("rpn")
def test_rpn_targets(golden: Golden) -> None:
    cls_maps, _, _, _ = _rpn_maps(golden)
    levels = _rpn_anchors(cls_maps)
    anchors, starts = torch.cat(levels), [0, *torch.tensor([len(a) for a in levels]).cumsum(0).tolist()]
    num_positive, num_negative, rows, targets = 0, 0, [], []
    for image, size in enumerate(golden["img_shape"].tolist()):
        truth = golden[f"gt_bboxes_{image}"]
        usable = anchor_ops.inside(anchors, tuple(size[:2]))
        assigned = torch.full((len(anchors),), -1)
        assigned[usable] = assign(anchors[usable], truth, RPNSpec().assigner)
        positive = assigned > 0
        num_positive, num_negative = num_positive + int(positive.sum()), num_negative + int((assigned == 0).sum())
        for i in range(5):
            level = slice(starts[i], starts[i + 1])
            assert torch.equal(positive[level].long(), golden[f"labels{i}"][image].long())
            assert torch.equal((assigned[level] >= 0).long(), golden[f"label_weights{i}"][image].long())
        found = positive.nonzero().flatten()
        rows += [(image, int(anchor)) for anchor in found]
        targets.append(box_ops.encode(anchors[found], truth[assigned[found] - 1]))
    assert [num_positive, num_negative] == [int(golden["num_total_pos"]), int(golden["num_total_neg"])]
    stored = {}
    for i in range(5):
        for (image, anchor), target in zip(
            golden[f"pos_index{i}"].tolist(), golden[f"pos_bbox_targets{i}"], strict=True
        ):
            stored[image, starts[i] + anchor] = target
    assert stored.keys() == set(rows)
    assert relative_error(torch.cat(targets), torch.stack([stored[row] for row in rows])) < TOLERANCE


@using("rcnn")
def test_iou_and_assignment(golden: Golden) -> None:
    boxes, truth = golden["boxes"], golden["gt_bboxes"]
    assert relative_error(box_ops.pairwise_iou(truth, boxes), golden["iou"]) < TOLERANCE
    for name in ("rcnn50", "rcnn60", "rpn"):
        positive, negative, least = golden[f"{name}_thr"].tolist()
        spec = AssignerSpec(positive_iou=positive, negative_iou=negative, min_positive_iou=least)
        assigned = assign(boxes, truth, spec)
        assert torch.equal(assigned, golden[f"{name}_gt_inds"])
        positive = assigned > 0
        for which, of_truth in (("labels", golden["gt_labels"]), ("pids", golden["gt_pids"])):
            assert torch.equal(of_truth[assigned[positive] - 1], golden[f"{name}_{which}"][positive])
        best = box_ops.pairwise_iou(boxes, truth).amax(dim=1)
        assert relative_error(best, golden[f"{name}_max_overlaps"]) < TOLERANCE


@using("rcnn")
def test_box_coding(golden: Golden) -> None:
    stds = (0.1, 0.1, 0.2, 0.2)
    proposals, truth = golden["delta_proposals"], golden["delta_gt"]
    assert relative_error(box_ops.encode(proposals, truth, stds), golden["deltas"]) < TOLERANCE
    assert relative_error(box_ops.encode(proposals, truth), golden["deltas_unit"]) < TOLERANCE
    assert (
        relative_error(box_ops.decode(proposals, golden["deltas"], stds, (180, 320)), golden["delta_roundtrip"])
        < TOLERANCE
    )
    decoded = box_ops.decode(proposals, golden["delta2bbox_in"], stds, (180, 320))
    assert relative_error(decoded, golden["delta2bbox_out"]) < TOLERANCE


def _sampled(golden: Golden) -> list[SampledRoIs]:
    spec = BoxHeadSpec(sampler=SamplerSpec(num=ALL, positive_fraction=0.25))
    sampler = build_sampler(spec.sampler, "")
    proposals = [golden[f"s{k}_boxes_in"] for k in (0, 1)]
    return sample_rois(proposals, [golden["gt_bboxes"]] * 2, spec.assigner, sampler)


@using("rcnn")
def test_roi_sampling(golden: Golden) -> None:
    for k, rois in enumerate(_sampled(golden)):
        assert torch.equal(rois.positive_boxes, golden[f"s{k}_pos_bboxes"])
        assert torch.equal(rois.boxes[rois.num_positives :], golden[f"s{k}_neg_bboxes"])
        assert torch.equal(rois.truth_index, golden[f"s{k}_pos_assigned_gt_inds"])
        # Positives and negatives are indices into ground truth and proposals, joined.
        joined = torch.cat([golden["gt_bboxes"], golden[f"s{k}_boxes_in"]])
        assert torch.equal(rois.boxes, joined[torch.cat([golden[f"s{k}_pos_inds"], golden[f"s{k}_neg_inds"]])])
        assert int(golden[f"s{k}_pos_is_gt"].sum()) == len(golden["gt_bboxes"])
        for name in ("labels", "pids"):
            assert torch.equal(golden[f"gt_{name}"][rois.truth_index], golden[f"s{k}_pos_gt_{name}"])


@using("rcnn")
def test_box_head_targets(golden: Golden) -> None:
    spec, sampled = BoxHeadSpec(), _sampled(golden)

    def padded(values: torch.Tensor, rois: SampledRoIs) -> torch.Tensor:
        """Negatives have zeros."""
        return torch.cat([values, values.new_zeros(len(rois.boxes) - len(values), *values.shape[1:])])

    for target, of_truth in (("t_labels", golden["gt_labels"]), ("t_ids", golden["gt_pids"])):
        found = torch.cat([padded(of_truth[rois.truth_index], rois) for rois in sampled])
        assert torch.equal(found, golden[target])
    deltas = [
        box_ops.encode(rois.positive_boxes, golden["gt_bboxes"][rois.truth_index], spec.delta_stds) for rois in sampled
    ]
    found = torch.cat([padded(values, rois) for values, rois in zip(deltas, sampled, strict=True)])
    assert relative_error(found, golden["t_bbox_targets"]) < TOLERANCE
    positive = [padded(torch.ones(rois.num_positives), rois) for rois in sampled]
    assert torch.equal(torch.cat(positive), golden["t_bbox_weights"][:, 0])
    assert torch.all(golden["t_label_weights"] == 1)
    for image in (0, 1):
        assert torch.equal(positive[image], golden[f"t_id_weights_{image}"])


@using("rcnn")
@pytest.mark.parametrize(("name", "weight"), [("w10", 1.0), ("w15", 1.5)])
def test_box_head_losses(golden: Golden, name: str, weight: float) -> None:
    spec = BoxHeadSpec(roi_size=3, fc_channels=24, loss_cls_weight=weight, loss_bbox_weight=weight)
    head = BoxHead(spec, channels=4, num_categories=8)
    load_part(head, "box_head", golden, "bbox_w__", "bbox_head")
    features = golden["bbox_x"].requires_grad_()
    logits, deltas = head(features)
    assert relative_error(logits, golden["cls_score"]) < TOLERANCE
    assert relative_error(deltas, golden["bbox_pred"]) < TOLERANCE
    truth = golden["gt_bboxes"]
    batch = batch_of(boxes=[truth, truth], labels=[golden["gt_labels"]] * 2)
    losses = head.loss(logits, deltas, _sampled(golden), batch)
    assert relative_error(losses["loss_cls"], golden[f"{name}_loss_cls"]) < TOLERANCE
    assert relative_error(losses["loss_bbox"], golden[f"{name}_loss_bbox"]) < TOLERANCE
    assert relative_error(100 * losses["acc"].reshape(1), golden[f"{name}_acc"]) < TOLERANCE
    (losses["loss_cls"] + losses["loss_bbox"]).backward()
    assert relative_error(features.grad, golden[f"{name}_gx"]) < TOLERANCE
    assert relative_error(head.deltas.weight.grad, golden[f"{name}_g_fc_reg"]) < TOLERANCE


@using("rcnn")
@pytest.mark.parametrize(
    ("name", "scale", "spec"),
    [
        ("a", 1.0, InferenceSpec(score_threshold=0.05, max_detections=100)),
        ("b", 0.75, InferenceSpec(score_threshold=0.001, max_detections=30)),
    ],
)
def test_detections(golden: Golden, name: str, scale: float, spec: InferenceSpec) -> None:
    head = BoxHead(BoxHeadSpec(roi_size=3, fc_channels=24), channels=4, num_categories=8)
    found = head.detect(golden["cls_score"], golden["bbox_pred"], golden["rois"][:, 1:], (180, 320), scale, spec)
    expected = golden[f"det_{name}_bboxes"]
    assert relative_error(torch.cat([found.boxes, found.scores[:, None]], dim=1), expected) < TOLERANCE
    assert torch.equal(found.labels - 1, golden[f"det_{name}_labels"])


@using("rcnn")
def test_nms(golden: Golden) -> None:
    rows = golden["nms_in"]
    kept = box_ops.nms(rows[:, :4], rows[:, 4], 0.5)
    assert torch.equal(kept, golden["nms_keep"])
    assert torch.equal(rows[kept], golden["nms_out"])


@using("rcnn")
def test_mask_head(golden: Golden) -> None:
    head = MaskHead(MaskHeadSpec(channels=8), channels=4, num_categories=8)
    load_part(head, "mask_head", golden, "mask_w__", "mask_head")
    rois = [SampledRoIs(r.positive_boxes, r.truth_index) for r in _sampled(golden)]
    targets = torch.cat([mask_targets(golden["gt_masks"], r.truth_index, r.boxes, 28) for r in rois])
    assert torch.equal(targets, golden["mask_targets"])
    features = golden["mask_x"].requires_grad_()
    logits = head(features, golden["mask_pos_labels"])
    assert golden.error("mask_pred_sel", logits) < TOLERANCE
    loss = head.loss(logits, rois, batch_of(masks=[golden["gt_masks"]] * 2))["loss_mask"]
    assert relative_error(loss.reshape(1), golden["mask_loss"]) < TOLERANCE
    loss.backward()
    assert relative_error(features.grad.flatten(1).abs().sum(1), golden["mask_gx_sum_abs"]) < TOLERANCE
    for name, parameter in head.named_parameters():
        original = original_name(f"mask_head.{name}").removeprefix("mask_head.")
        assert relative_error(parameter.grad.norm(), golden[f"mask_gw_norm__{original}"]) < TOLERANCE


@using("rcnn")
@pytest.mark.parametrize(("name", "scale"), [("a", 1.0), ("b", 0.75)])
def test_pasted_masks_differ_by_few_edge_pixels_at_most(golden: Golden, name: str, scale: float) -> None:
    head = MaskHead(MaskHeadSpec(channels=8), channels=4, num_categories=8)
    load_part(head, "mask_head", golden, "mask_w__", "mask_head")
    kept = (golden["seg_obj_ids"] >= 0).nonzero().flatten()
    probs = head(golden["seg_x"], golden["seg_labels"] + 1).sigmoid()
    stored = {int(i): (size, counts) for i, size, counts in zip(
        golden.raw(f"seg_{name}_ids"), golden.raw(f"seg_{name}_size"), golden.raw(f"seg_{name}_counts"), strict=True
    )}  # fmt: skip
    differing = 0
    for i in kept.tolist():
        size, counts = stored[int(golden["seg_obj_ids"][i])]
        expected = torch.from_numpy(rle.decode({"size": size.tolist(), "counts": counts.decode()})).bool()
        box = tuple(int(v) for v in (golden["seg_bboxes"][i, :4] / scale).tolist())
        frame = tuple(size.tolist())
        differing += int((paste(*crop_mask(probs[i], box, frame, 0.5), frame) != expected).sum())
    assert differing <= 2


@using("track_head")
def test_track_head(golden: Golden) -> None:
    head = TrackHead(TrackHeadSpec(fc_channels=32), channels=8, roi_size=3)
    load_part(head, "track_head", golden, "w__", "track_head")
    key = head(golden["x"]).split(golden["x_n"].tolist())
    reference = head(golden["ref_x"]).split(golden["ref_x_n"].tolist())
    for b in (0, 1):
        assert relative_error(match_scores(key[b], reference[b]), golden[f"match_score_train_{b}"]) < TOLERANCE
        normalised = match_scores(normalize(key[b], dim=1), normalize(reference[b], dim=1))
        assert relative_error(normalised, golden[f"match_score_test_{b}"]) < TOLERANCE
    losses = _match_loss(head, key, reference, golden, [golden[f"id_weights_{b}"] for b in (0, 1)])
    assert relative_error(losses["loss_match"].reshape(1), golden["loss_match"]) < TOLERANCE
    assert relative_error(100 * losses["match_acc"].reshape(1), golden["match_acc"].double()) < TOLERANCE
    losses["loss_match"].backward()
    assert max(gradient_errors(head, "track_head", golden, "gw__", "track_head").values()) < TOLERANCE


@using("track_head")
def test_an_image_with_one_positive_is_left_out_as_released_only(golden: Golden) -> None:
    losses = {}
    for released in (True, False):
        head = TrackHead(TrackHeadSpec(fc_channels=32, skip_single_positive_match=released), channels=8, roi_size=3)
        load_part(head, "track_head", golden, "w__", "track_head")
        key = head(golden["x"]).split(golden["x_n"].tolist())
        reference = head(golden["ref_x"]).split(golden["ref_x_n"].tolist())
        weights = [golden["single_id_weights_0"], golden["id_weights_1"]]
        losses[released] = _match_loss(head, key, reference, golden, weights)["loss_match"]
    assert relative_error(losses[True].reshape(1), golden["single_loss_match"]) < TOLERANCE
    assert losses[False] > losses[True]


def _match_loss(
    head: TrackHead, key: tuple[torch.Tensor, ...], reference: tuple[torch.Tensor, ...], golden: Golden,
    weights: list[torch.Tensor],
) -> dict[str, torch.Tensor]:  # fmt: skip
    """The file marks positives by weight; our loss wants them first, and the mean does not depend on the order."""
    ids = golden["ids"].split(golden["x_n"].tolist())
    ordered, targets, rois = [], [], []
    for b, of_image in enumerate(weights):
        order = (1 - of_image).argsort(stable=True)
        ordered.append(key[b][order])
        targets.append(ids[b][order][: int(of_image.sum())])
        rois.append(SampledRoIs(torch.zeros(len(order), 4), torch.arange(len(targets[-1]))))
    batch = batch_of(reference_boxes=[torch.zeros(len(r), 4) for r in reference], instance_match=targets)
    return head.loss(torch.cat(ordered), torch.cat(reference), rois, batch)


@using("track_head")
def test_tracking_over_four_frames(golden: Golden) -> None:
    head = TrackHead(TrackHeadSpec(fc_channels=32), channels=8, roi_size=3)
    load_part(head, "track_head", golden, "w__", "track_head")
    memory = None
    for t in range(4):
        embeddings = head(golden[f"seq{t}_feats"]).detach()
        rows, labels = golden[f"seq{t}_boxes"], golden[f"seq{t}_labels"]
        if memory is None:
            ids, memory = list(range(len(rows))), (embeddings, rows[:, :4], labels)
        else:
            scores = association_scores(
                match_scores(normalize(embeddings, dim=1), normalize(memory[0], dim=1)), rows[:, 4], rows[:, :4],
                labels, *memory[1:], AssociationSpec(),
            )  # fmt: skip
            known = len(memory[0])
            ids, source = associate(scores, known)
            grown = max(source, default=0) + 1
            merged = [torch.cat([m, m.new_zeros(max(grown - known, 0), *m.shape[1:])]) for m in memory]
            for object_id, i in source.items():
                merged[0][object_id], merged[1][object_id] = embeddings[i], rows[i, :4]
                if object_id >= known:
                    merged[2][object_id] = labels[i]
            memory = tuple(merged)
        assert ids == golden[f"seq{t}_ids"].tolist()
    # Only the last frame's memory can be compared: the file's earlier ones were overwritten in place by later frames.
    assert relative_error(memory[1], golden["seq3_prev_bboxes_after"][:, :4]) < TOLERANCE
    assert torch.equal(memory[2], golden["seq3_prev_labels_after"])
