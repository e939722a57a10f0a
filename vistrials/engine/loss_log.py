"""What each iteration logged: losses.jsonl, and the same for TensorBoard."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from vistrials.errors import RunError
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

    def sync(self) -> None:
        """Have all that was written on disk, before a checkpoint that counts on it."""
        os.fsync(self._file.fileno())

    def write_validation(self, record: dict[str, float]) -> None:
        """Show figures of a validation in TensorBoard, as validation/AP and so on; its own log is kept elsewhere."""
        for key, value in record.items():
            if key != "iter":
                self._writer.add_scalar(f"validation/{key}", value, int(record["iter"]))
        self._writer.flush()


def check_log(path: Path, iteration: int) -> None:
    """Make sure that every one of the first `iteration` steps has its record: they will not be made again.

    Raises:
        RunError: the file is gone, damaged or shorter.
    """
    logged = {number for number, _ in _records(path)}
    missing = next((number for number in range(1, iteration + 1) if number not in logged), None)
    if missing is not None:
        raise RunError(
            f"{path}: expected a record of each of the {iteration} iterations that the checkpoint holds, "
            f"found none of iteration {missing}; put the file back, or train from the start with --force"
        )


def keep_iterations(path: Path, iteration: int) -> None:
    """Keep the records of iterations up to `iteration`; the file is made where it is missing.

    A training that was cut off may have logged steps that no checkpoint holds; they will be logged again.
    """
    kept = [line + "\n" for number, line in _records(path) if number <= iteration]
    with replacing(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def _records(path: Path) -> Iterator[tuple[int, str]]:
    """Iteration and text of each record; lines that are none, such as one torn by a power cut, are passed over."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"{path}: cannot be read ({reason}); remove it, or redo with --force") from None
    for line in text.splitlines():
        try:
            yield int(json.loads(line)["iter"]), line
        except (ValueError, KeyError, TypeError):
            continue
