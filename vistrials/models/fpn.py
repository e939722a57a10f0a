"""Feature pyramid: torchvision's, from lists to lists, with the fifth level optional."""

from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torchvision.ops import FeaturePyramidNetwork

from vistrials.models.initialisation import xavier_
from vistrials.specs.model import FPNSpec


class FPN(nn.Module):
    """Stage features -> P2..P5, and P6 = every second cell of P5 where the spec asks for five levels.

    Source: Lin et al., Feature Pyramid Networks; 1x1 lateral and 3x3 output convolutions with bias, no activation.
    """

    def __init__(self, spec: FPNSpec, in_channels: list[int]) -> None:
        super().__init__()
        self.num_levels = spec.num_levels
        self.pyramid = FeaturePyramidNetwork(in_channels, spec.channels)
        for module in self.pyramid.modules():
            if isinstance(module, nn.Conv2d):
                xavier_(module)

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        levels = list(self.pyramid({str(i): stage for i, stage in enumerate(stages)}).values())
        if self.num_levels == 5:
            levels.append(max_pool2d(levels[-1], kernel_size=1, stride=2))
        return levels
