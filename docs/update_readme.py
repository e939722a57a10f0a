"""Write what the runs in results/ show into README.md and docs/study.md, between markers, and draw the figures.

    python docs/update_readme.py [--check]

A block reads `<!-- begin: NAME -->` .. `<!-- end: NAME -->`.
"""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from answers import answer, tabulate
from explanations import explain
from PIL import Image

from vistrials.reports.comparison import Comparison, compare_runs
from vistrials.reports.comparison_text import render
from vistrials.reports.effects import draw_effects
from vistrials.reports.loss_curves import save_loss_curves
from vistrials.reports.verdict_sentences import say_verdicts
from vistrials.specs.loading import load_table_rows

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "demo"
SPLITS = ("minival", "occlusion")
STUDY_PROFILE = "demo_study"
STUDY_SPLITS = ("minival", "gaps", "occlusion", "occlusion.amodal", "crossing", "crossing.amodal")


def readme_blocks(compared: Sequence[Comparison], asked: Sequence[Comparison]) -> dict[str, str]:
    """The text of the README's blocks, by name.

    compared: of PROFILE, the first split's table is shown.
    asked: what `answers` goes by.
    """
    return {
        "answers": _listed(answer(asked)),
        "verdicts": _listed(map(say_verdicts, compared)),
        "table": render(compared[0], "markdown").strip(),
    }


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(textwrap.fill(f"- {text}", 120, subsequent_indent="  ") for text in sentences)


def study_blocks(
    compared: Sequence[Comparison], of_study: Sequence[Comparison], asked: Sequence[Comparison]
) -> dict[str, str]:
    """The same of docs/study.md; `of_study` are the comparisons of STUDY_PROFILE."""
    return {
        "explanations": explain([*compared, *of_study], ROOT / "results"),
        "answers": tabulate(asked),
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
    docs, results = ROOT / "docs", ROOT / "results"
    compared = [compare_runs(results, PROFILE, split) for split in SPLITS]
    of_study = [compare_runs(results, STUDY_PROFILE, split) for split in STUDY_SPLITS]
    of_neck = (
        compare_runs(results, STUDY_PROFILE, split, against="attention_neck", family=["neck"]) for split in STUDY_SPLITS
    )
    asked = [*of_study, *of_neck]
    readme, study = ROOT / "README.md", docs / "study.md"
    texts = {
        readme: updated(readme, readme_blocks(compared, asked)),
        study: updated(study, study_blocks(compared, of_study, asked)),
    }
    old = [path.name for path, text in texts.items() if text != path.read_text(encoding="utf-8")]
    if "--check" in sys.argv[1:]:
        raise SystemExit(
            f"{', '.join(old)}: tables and verdicts are not those of results/; `make tables`" if old else None
        )
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    save_loss_curves(results, PROFILE, docs / "losses.png", load_table_rows()["study"])
    draw_effects(compared).savefig(docs / "effects.png", dpi=150)
    draw_effects(of_study).savefig(docs / "effects_study.png", dpi=150)
    for figure in (docs / f"{name}.png" for name in ("losses", "effects", "effects_study")):
        # 256 colours are plenty, and a third of the bytes.
        Image.open(figure).convert("RGB").quantize(256).save(figure, optimize=True)


if __name__ == "__main__":
    main()
