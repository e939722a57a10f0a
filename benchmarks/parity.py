"""Agreement with the original program, file by file of its recorded outputs.

Run: python -m benchmarks.parity [--recordings DIR]
Runs the tests that read the recordings (minutes, in float64) and prints a row for every file, the worst last: how many
of its arrays they read, how many comparisons of numbers they make with it, the largest relative error, and which tests
they are. Exit code 1 where a test fails or is skipped, or where a file of the folder is compared with nothing. DIR is
any folder of the form that tests/recordings/README.md describes, made with any seed and frames.
"""

import argparse
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RECORDINGS
from tests.models import goldens

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/models/test_goldens_parts.py", "tests/models/test_goldens_training.py", "tests/tracking")


class Recorder:
    """A pytest plugin that keeps what each test read and measured."""

    def __init__(self) -> None:
        self.records: dict[str, goldens.Record] = defaultdict(goldens.Record)
        self.tests: dict[str, dict[str, None]] = defaultdict(dict)
        self.skipped: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        goldens.RECORDS.clear()
        result = yield
        for stem, record in goldens.RECORDS.items():
            self.records[stem].arrays_read |= record.arrays_read
            self.records[stem].errors += record.errors
            self.tests[stem][item.name.partition("[")[0]] = None
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    def row(self, path: Path) -> tuple[float, str]:
        """Largest error and Markdown row of a file; the error of a file that nothing is compared with is infinite."""
        record, tests = self.records[path.stem], self.tests[path.stem]
        worst = max(record.errors, default=float("inf"))
        arrays = f"{len(record.arrays_read)} of {len(np.load(path).files)}"
        shown = f"{worst:.1e}" if record.errors else "not compared"
        return worst, f"| `{path.name}` | {arrays} | {len(record.errors)} | {shown} | {', '.join(tests) or 'none'} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Agreement with recordings of the original program.")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, metavar="DIR")
    folder = parser.parse_args().recordings.resolve()
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise SystemExit(f"{folder} holds no recordings (*.npz)")
    recorder = Recorder()
    arguments = ["-q", f"--recordings={folder}", *(str(ROOT / path) for path in TESTS)]
    code = pytest.main(arguments, plugins=[recorder])
    rows = sorted(recorder.row(path) for path in files)
    print("| file | arrays read | comparisons | largest relative error | tests |\n|---|---:|---:|---:|---|")
    print("\n".join(row for _, row in rows))
    for test in recorder.skipped:
        print(f"skipped: {test}")
    raise SystemExit(int(code != 0 or bool(recorder.skipped) or rows[-1][0] == float("inf")))


if __name__ == "__main__":
    main()
