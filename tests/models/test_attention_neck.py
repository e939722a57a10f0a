import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.models.starts import assert_uniform, assert_zero
from vistrials.models.attention_neck import AttentionNeck, attention_nearby
from vistrials.specs.model import NeckSpec


def levels(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 8, 6 // 2**i, 10 // 2**i, generator=generator) for i in range(2)]


def neck(**changes) -> AttentionNeck:
    torch.manual_seed(0)
    return AttentionNeck(NeckSpec(**({"levels": (0, 1)} | changes)), channels=8)


def test_the_matrix_of_all_cells_is_never_built() -> None:
    """Without its fused kernel PyTorch would fall back to the explicit matrix, and say nothing."""
    key, reference = (
        [x.contiguous(memory_format=layout).requires_grad_() for x in levels(seed)]
        for seed, layout in ((1, torch.contiguous_format), (2, torch.channels_last))
    )
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # no other way allowed: it raises where this one is not open
        sum(x.sum() for x in neck()(key, reference)).backward()
    assert all(x.grad is not None for x in key + reference)


def test_the_output_is_key_features_plus_gamma_times_attention() -> None:
    module = neck(gamma_init=0.5)
    ((x,), (reference,)) = levels(1)[:1], levels(2)[:1]
    expected = torch.empty_like(x)
    query, key, value = module.conv1(x), module.conv1(reference), module.conv2(x)
    for b in range(2):
        q, k, v = (f[b].flatten(1) for f in (query, key, value))  # (C, S)
        for j in range(q.shape[1]):
            weights = (k.T @ q[:, j]).softmax(dim=0)  # over reference cells
            attention = sum(v[:, i] * weights[i] for i in range(v.shape[1]))
            expected[b].flatten(1)[:, j] = x[b].flatten(1)[:, j] + 0.5 * attention
    assert torch.allclose(module([x], [reference])[0], expected, atol=1e-5)


def test_levels_that_it_does_not_serve_pass_unchanged() -> None:
    key, reference = levels(1), levels(2)
    outputs = neck(levels=(1,))(key, reference)
    assert outputs[0] is key[0]
    assert not torch.equal(outputs[1], key[1])


def test_depth_adds_convolutions_to_both_branches() -> None:
    # 3 x 3 x 8 x 8 weights and 8 biases each, and gamma.
    count = {n: sum(p.numel() for p in neck(num_convs=n).parameters()) for n in (1, 3)}
    assert count == {1: 2 * 584 + 1, 3: 6 * 584 + 1}


def identity_neck(gamma: float) -> AttentionNeck:
    """One channel whose convolutions pass positive cells on: q = key, k = reference, v = 10 * key."""
    module = AttentionNeck(NeckSpec(levels=(0,), gamma_init=gamma), channels=1)
    for branch, factor in ((module.conv1, 1.0), (module.conv2, 10.0)):
        torch.nn.init.zeros_(branch[0].weight)
        branch[0].weight.data[0, 0, 1, 1] = factor
    return module


def test_two_cells_by_hand() -> None:
    key = torch.tensor([[[[1.0, 2.0]]]])
    reference = torch.tensor([[[[0.0, math.log(3.0)]]]])
    # Key cell 0: products 0 and log 3, weights 1/4 and 3/4 on the values 10 and 20. Key cell 1: log 9, 1/10 and 9/10.
    expected = [1 + 0.5 * (10 * 1 / 4 + 20 * 3 / 4), 2 + 0.5 * (10 * 1 / 10 + 20 * 9 / 10)]
    assert identity_neck(gamma=0.5)([key], [reference])[0].flatten().tolist() == pytest.approx(expected)


def test_negative_responses_are_cut_in_all_three_branches() -> None:
    module = identity_neck(gamma=1.0)
    key, reference = torch.tensor([[[[-1.0, 2.0]]]]), torch.tensor([[[[-5.0, 0.0]]]])
    # Queries 0 and 2, keys 0 and 0: even weights; values 0 and 20.
    assert module([key], [reference])[0].flatten().tolist() == pytest.approx([-1 + 10, 2 + 10])


def test_an_even_reference_frame_gives_the_mean_of_the_values() -> None:
    key = torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]])
    outputs = identity_neck(gamma=1.0)([key], [torch.full((1, 1, 2, 2), 7.0)])[0]
    assert torch.allclose(outputs, key + (10 + 20 + 30 + 0) / 4)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    key, reference = levels(1)[0], levels(2)[0]
    module = neck(levels=(0,))
    alone = torch.cat([module([key[i : i + 1]], [reference[i : i + 1]])[0] for i in range(2)])
    assert torch.allclose(module([key], [reference])[0], alone, atol=1e-5)


def test_starts_uniform_with_zero_bias_and_half_of_the_attention() -> None:
    torch.manual_seed(0)
    module = AttentionNeck(NeckSpec(), channels=32)
    for branch in (module.conv1, module.conv2):
        assert_uniform(branch[0].weight, math.sqrt(6 / (2 * 32 * 9)))
        assert_zero(branch[0].bias)
    assert module.gamma.tolist() == [0.5]


def test_attention_in_a_window_is_that_to_the_cells_in_it() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 6, generator=generator, dtype=torch.float64)
    y, x = (side.flatten() for side in torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij"))
    for reach in (1, 2, 9):
        is_far = ((y[:, None] - y).abs() > reach) | ((x[:, None] - x).abs() > reach)
        scores = (query.flatten(2).transpose(1, 2) @ key.flatten(2)).masked_fill(is_far, -torch.inf)
        expected = (scores.softmax(dim=2) @ value.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(query.shape)
        assert torch.allclose(attention_nearby(query, key, value, reach), expected)


def test_a_window_over_the_whole_frame_changes_nothing() -> None:
    key, reference = levels(1), levels(2)
    for ours, whole in zip(neck(window_cells=10)(key, reference), neck()(key, reference), strict=True):
        assert torch.allclose(ours, whole, atol=1e-6)
    module = neck(window_cells=1, gamma_init=1.0)
    features = (module.conv1(key[0]), module.conv1(reference[0]), module.conv2(key[0]))
    assert torch.allclose(module(key, reference)[0], key[0] + attention_nearby(*features, 1), atol=1e-6)
    assert not torch.allclose(neck(window_cells=1)(key, reference)[0], neck()(key, reference)[0], atol=1e-3)


def test_a_frozen_gamma_stays_and_the_branches_of_0_change_nothing() -> None:
    module = neck(gamma_frozen=True, gamma_init=0.0)
    key = levels(1)
    assert all(torch.equal(ours, x) for ours, x in zip(module(key, levels(2)), key, strict=True))
    assert not module.gamma.requires_grad and neck().gamma.requires_grad
    assert module.state_dict().keys() == neck().state_dict().keys()
