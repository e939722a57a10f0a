"""Write what the runs in results/ show into README.md and docs/study.md, between markers, and draw the figures.

    python docs/update_readme.py [--check]

A block reads `<!-- begin: NAME -->` .. `<!-- end: NAME -->`.
"""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from answers import QUESTIONS, RULES, answer, tabulate
from explanations import explain
from PIL import Image

from vistrials.reports.comparison import BASELINE, Comparison, compare_runs, compare_scored
from vistrials.reports.comparison_text import render, rounded
from vistrials.reports.effects import draw_effects
from vistrials.reports.loss_curves import save_loss_curves
from vistrials.reports.scored_runs import ScoredRuns, find_scored_runs
from vistrials.reports.verdict_sentences import say_verdicts
from vistrials.specs.loading import load_table_rows

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "demo"
SPLITS = ("minival", "occlusion")
STUDY_PROFILE = "demo_study"
# A second training of its baseline, and the trials that take these weights, all on one machine.
SAME_WEIGHTS = ROOT / "results" / "same_weights"
STUDY_SPLITS = ("minival", "gaps", "occlusion", "occlusion.amodal", "crossing", "crossing.amodal")
# Part 1 of docs/study_plan.md; controls of propagation, and those of the neck against it, are families of their own.
STUDY_FAMILY = ("masktrack_rcnn", "masktrack_rcnn_continued", "attention_neck", "neck_self", "neck_shuffled")


def readme_blocks(
    compared: Sequence[Comparison], asked: Sequence[Comparison], of_rules: Sequence[Comparison]
) -> dict[str, str]:
    """The text of the README's blocks, by name.

    compared: of PROFILE, the first split's table is shown.
    asked, of_rules: what the answers to QUESTIONS and RULES go by.
    """
    return {
        "answers": _listed([*answer(asked, QUESTIONS), *answer(of_rules, RULES)]),
        "verdicts": _listed(map(say_verdicts, compared)),
        "table": render(compared[0], "markdown").strip(),
    }


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(textwrap.fill(f"- {text}", 120, subsequent_indent="  ") for text in sentences)


def study_blocks(
    compared: Sequence[Comparison],
    of_study: Sequence[Comparison],
    asked: Sequence[Comparison],
    of_rules: Sequence[Comparison],
) -> dict[str, str]:
    """The same of docs/study.md; `of_study` are the comparisons of STUDY_PROFILE."""
    return {
        "explanations": explain([*compared, *of_study], ROOT / "results"),
        "answers": tabulate(asked, QUESTIONS),
        "rules": tabulate(of_rules, RULES),
        "part 1": "\n\n".join(
            f"### `{comparison.split}`\n\n{render(comparison, 'markdown').strip()}" for comparison in of_study
        ),
    }


def compare_family(found: ScoredRuns, trials: Iterable[str], against: str = BASELINE) -> Comparison:
    """A table of what there is of a family and, first, the trial that it is compared with."""
    family = sorted({*found.trials}.intersection(trials) - {against})
    compared = compare_scored(found, against=against, family=family)
    rows = [row for row in compared.rows if row.trial in family]
    return replace(compared, rows=(*(row for row in compared.rows if row.trial == against), *rows))


def say_retraining(first: Sequence[ScoredRuns], second: Sequence[ScoredRuns]) -> str:
    """AP of the baseline of two trainings that differ by rounding alone, as a table over splits."""
    lines = [f"| AP of `{BASELINE}` | first training, seeds in order | second | difference |", "|---|---|---|---|"]
    for of_first, of_second in zip(first, second, strict=True):
        once, again = (
            [run.figures["AP"] for run in found.runs if run.directory.trial == BASELINE]
            for found in (of_first, of_second)
        )
        differences = [rounded(after - before, "+") for before, after in zip(once, again, strict=True)]
        cells = (", ".join(map(rounded, aps)) for aps in (once, again))
        lines.append(f"| `{of_first.split}` | {' | '.join(cells)} | {', '.join(differences)} |")
    return "\n".join(lines)


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
    found = [find_scored_runs(results, STUDY_PROFILE, split) for split in STUDY_SPLITS]
    of_study = [compare_family(runs, STUDY_FAMILY) for runs in found]
    of_propagation = [compare_family(runs, load_table_rows()["propagation"]) for runs in found]
    of_neck = [compare_family(runs, load_table_rows()["neck"], "attention_neck") for runs in found]
    asked = [*of_study, *of_propagation, *of_neck]
    found_again = [find_scored_runs(SAME_WEIGHTS, STUDY_PROFILE, split) for split in STUDY_SPLITS]
    of_rules = [compare_family(runs, load_table_rows()["propagation"]) for runs in found_again]
    readme, study = ROOT / "README.md", docs / "study.md"
    texts = {
        readme: updated(readme, readme_blocks(compared, asked, of_rules)),
        study: updated(
            study,
            study_blocks(compared, of_study, asked, of_rules) | {"retraining": say_retraining(found, found_again)},
        ),
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
    shown = [
        replace(part, rows=(*part.rows, *more.rows[1:])) for part, more in zip(of_study, of_propagation, strict=True)
    ]
    draw_effects(shown).savefig(docs / "effects_study.png", dpi=150)
    draw_effects(of_rules).savefig(docs / "effects_rules.png", dpi=150)
    for figure in (docs / f"{name}.png" for name in ("losses", "effects", "effects_study", "effects_rules")):
        # 256 colours are plenty, and a third of the bytes.
        Image.open(figure).convert("RGB").quantize(256).save(figure, optimize=True)


if __name__ == "__main__":
    main()
