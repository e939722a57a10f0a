"""Write what the runs in results/ show into the README: tables between markers, and the figure of losses.

    python docs/update_readme.py [--check]

A block reads `<!-- begin: NAME -->` .. `<!-- end: NAME -->`; NAME is one of `BLOCKS`.
"""

import sys
from pathlib import Path

from PIL import Image

from vistrials.reports.comparison import compare_runs
from vistrials.reports.comparison_text import render
from vistrials.reports.loss_curves import save_loss_curves
from vistrials.specs.loading import load_table_rows

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "demo"
BLOCKS = {f"table of {split}": split for split in ("minival", "occlusion")}


def updated(readme: str) -> str:
    """The text with all blocks filled anew."""
    for name, split in BLOCKS.items():
        table = render(compare_runs(ROOT / "results", PROFILE, split), "markdown").strip()
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        if readme.count(begin) != 1 or readme.count(end) != 1:
            raise SystemExit(f"README.md: expected one block {begin} .. {end}")
        before, _, rest = readme.partition(begin)
        readme = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return readme


def main() -> None:
    """Update the README and the figure, or with --check only say whether the README is up to date."""
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = updated(before)
    if "--check" in sys.argv[1:]:
        raise SystemExit(None if before == after else "README.md: its tables are not those of results/; `make tables`")
    path.write_text(after, encoding="utf-8")
    figure = save_loss_curves(ROOT / "results", PROFILE, ROOT / "docs" / "losses.png", load_table_rows()["study"])
    # 256 colours are plenty, and a third of the bytes.
    Image.open(figure).convert("RGB").quantize(256).save(figure, optimize=True)


if __name__ == "__main__":
    main()
