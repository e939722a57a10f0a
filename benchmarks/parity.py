"""Agreement with the original program, file by file of its recorded outputs.

Run: python -m benchmarks.parity
Runs the tests that read ../shared/goldens (minutes, in float64) and prints a row for every file: how many of its arrays
they read, how many comparisons of numbers they make with it, the largest relative error, and which tests they are.
"""

from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from tests.models import goldens

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT.parent / "shared" / "goldens"
TESTS = ("tests/models/test_goldens_parts.py", "tests/models/test_goldens_training.py", "tests/tracking")


class Recorder:
    """A pytest plugin that keeps what each test read and measured."""

    def __init__(self) -> None:
        self.records: dict[str, goldens.Record] = defaultdict(goldens.Record)
        self.tests: dict[str, dict[str, None]] = defaultdict(dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        goldens.RECORDS.clear()
        result = yield
        for stem, record in goldens.RECORDS.items():
            self.records[stem].arrays_read |= record.arrays_read
            self.records[stem].errors += record.errors
            self.tests[stem][item.name.partition("[")[0]] = None
        return result


def main() -> None:
    if not FOLDER.is_dir():
        raise SystemExit("the recordings (../shared/goldens beside the checkout) are not here")
    recorder = Recorder()
    code = pytest.main(["-q", *(str(ROOT / path) for path in TESTS)], plugins=[recorder])
    print("| file | arrays read | comparisons | largest relative error | tests |\n|---|---:|---:|---:|---|")
    for path in sorted(FOLDER.glob("*.npz")):
        record, tests = recorder.records[path.stem], recorder.tests[path.stem]
        arrays = f"{len(record.arrays_read)} of {len(np.load(path).files)}"
        worst = f"{max(record.errors):.1e}" if record.errors else "–"
        print(f"| `{path.name}` | {arrays} | {len(record.errors)} | {worst} | {', '.join(tests) or 'none'} |")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
