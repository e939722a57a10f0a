import pytest
import torch
from torch import Tensor, nn

from vistrials.models import propagation_head, propagation_windows
from vistrials.models.propagation_head import PropagationHead
from vistrials.models.propagation_windows import NEGLIGIBLE, windows
from vistrials.specs.model import PropagationSpec, WeightedAffinitySpec


def head_of(**changes) -> PropagationHead:
    torch.manual_seed(0)
    spec = PropagationSpec(**({"channels": 6, "num_mask_convs": 2, "sigma_cells": 2.0} | changes))
    return PropagationHead(spec, 1, num_categories=3).double().eval()


def frame_pair() -> tuple[Tensor, Tensor]:
    """Features of 12 x 14 cells, the key frame's one cell to the right."""
    torch.manual_seed(1)
    reference = torch.randn(6, 12, 14, dtype=torch.float64)
    return reference.roll(1, dims=2) + 0.1 * torch.randn(6, 12, 14, dtype=torch.float64), reference


BOXES = torch.tensor([[8.0, 8.0, 40.0, 32.0], [56.0, 40.0, 111.0, 95.0], [1.0, 1.0, 3.0, 3.0], [64.0, 0.0, 80.0, 24.0]])
"""In the midst, in a corner, on no cell at all, on the upper border."""
LABELS = torch.tensor([1, 2, 2, 3])


def both_ways(head: PropagationHead, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    key, reference = frame_pair()
    found = []
    for limit in (10**18, 0):
        monkeypatch.setattr(propagation_head, "_MIN_WINDOWED", limit)
        found.append(head.propagate(key, [reference], [BOXES.double()], [LABELS]))
    return found[0], found[1]


CHANGES = [
    {},
    {"class_agnostic": True},
    {"num_mask_convs": 4},
    {"affinity": WeightedAffinitySpec(scope="per_category", init="identity")},
]


@pytest.mark.parametrize("changes", CHANGES, ids=["plain", "one map", "4 convolutions", "per category"])
def test_windows_that_leave_no_mass_out_change_nothing(monkeypatch: pytest.MonkeyPatch, changes: dict) -> None:
    monkeypatch.setattr(propagation_windows, "NEGLIGIBLE", 1e-15)
    whole, windowed = both_ways(head_of(**changes), monkeypatch)
    assert torch.allclose(windowed, whole, rtol=0, atol=1e-11)


@pytest.mark.parametrize("changes", CHANGES, ids=["plain", "one map", "4 convolutions", "per category"])
def test_windows_are_off_by_no_more_than_the_mass_that_they_leave_out(
    monkeypatch: pytest.MonkeyPatch, changes: dict
) -> None:
    """The attention is off by at most half of it; these convolutions do not make more of it than that."""
    whole, windowed = both_ways(head_of(**changes), monkeypatch)
    assert not torch.equal(windowed, whole)
    assert (windowed - whole).abs().max() < NEGLIGIBLE / 2
    assert torch.equal(windowed > 0.5, whole > 0.5)


def test_attention_outside_a_window_is_off_by_at_most_half_the_mass() -> None:
    mass = torch.linspace(0, NEGLIGIBLE, 50, dtype=torch.float64)[:, None]
    total = torch.linspace(0, 1, 40, dtype=torch.float64)
    with_object, empty = (mass - (total - mass)).sigmoid(), (-total).sigmoid().expand(50, 40)
    difference = with_object - empty
    assert (
        difference.min() > -1e-15 and difference.max() <= NEGLIGIBLE / 2
    )  # sigmoids of one value differ in their last bit
    assert difference.max() > NEGLIGIBLE / 2 * 0.99


def test_a_window_is_the_rectangle_around_the_cells_and_one_more_within_the_frame() -> None:
    cells = torch.zeros(3, 6, 8, dtype=torch.bool)
    cells[0, 2, 3] = cells[0, 3, 5] = True
    cells[2, 0, 7] = True
    assert windows(cells) == [((1, 2), (4, 8)), None, ((0, 6), (4, 4))]


def test_only_the_window_is_computed_for_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    head, sizes = head_of(num_mask_convs=1), []
    monkeypatch.setattr(
        propagation_windows, "conv2d", lambda x, *a: sizes.append(x.shape[2:]) or nn.functional.conv2d(x, *a)
    )
    monkeypatch.setattr(propagation_windows, "windows", lambda cells: [((3, 2), (4, 8)), None, None, None])
    both_ways(head, monkeypatch)
    assert sizes == [(4 + 4, 8 + 4)]  # one cell more is put out, and one beside that is read


def test_objects_without_mass_get_the_empty_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation_windows, "windows", lambda cells: [None] * len(cells))
    head = head_of(class_agnostic=True)
    _, windowed = both_ways(head, monkeypatch)
    assert torch.equal(windowed[0], windowed[1])


@pytest.mark.parametrize("changes", CHANGES, ids=["plain", "one map", "4 convolutions", "per category"])
@pytest.mark.parametrize("limit", [10**18, 0], ids=["whole", "windows"])
@pytest.mark.parametrize("cells_at_once", [1, 400])
def test_an_object_of_several_frames_has_the_mean_of_its_probabilities(
    monkeypatch: pytest.MonkeyPatch, changes: dict, limit: int, cells_at_once: int
) -> None:
    monkeypatch.setattr(propagation_head, "_MIN_WINDOWED", limit)
    monkeypatch.setattr(propagation_head, "_CELLS_AT_ONCE", cells_at_once)  # 168 cells: each frame alone, or two
    head = head_of(**changes)
    key, reference = frame_pair()
    references = [reference, reference.roll(2, dims=1), reference.flip(2)]
    of_each = [[0, 1, 2, 3], [1], [4, 0]]  # objects, in the order of whose boxes they are there
    boxes = [BOXES.double()[[row % 4 for row in rows]] for rows in of_each]
    labels = [LABELS[[row % 4 for row in rows]] for rows in of_each]
    found = head.propagate(key, references, boxes, labels, of_each)
    alone = [head.propagate(key, [r], [b], [k]) for r, b, k in zip(references, boxes, labels, strict=True)]
    expected = [alone[0][0] + alone[2][1], alone[0][1] + alone[1][0], alone[0][2], alone[0][3], alone[2][0]]
    assert len(found) == 5
    for probs, total, times in zip(found, expected, [2, 2, 1, 1, 1], strict=True):
        assert torch.allclose(probs, total / times, rtol=0, atol=1e-12)
    each = head.propagate(key, references, boxes, labels)
    assert torch.allclose(each, torch.cat(alone), rtol=0, atol=1e-12)


def test_windows_of_one_size_go_together_up_to_a_number_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [((0, 1), (4, 8)), None, ((2, 2), (4, 4)), ((3, 0), (4, 8)), ((5, 5), (4, 8))]
    expected = [([0, 3, 4], [(0, 1), (3, 0), (5, 5)], (4, 8)), ([2], [(2, 2)], (4, 4))]
    assert list(propagation_windows.alike(found)) == expected
    monkeypatch.setattr(propagation_windows, "_CELLS_AT_ONCE", 64)
    assert [rows for rows, _, _ in propagation_windows.alike(found)] == [[0, 3], [4], [2]]
