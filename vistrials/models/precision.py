"""What never runs in 16 bits: boxes, losses, and products whose softmax lives on small differences.

Beyond x = 512 neighbouring bfloat16 numbers are 4 pixels apart, and unscaled products over many channels lose the
differences between cells.
"""

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """A floating tensor in at least 32 bits; float32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(x: Tensor) -> torch.autocast:
    """A context in which products on the tensor's device keep the precision of their factors."""
    return torch.autocast(x.device.type, enabled=False)
