"""Write what the runs in results/ show into the README: tables and verdicts between markers, and the figures.

    python docs/update_readme.py [--check]

A block reads `<!-- begin: NAME -->` .. `<!-- end: NAME -->`; `blocks` makes them.
"""

import sys
import textwrap
from pathlib import Path

from PIL import Image

from vistrials.reports.comparison import compare_runs
from vistrials.reports.comparison_text import render
from vistrials.reports.effects import save_effects
from vistrials.reports.loss_curves import save_loss_curves
from vistrials.reports.verdict_sentences import say_verdicts
from vistrials.specs.loading import load_table_rows

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "demo"
SPLITS = ("minival", "occlusion")


def blocks() -> dict[str, str]:
    """The text of all blocks, by name."""
    compared = {split: compare_runs(ROOT / "results", PROFILE, split) for split in SPLITS}
    found = {f"table of {split}": render(comparison, "markdown").strip() for split, comparison in compared.items()}
    sentences = (say_verdicts(comparison) for comparison in compared.values())
    return {
        "verdicts": "\n".join(textwrap.fill(f"- {text}", 120, subsequent_indent="  ") for text in sentences),
        **found,
    }


def updated(readme: str) -> str:
    """The text with all blocks filled anew."""
    for name, text in blocks().items():
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        if readme.count(begin) != 1 or readme.count(end) != 1:
            raise SystemExit(f"README.md: expected one block {begin} .. {end}")
        before, _, rest = readme.partition(begin)
        readme = f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
    return readme


def main() -> None:
    """Update the README and the figures, or with --check only say whether the README is up to date."""
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = updated(before)
    if "--check" in sys.argv[1:]:
        raise SystemExit(
            None if before == after else "README.md: its tables and verdicts are not those of results/; `make tables`"
        )
    path.write_text(after, encoding="utf-8")
    docs, results = ROOT / "docs", ROOT / "results"
    figures = (
        save_loss_curves(results, PROFILE, docs / "losses.png", load_table_rows()["study"]),
        save_effects(results, PROFILE, docs / "effects.png", SPLITS),
    )
    for figure in figures:
        # 256 colours are plenty, and a third of the bytes.
        Image.open(figure).convert("RGB").quantize(256).save(figure, optimize=True)


if __name__ == "__main__":
    main()
