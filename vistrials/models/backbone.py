"""ResNet backbone: torchvision's parameter names, at any width; and what all backbones share."""

from torch import Tensor, nn

from vistrials.models.residual_blocks import BasicBlock, Bottleneck, normed_conv
from vistrials.specs.model import NormMode, ResNetSpec, TimmSpec

_Block = type[BasicBlock | Bottleneck]

_BLOCKS_PER_STAGE: dict[int, tuple[_Block, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class Backbone(nn.Module):
    """Images (B, 3, H, W) -> features of stages 1-4 at strides 4, 8, 16, 32, of `out_channels` channels."""

    out_channels: list[int]

    def __init__(self, norm: NormMode) -> None:
        super().__init__()
        self.norm = norm

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode; batch norms that must use running statistics stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and (self.norm == "running_stats" or is_frozen(module)):
                module.eval()
        return self


def is_frozen(module: nn.Module) -> bool:
    """Whether no parameter of a module trains."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def build_backbone(spec: ResNetSpec | TimmSpec) -> Backbone:
    """The backbone of a spec, freshly initialised.

    Raises:
        SpecError: timm is not installed, or has no such network with features at strides 4, 8, 16 and 32.
    """
    if spec.kind == "resnet":
        return ResNet(spec)
    from vistrials.models.timm_backbone import TimmBackbone  # timm is optional

    return TimmBackbone(spec)


class ResNet(Backbone):
    """Images (B, 3, H, W) -> features of stages 1-4 at strides 4, 8, 16, 32.

    Source: He et al., Deep Residual Learning; stride in the 3x3 convolution as in torchvision.
    """

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__(spec.norm)
        self.frozen_stages = spec.frozen_stages
        block, counts = _BLOCKS_PER_STAGE[spec.depth]
        self.conv1 = nn.Conv2d(3, spec.base_width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(spec.base_width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.out_channels = []
        channels = spec.base_width
        for stage, count in enumerate(counts):
            width = spec.base_width * 2**stage
            self.add_module(f"layer{stage + 1}", _stage(block, channels, width, count, stride=1 if stage == 0 else 2))
            channels = width * block.expansion
            self.out_channels.append(channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(normed_conv(self.conv1, self.bn1, images)))
        features = []
        for stage in self._stages():
            x = stage(x)
            features.append(x)
        return features

    def _frozen_parts(self) -> list[nn.Module]:
        stem = [self.conv1, self.bn1] if self.frozen_stages >= 0 else []
        return [*stem, *self._stages()[: max(self.frozen_stages, 0)]]

    def _stages(self) -> list[nn.Module]:
        return [self.get_submodule(f"layer{stage}") for stage in (1, 2, 3, 4)]


def _stage(block: _Block, in_channels: int, width: int, count: int, stride: int) -> nn.Sequential:
    out_channels = width * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    first = block(in_channels, width, stride, downsample)
    return nn.Sequential(first, *(block(out_channels, width) for _ in range(count - 1)))
