import torch

from vistrials.models.layers import convolutions, fully_connected


def test_only_the_first_layer_has_another_width() -> None:
    assert [tuple(fc.weight.shape) for fc in fully_connected(12, 5, 3)] == [(5, 12), (5, 5), (5, 5)]
    assert [tuple(conv.weight.shape) for conv in convolutions(4, 6, 2)] == [(6, 4, 3, 3), (6, 6, 3, 3)]


def test_none_is_an_empty_stack() -> None:
    assert fully_connected(12, 5, 0) == [] and convolutions(4, 6, 0) == []


def test_convolutions_keep_the_size_and_see_0_beyond_the_border() -> None:
    (conv,) = convolutions(1, 1, 1)
    torch.nn.init.ones_(conv.weight)
    torch.nn.init.zeros_(conv.bias)
    # Of a 2 x 3 map of ones each 3 x 3 window holds its cells within the map.
    assert conv(torch.ones(1, 1, 2, 3))[0, 0].tolist() == [[4, 6, 4], [4, 6, 4]]
