"""How new layers start, as published: one function per distribution; biases start at 0."""

from torch import nn

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def normal_(layer: Layer, std: float) -> None:
    """Weights from N(0, std)."""
    nn.init.normal_(layer.weight, std=std)
    _zero_bias(layer)


def xavier_(layer: Layer) -> None:
    """Weights from the Xavier uniform distribution."""
    nn.init.xavier_uniform_(layer.weight)
    _zero_bias(layer)


def kaiming_(layer: nn.Conv2d | nn.ConvTranspose2d, fan_out: int | None = None) -> None:
    """Weights from the Kaiming normal distribution for ReLU, by PyTorch's fan-out or the one given."""
    if fan_out is None:
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.normal_(layer.weight, std=(2 / fan_out) ** 0.5)
    _zero_bias(layer)


def _zero_bias(layer: Layer) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
