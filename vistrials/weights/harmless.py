"""Classes in checkpoints beside the tensors that may be read: they hold values and run nothing."""

from argparse import Namespace
from functools import cache
from typing import Any

import numpy as np


class _Ignored:
    """Stands for records of a training that nothing here reads."""


@cache
def harmless_globals() -> list[Any]:
    """What torch's restricted reader may make beside tensors: NumPy's numbers and arrays, and records of settings.

    Classes of programs that need not be installed are read as empty objects.
    """
    from numpy._core import multiarray

    dtypes = [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith("DType")]
    makers: list[Any] = [np.ndarray, np.dtype, *dtypes, Namespace]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before and since NumPy 2
        makers += [(multiarray._reconstruct, f"{module}._reconstruct"), (multiarray.scalar, f"{module}.scalar")]
    return [
        *makers,
        (_Ignored, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_Ignored, "mmcv.runner.log_buffer.LogBuffer"),
    ]
