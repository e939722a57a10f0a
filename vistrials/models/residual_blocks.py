"""Residual blocks whose batch norms by running statistics are part of their convolutions, in training as well."""

from torch import Tensor, nn
from torch.nn.functional import conv2d
from torchvision.models import resnet


class BasicBlock(resnet.BasicBlock):
    """torchvision's block of two 3x3 convolutions, by `normed_conv`."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(normed_conv(self.conv1, self.bn1, x))
        out = normed_conv(self.conv2, self.bn2, out)
        return self.relu(out.add_(shortcut(self.downsample, x)))


class Bottleneck(resnet.Bottleneck):
    """torchvision's block of 1x1, 3x3 and 1x1 convolutions, by `normed_conv`."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(normed_conv(self.conv1, self.bn1, x))
        out = self.relu(normed_conv(self.conv2, self.bn2, out))
        out = normed_conv(self.conv3, self.bn3, out)
        return self.relu(out.add_(shortcut(self.downsample, x)))


def shortcut(downsample: nn.Sequential | None, x: Tensor) -> Tensor:
    """What a block adds to its output."""
    if downsample is None:
        return x
    conv, norm = downsample
    assert isinstance(conv, nn.Conv2d)
    return normed_conv(conv, norm, x)


def normed_conv(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """norm(conv(x)); of running statistics as one convolution with scaled weights, the gradients too.

    The output of the convolution alone is then neither computed nor kept for the gradient of the scale, which is that
    of the scaled weights: half of what a backbone keeps for its gradients.

    Args: conv without bias; norm, of its outputs; x (B, C, H, W).
    """
    if not isinstance(norm, nn.BatchNorm2d) or norm.training:
        return norm(conv(x))
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    return conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
