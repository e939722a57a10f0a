"""What each iteration logged: losses.jsonl, and the same for TensorBoard."""

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from vistrials.formats.files import replacing


class LossLog:
    """Appends one JSON object per iteration; entering it drops what the checkpoint does not know.

    Keys: iter (1-based: steps finished), epoch (1-based), loss_*, other scalars of the model, loss_total, lr,
    grad_norm (before the clip), seconds (of the iteration), data_seconds (the part of it waiting for data).
    """

    def __init__(self, path: Path, tensorboard: Path, iteration: int) -> None:
        """Args: losses.jsonl; a folder for TensorBoard; how many iterations the training has finished."""
        keep_iterations(path, iteration)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self._writer = SummaryWriter(str(tensorboard), purge_step=iteration + 1, max_queue=1000, flush_secs=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._writer.close()

    def write(self, record: dict[str, float]) -> None:
        """Append one iteration; what is not finite (a gradient that a scaler skips) becomes null."""
        plain = {key: value if math.isfinite(value) else None for key, value in record.items()}
        self._file.write(json.dumps(plain, allow_nan=False) + "\n")
        self._file.flush()
        for key, value in record.items():
            if key not in ("iter", "epoch"):
                self._writer.add_scalar(key, value, int(record["iter"]))

    def write_validation(self, record: dict[str, float]) -> None:
        """Show figures of a validation in TensorBoard, as validation/AP and so on; its own log is kept elsewhere."""
        for key, value in record.items():
            if key != "iter":
                self._writer.add_scalar(f"validation/{key}", value, int(record["iter"]))
        self._writer.flush()


def keep_iterations(path: Path, iteration: int) -> None:
    """Keep the records of iterations up to `iteration`; the file is made where it is missing.

    A training that was cut off may have logged steps that no checkpoint holds; they will be logged again.
    """
    kept = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["iter"] <= iteration:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # torn by a power cut; whole lines follow from the steps repeated
    with replacing(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
