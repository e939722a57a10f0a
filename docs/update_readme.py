"""Write what the runs in results/ show into README.md and docs/study.md, between markers, and draw the figures.

    python docs/update_readme.py [--check]

A block reads `<!-- begin: NAME -->` .. `<!-- end: NAME -->`.
"""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from explanations import explain
from PIL import Image

from vistrials.reports.comparison import Comparison, compare_runs
from vistrials.reports.comparison_text import render
from vistrials.reports.effects import save_effects
from vistrials.reports.loss_curves import save_loss_curves
from vistrials.reports.verdict_sentences import say_verdicts
from vistrials.specs.loading import load_table_rows

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "demo"
SPLITS = ("minival", "occlusion")
STUDY_PROFILE = "demo_study"
STUDY_SPLITS = ("minival", "occlusion", "gaps", "crossing")


def readme_blocks(compared: dict[str, Comparison]) -> dict[str, str]:
    """The text of the README's blocks, by name, from comparisons by split."""
    found = {f"table of {split}": render(comparison, "markdown").strip() for split, comparison in compared.items()}
    sentences = (say_verdicts(comparison) for comparison in compared.values())
    return {
        "verdicts": "\n".join(textwrap.fill(f"- {text}", 120, subsequent_indent="  ") for text in sentences),
        **found,
    }


def study_blocks(compared: Sequence[Comparison], of_study: Sequence[Comparison]) -> dict[str, str]:
    """The same of docs/study.md; `of_study` are the comparisons of STUDY_PROFILE."""
    return {
        "explanations": explain([*compared, *of_study], ROOT / "results"),
        "part 1": "\n\n".join(
            f"### `{comparison.split}`\n\n{render(comparison, 'markdown').strip()}" for comparison in of_study
        ),
    }


def updated(path: Path, blocks: dict[str, str]) -> str:
    """The text of a file with all blocks filled anew."""
    text = path.read_text(encoding="utf-8")
    for name, block in blocks.items():
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise SystemExit(f"{path.name}: expected one block {begin} .. {end}")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{block}\n{end}{rest.partition(end)[2]}"
    return text


def main() -> None:
    """Update the texts and the figures, or with --check only say whether the texts are up to date."""
    compared = {split: compare_runs(ROOT / "results", PROFILE, split) for split in SPLITS}
    of_study = [compare_runs(ROOT / "results", STUDY_PROFILE, split) for split in STUDY_SPLITS]
    readme, study = ROOT / "README.md", ROOT / "docs/study.md"
    texts = {
        readme: updated(readme, readme_blocks(compared)),
        study: updated(study, study_blocks([*compared.values()], of_study)),
    }
    old = [path.name for path, text in texts.items() if text != path.read_text(encoding="utf-8")]
    if "--check" in sys.argv[1:]:
        raise SystemExit(
            f"{', '.join(old)}: tables and verdicts are not those of results/; `make tables`" if old else None
        )
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
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
