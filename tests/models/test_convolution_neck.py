import torch
from torch.nn.functional import conv2d, relu

from vistrials.models.attention_neck import AttentionNeck
from vistrials.models.convolution_neck import ConvolutionNeck
from vistrials.specs.model import ConvolutionNeckSpec, NeckSpec


def levels(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 8, 6 // 2**i, 10 // 2**i, generator=generator) for i in range(2)]


def neck(**changes) -> ConvolutionNeck:
    torch.manual_seed(0)
    return ConvolutionNeck(ConvolutionNeckSpec(**({"levels": (0, 1)} | changes)), channels=8)


def test_the_output_is_key_features_plus_gamma_times_two_convolutions() -> None:
    module, (x, *_) = neck(gamma_init=0.25), levels(1)
    first, second = module.convs[0], module.convs[2]
    inner = relu(conv2d(x, first.weight, first.bias, padding=1))
    expected = x + 0.25 * relu(conv2d(inner, second.weight, second.bias, padding=1))
    assert torch.allclose(module(levels(1), levels(2))[0], expected)


def test_it_has_the_parameters_of_the_attention_neck_and_sees_no_reference() -> None:
    for num_convs in (1, 3):
        ours, attention = (
            sorted(p.shape for p in module.parameters())
            for module in (neck(num_convs=num_convs), AttentionNeck(NeckSpec(levels=(0,), num_convs=num_convs), 8))
        )
        assert ours == attention
    one, other = (neck()(levels(1), levels(seed)) for seed in (2, 3))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_levels_that_it_does_not_serve_pass_unchanged() -> None:
    key = levels(1)
    outputs = neck(levels=(1,))(key, key)
    assert outputs[0] is key[0] and not torch.equal(outputs[1], key[1])
