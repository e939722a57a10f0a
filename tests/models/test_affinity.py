import math

import pytest
import torch

from tests.models.starts import assert_normal
from vistrials.models import affinity as affinity_module
from vistrials.models.affinity import Affinity, gaussian_of_distance
from vistrials.specs.model import PlainAffinitySpec, WeightedAffinitySpec


def plain(channels: int = 1) -> Affinity:
    return Affinity(PlainAffinitySpec(), channels, num_categories=2)


def weighted(scope: str, **changes) -> Affinity:
    return Affinity(WeightedAffinitySpec(scope=scope, **changes), 2, num_categories=2)


def cells(*values: float) -> torch.Tensor:
    """A map of one channel and one row."""
    return torch.tensor([[values]], dtype=torch.float64)


def test_a_key_cell_looks_at_the_reference_cells_that_resemble_it() -> None:
    key, reference = cells(1.0, 2.0), cells(0.0, math.log(3.0))
    # Key cell 0: products 0 and log 3, softmax 1/4 and 3/4. Key cell 1: 0 and log 9, softmax 1/10 and 9/10.
    expected = torch.tensor([[1 / 4, 1 / 10], [3 / 4, 9 / 10]], dtype=torch.float64)
    assert torch.allclose(plain()(key, reference), expected)


def test_channels_add_up_without_scaling() -> None:
    key = torch.tensor([1.0, 2.0]).reshape(2, 1, 1)
    reference = torch.tensor([[0.0, math.log(2)], [0.0, math.log(3)]]).reshape(2, 1, 2)
    # <(log 2, log 3), (1, 2)> = log(2 * 9): 1 against 18.
    assert torch.allclose(plain()(key, reference).flatten(), torch.tensor([1 / 19, 18 / 19]))


def test_every_key_cell_has_1_to_share_among_the_reference_cells() -> None:
    torch.manual_seed(0)
    affinity = plain()(*torch.randn(2, 5, 3, 4))
    assert affinity.shape == (12, 12)
    assert torch.allclose(affinity.sum(dim=0), torch.ones(12))


def test_moving_reference_cells_moves_rows_and_moving_key_cells_moves_columns() -> None:
    torch.manual_seed(0)
    key, reference = torch.randn(2, 3, 1, 6)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    affinity = plain()(key, reference)
    assert torch.allclose(plain()(key, reference[..., order]), affinity[order])
    assert torch.allclose(plain()(key[..., order], reference), affinity[:, order])


def test_cells_are_numbered_row_by_row() -> None:
    key = torch.zeros(1, 2, 3)
    reference = torch.zeros(1, 2, 3)
    key[0, 0, 1] = 1
    reference[0, 1, 0] = math.log(5)  # cell 3
    affinity = plain()(key, reference)
    assert torch.allclose(affinity[:, 1], torch.tensor([1, 1, 1, 5, 1, 1]) / 10)
    assert torch.allclose(affinity[:, 0], torch.full((6,), 1 / 6))


def test_the_matrix_stands_between_reference_and_key() -> None:
    module = weighted("shared")
    with torch.no_grad():
        module.weight[0] = torch.tensor([[0.0, 1.0], [0.0, 0.0]])  # R W X = R_0 X_1
    key = torch.tensor([5.0, 1.0]).reshape(2, 1, 1)
    reference = torch.tensor([[0.0, math.log(3)], [7.0, 9.0]]).reshape(2, 1, 2)
    assert torch.allclose(module(key, reference).flatten(), torch.tensor([1 / 4, 3 / 4]))


def test_the_identity_is_the_plain_affinity() -> None:
    torch.manual_seed(0)
    key, reference = torch.randn(2, 2, 2, 3)
    expected = plain(2)(key, reference)
    assert torch.allclose(weighted("shared")(key, reference), expected)
    assert torch.allclose(weighted("per_sample")(key, reference, sample=3), expected)
    assert torch.allclose(weighted("per_category")(key, reference, label=2), expected)


def test_per_sample_has_a_matrix_per_batch_position_and_none_at_inference() -> None:
    torch.manual_seed(0)
    module, key, reference = weighted("per_sample", num_samples=2), *torch.randn(2, 2, 1, 3)
    with torch.no_grad():
        module.weight[1] = 0
    expected = plain(2)(key, reference)
    assert torch.allclose(module(key, reference, sample=0), expected)
    assert torch.allclose(module(key, reference, sample=1), torch.full((3, 3), 1 / 3))
    assert torch.allclose(module(key, reference), expected)
    with pytest.raises(ValueError, match="num_samples is 2 but the batch has a position 2"):
        module(key, reference, sample=2)


def test_per_category_counts_labels_from_1() -> None:
    torch.manual_seed(0)
    module, key, reference = weighted("per_category"), *torch.randn(2, 2, 1, 3)
    assert module.per_category and not weighted("shared").per_category and not plain().per_category
    with torch.no_grad():
        module.weight[1] = 0
    assert torch.allclose(module(key, reference, label=1), plain(2)(key, reference))
    assert torch.allclose(module(key, reference, label=2), torch.full((3, 3), 1 / 3))
    with pytest.raises(ValueError, match="label"):
        module(key, reference)


@pytest.mark.parametrize(("scope", "count"), [("per_sample", 4), ("shared", 1), ("per_category", 2)])
def test_matrices_start_from_the_identity_or_as_published_from_normal_numbers(scope: str, count: int) -> None:
    module = weighted(scope)
    assert torch.equal(module.weight, torch.eye(2).expand(count, 2, 2))
    torch.manual_seed(0)
    module = Affinity(WeightedAffinitySpec(scope=scope, init="random"), 50, num_categories=2)
    assert module.weight.shape == (count, 50, 50)
    assert_normal(module.weight, 1.0)


def test_the_weight_of_distance_falls_with_its_square_and_is_the_product_over_the_axes() -> None:
    like = torch.zeros((), dtype=torch.float64)
    rows, columns = gaussian_of_distance(2, 3.0, like), gaussian_of_distance(3, 3.0, like)
    weight = torch.kron(rows, columns)
    # Cell 0 is (0, 0) and cell 5 is (1, 2): squared distance 1 + 4, sigma squared 9.
    assert math.isclose(float(weight[0, 5]), math.exp(-5 / 9))
    assert math.isclose(float(weight[0, 2]), math.exp(-4 / 9))
    assert math.isclose(float(weight[2, 3]), math.exp(-5 / 9))
    assert torch.equal(weight.diagonal(), torch.ones(6, dtype=torch.float64))
    assert torch.equal(columns, columns.T)


def plain_nearby_mass(affinity: torch.Tensor, inside: torch.Tensor, size: tuple[int, int], sigma: float) -> tuple:
    """With all matrices there."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=affinity.dtype) for n in size), indexing="ij")
    squared = (y.flatten()[:, None] - y.flatten()) ** 2 + (x.flatten()[:, None] - x.flatten()) ** 2
    weighted = affinity * torch.exp(-squared / sigma**2)
    return inside @ weighted, (1 - inside) @ weighted


@pytest.mark.parametrize("entries", [1, 200, 10**9], ids=["row by row", "two rows", "at once"])
@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
def test_mass_from_nearby_is_that_of_the_whole_matrix(
    monkeypatch: pytest.MonkeyPatch, entries: int, strength: float
) -> None:
    monkeypatch.setattr(affinity_module, "_ENTRIES_AT_ONCE", entries)
    torch.manual_seed(0)
    key, reference = strength * torch.randn(2, 4, 5, 4, dtype=torch.float64)
    inside = (torch.rand(3, 20) < 0.4).double()
    head = weighted("per_category", init="random").double()
    head.weight = torch.nn.Parameter(torch.randn(2, 4, 4, dtype=torch.float64))
    for label in (1, 2):
        with torch.no_grad():
            found = head.nearby_mass(key, reference, inside, 2.0, label)
            expected = plain_nearby_mass(head(key, reference, label=label), inside, (5, 4), 2.0)
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


LEFT_OUT = {"nothing": {}, "outside a window": {"window_cells": 1}, "all but three": {"top_k": 3}}


@pytest.mark.parametrize("entries", [1, 200, 10**9], ids=["row by row", "two rows", "at once"])
@pytest.mark.parametrize("left_out", LEFT_OUT.values(), ids=LEFT_OUT)
def test_mass_in_training_and_its_gradients_are_those_of_the_whole_matrix(
    monkeypatch: pytest.MonkeyPatch, entries: int, left_out: dict
) -> None:
    monkeypatch.setattr(affinity_module, "_ENTRIES_AT_ONCE", entries)
    torch.manual_seed(0)
    inside = (torch.rand(3, 20) < 0.4).double()
    features = torch.randn(2, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 20, dtype=torch.float64)
    head = weighted("per_category", init="random").double()
    head.weight = torch.nn.Parameter(torch.randn(2, 4, 4, dtype=torch.float64))
    head.spec = head.spec.model_copy(update=left_out)
    found = head.mass(*features, inside, label=2)
    expected = inside @ head(*features, label=2)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    gradients = (torch.autograd.grad(mass, (features, head.weight), upstream) for mass in (found, expected))
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12) and theirs.abs().max() > 0


def test_mass_in_training_keeps_no_matrix_of_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity_module, "_ENTRIES_AT_ONCE", 200)
    kept: list[int] = []
    features = torch.randn(2, 4, 5, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        plain().mass(*features, torch.ones(3, 20))
    assert kept and max(kept) < 20 * 20


def test_mass_from_far_away_counts_less_after_the_softmax() -> None:
    key = reference = torch.zeros(1, 1, 3)  # affinity 1/3 everywhere
    inside = torch.tensor([[1.0, 0.0, 0.0]])
    foreground, background = plain().nearby_mass(key, reference, inside, 2.0)
    near, far = math.exp(-1 / 4), math.exp(-4 / 4)
    assert foreground[0].tolist() == pytest.approx([1 / 3, near / 3, far / 3])
    assert background[0].tolist() == pytest.approx([(near + far) / 3, (1 + near) / 3, (1 + near) / 3])


LIKENESS = {
    "dot": lambda r, x: float(r @ x),
    "negative_l2": lambda r, x: -float(((r - x) ** 2).sum()),
    "cosine": lambda r, x: float(r @ x / r.norm() / x.norm()),
}


@pytest.mark.parametrize("scale", [1.0, 7.0])
@pytest.mark.parametrize("similarity", LIKENESS)
def test_other_kinds_of_likeness(similarity: str, scale: float) -> None:
    torch.manual_seed(0)
    key, reference = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    affinity = Affinity(PlainAffinitySpec(similarity=similarity, logit_scale=scale), 3, 2)
    logits = [[scale * LIKENESS[similarity](r, x) for x in key.flatten(1).T] for r in reference.flatten(1).T]
    assert torch.allclose(affinity(key, reference), torch.tensor(logits, dtype=torch.float64).softmax(dim=0))


def test_only_the_likest_cells_count() -> None:
    affinity = Affinity(PlainAffinitySpec(top_k=2), 1, 2)
    assert affinity(cells(1.0, -1.0), cells(0.0, math.log(3), math.log(2))).T.tolist() == [
        pytest.approx([0, 3 / 5, 2 / 5]),
        pytest.approx([6 / 9, 0, 3 / 9]),
    ]
    torch.manual_seed(0)
    pair = torch.randn(2, 1, 2, 3)
    assert torch.equal(Affinity(PlainAffinitySpec(top_k=50), 1, 2)(*pair), plain()(*pair))


def test_only_cells_in_the_window_count() -> None:
    affinity = Affinity(PlainAffinitySpec(window_cells=1), 1, 2)(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4))
    of_corner, of_inner = affinity[:, 0].reshape(3, 4), affinity[:, 5].reshape(3, 4)  # (0, 0) and (1, 1)
    assert torch.allclose(of_corner, torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]) / 4)
    assert torch.allclose(of_inner, torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]]) / 9)


@pytest.mark.parametrize("entries", [1, 200, 10**9], ids=["row by row", "two rows", "at once"])
@pytest.mark.parametrize(
    "changes",
    [
        {"similarity": "cosine", "logit_scale": 9.0},
        {"similarity": "negative_l2"},
        {"top_k": 3},
        {"window_cells": 2},
        {"window_cells": 1, "top_k": 2, "similarity": "negative_l2", "logit_scale": 0.5},
    ],
)
def test_mass_from_nearby_is_that_of_the_whole_matrix_for_other_kinds(
    monkeypatch: pytest.MonkeyPatch, entries: int, changes: dict
) -> None:
    monkeypatch.setattr(affinity_module, "_ENTRIES_AT_ONCE", entries)
    torch.manual_seed(0)
    key, reference = torch.randn(2, 4, 5, 4, dtype=torch.float64)
    inside = (torch.rand(3, 20) < 0.4).double()
    affinity = Affinity(PlainAffinitySpec(**changes), 4, 2)
    expected = plain_nearby_mass(affinity(key, reference), inside, (5, 4), 3.0)
    for ours, theirs in zip(affinity.nearby_mass(key, reference, inside, 3.0), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(
    ("scope", "at_inference", "is_used"),
    [
        ("per_sample", None, False),
        ("per_sample", True, True),
        ("shared", None, True),
        ("shared", False, False),
        ("per_category", None, True),
        ("per_category", False, False),
    ],
)
def test_the_matrix_may_be_left_out_at_inference(scope: str, at_inference: bool | None, is_used: bool) -> None:
    torch.manual_seed(0)
    module, key, reference = weighted(scope, at_inference=at_inference, init="random"), *torch.randn(2, 2, 1, 3)
    in_training = module(key, reference, sample=0, label=1)
    assert not torch.allclose(in_training, plain(2)(key, reference))
    if scope == "per_sample" and is_used:
        expected = (reference.flatten(1).T @ module.weight.mean(dim=0) @ key.flatten(1)).softmax(dim=0)
    else:
        expected = in_training if is_used else plain(2)(key, reference)
    assert torch.allclose(module(key, reference, label=1), expected)
