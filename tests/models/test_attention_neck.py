import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from vistrials.models.attention_neck import AttentionNeck
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
