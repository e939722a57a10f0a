import re

import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from vistrials.models.objprop import build_model
from vistrials.specs.model import ModelSpec, ResNetSpec
from vistrials.weights.torchvision_names import (
    coco_rows,
    is_detector,
    take_category_rows,
    torchvision_name,
    with_current_names,
)

COCO = 91


@pytest.fixture(scope="module")
def detector_state() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    return model.state_dict()


def old_name(name: str) -> str:
    """As in the files that torchvision offers for download, which it made before its layers were blocks."""
    name = re.sub(r"(backbone\.fpn\.\w+_blocks\.\d)\.0\.", r"\1.", name)
    name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
    for i in range(4):
        name = name.replace(f"roi_heads.mask_head.{i}.0.", f"roi_heads.mask_head.mask_fcn{i + 1}.")
    return name


def test_every_tensor_of_torchvisions_network_has_one_of_ours_with_its_shape(
    detector_state: dict[str, torch.Tensor],
) -> None:
    with torch.device("meta"):
        model = build_model(ModelSpec(), num_categories=COCO - 1)
    ours = {torchvision_name(name): value.shape for name, value in model.state_dict().items()}
    ours.pop(None)  # track and propagation head
    counts = "num_batches_tracked"
    assert {n: s for n, s in ours.items() if not n.endswith(counts)} == {
        n: v.shape for n, v in detector_state.items() if not n.endswith(counts)
    }


def test_only_a_detector_is_one(detector_state: dict[str, torch.Tensor]) -> None:
    assert is_detector(detector_state)
    assert not is_detector({"backbone.conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)})


def test_files_with_old_names_are_the_same(detector_state: dict[str, torch.Tensor]) -> None:
    old = {old_name(name): value for name, value in detector_state.items()}
    # 8 FPN convolutions, 1 of the RPN and 4 of the mask head, weight and bias each.
    assert len(old.keys() - detector_state.keys()) == 2 * (8 + 1 + 4)
    assert with_current_names(old) == detector_state == with_current_names(detector_state)


def test_categories_are_shared_by_name_and_by_clear_synonym_only() -> None:
    names = ["giant_panda", "person", "Tennis_Racket", "motorbike", "mouse", "flying_disc", "N/A"]
    # COCO's ids: person 1, motorcycle 4, frisbee 34, tennis racket 43. Its mouse is no animal.
    assert coco_rows(names) == {2: 1, 3: 43, 4: 4, 6: 34}


def test_class_rows_of_shared_categories_are_taken_and_the_others_stay() -> None:
    names = ["giant_panda", "zebra", "person"]  # zebra is COCO's 24
    spec = ModelSpec(backbone=ResNetSpec(depth=18, base_width=8))
    fresh = build_model(spec, num_categories=3).state_dict()
    trained = {
        "roi_heads.box_predictor.cls_score.weight": torch.arange(COCO)[:, None].expand(COCO, 1024).float(),
        "roi_heads.box_predictor.bbox_pred.bias": torch.arange(4 * COCO).float(),
        "roi_heads.mask_predictor.mask_fcn_logits.weight": torch.zeros(2, 256, 1, 1),  # of other categories than COCO's
        "rpn.head.cls_logits.bias": torch.ones(3),
    }
    taken = take_category_rows(trained, fresh, names)
    logits = taken["roi_heads.box_predictor.cls_score.weight"]
    assert logits[[0, 2, 3], 0].tolist() == [0, 24, 1]
    assert torch.equal(logits[1], fresh["box_head.logits.weight"][1])
    deltas = taken["roi_heads.box_predictor.bbox_pred.bias"].reshape(4, 4)
    assert deltas[[0, 2, 3]].tolist() == [[0, 1, 2, 3], [96, 97, 98, 99], [4, 5, 6, 7]]
    assert torch.equal(deltas[1], fresh["box_head.deltas.bias"][4:8])
    for name in ("roi_heads.mask_predictor.mask_fcn_logits.weight", "rpn.head.cls_logits.bias"):
        assert taken[name] is trained[name]
    assert torch.all(fresh["box_head.logits.bias"] == 0)  # the fresh model itself is not changed
