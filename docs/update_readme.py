"""Write what the runs in results/ show into README.md and docs/study.md, between markers, and draw the figures.

    python docs/update_readme.py [--check]

A block reads `<!-- begin: NAME -->` .. `<!-- end: NAME -->`.
"""

import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from answers import QUESTIONS, RULES, overview, tabulate
from explanations import explain
from markdown_tables import markdown_table
from PIL import Image

from vistrials.reports.comparison import BASELINE, Comparison, compare_runs, compare_scored
from vistrials.reports.comparison_text import render, rounded
from vistrials.reports.effects import draw_effects
from vistrials.reports.loss_curves import save_loss_curves
from vistrials.reports.scored_runs import ScoredRuns, find_scored_runs
from vistrials.reports.verdict_sentences import say_verdicts
from vistrials.specs.loading import load_table_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "demo"
SPLITS = ("minival", "occlusion")
STUDY_PROFILE = "demo_study"
NECK, NECK_OFF = "attention_neck", "neck_off_at_test"
# A second training of its baseline, and the trials that take these weights, all on one machine.
SAME_WEIGHTS = ROOT / "results" / "same_weights"
STUDY_SPLITS = ("minival", "gaps", "occlusion", "occlusion.amodal", "crossing", "crossing.amodal")
# Parts of docs/study_plan.md. Each is a family of its own on each split, and so are controls of propagation, those of
# the neck that are trained against it, the neck switched off against it, and the neck with ordered pairs against it.
PART_1 = ("masktrack_rcnn", "masktrack_rcnn_continued", "attention_neck", "neck_self", "neck_shuffled")
PART_3 = ("baseline_tuning_2", "baseline_ordered", "additional_training", "attention_neck_ordered", "weighted_affinity")


@dataclass(frozen=True)
class Study:
    """Comparisons of STUDY_PROFILE, one for each of STUDY_SPLITS.

    part_1, part_3: trials of the plan's parts against the baseline.
    propagation: its controls against the baseline.
    neck: controls of the neck, trained and not, and the neck with ordered pairs, against it.
    same_weights: against the second training of the baseline what runs with its weights.
    retraining: AP of the baseline in both trainings, as a table.
    """

    part_1: Sequence[Comparison]
    part_3: Sequence[Comparison]
    propagation: Sequence[Comparison]
    neck: Sequence[Comparison]
    same_weights: Sequence[Comparison]
    retraining: str

    @classmethod
    def read(cls) -> Self:
        """From the runs that ship; each split of them is read and resampled once."""
        first, second = (
            [find_scored_runs(root, STUDY_PROFILE, split) for split in STUDY_SPLITS]
            for root in (ROOT / "results", SAME_WEIGHTS)
        )
        propagation, neck = load_table_rows()["propagation"], load_table_rows()["neck"]
        against_neck = [[trial for trial in neck if trial != NECK_OFF], [NECK_OFF], ["attention_neck_ordered"]]
        return cls(
            [compare_family(runs, PART_1) for runs in first],
            [compare_family(runs, PART_3) for runs in first],
            [compare_family(runs, propagation) for runs in first],
            [compare_family(runs, of, NECK) for of in against_neck for runs in first],
            [compare_family(runs, propagation) for runs in second],
            say_retraining(first, second),
        )

    @property
    def asked(self) -> list[Comparison]:
        """What QUESTIONS are answered by."""
        return [*self.part_1, *self.propagation, *self.neck]

    def readme_blocks(self) -> dict[str, str]:
        """The text of the README's blocks, by name."""
        return {"answers": overview(self.asked, QUESTIONS), "rules": overview(self.same_weights, RULES)}

    def blocks(self) -> dict[str, str]:
        """The same of docs/study.md."""
        return {
            "answers": tabulate(self.asked, QUESTIONS),
            "rules": tabulate(self.same_weights, RULES),
            "retraining": self.retraining,
            "part 1": "\n\n".join(map(_section, self.part_1)),
        }

    def figures(self) -> dict[str, "Figure"]:
        """Forest plots, by the name of their file in docs/."""
        beside_baseline = [
            replace(first, rows=(*first.rows, *third.rows[1:], *of_propagation.rows[1:]))
            for first, third, of_propagation in zip(self.part_1, self.part_3, self.propagation, strict=True)
        ]
        return {"effects_study": draw_effects(beside_baseline), "effects_rules": draw_effects(self.same_weights)}


def _table(comparison: Comparison) -> str:
    return render(comparison, "markdown").strip()


def _section(comparison: Comparison) -> str:
    """A table under the name of its split, without the notes, which are on all runs there are."""
    return f"### `{comparison.split}`\n\n{_table(replace(comparison, notes=()))}"


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(textwrap.fill(f"- {text}", 120, subsequent_indent="  ") for text in sentences)


def compare_family(found: ScoredRuns, trials: Iterable[str], against: str = BASELINE) -> Comparison:
    """A table of what there is of a family and, first, the trial that it is compared with."""
    family = sorted({*found.trials}.intersection(trials) - {against})
    compared = compare_scored(found, against=against, family=family)
    rows = [row for row in compared.rows if row.trial in family]
    return replace(compared, rows=(*(row for row in compared.rows if row.trial == against), *rows))


def say_retraining(first: Sequence[ScoredRuns], second: Sequence[ScoredRuns]) -> str:
    """AP of the baseline of two trainings that differ by rounding alone, of the seeds of both, a row for each split."""
    lines = []
    for of_first, of_second in zip(first, second, strict=True):
        by_seed = [
            {run.directory.seed: run.figures["AP"] for run in found.runs if run.directory.trial == BASELINE}
            for found in (of_first, of_second)
        ]
        seeds = sorted(set.intersection(*map(set, by_seed)))
        once, again = ([figures[seed] for seed in seeds] for figures in by_seed)
        differences = [rounded(after - before, "+") for before, after in zip(once, again, strict=True)]
        lines.append(
            [
                f"`{of_first.split}`",
                *(", ".join(cells) for cells in (map(rounded, once), map(rounded, again), differences)),
            ]
        )
    return markdown_table([f"AP of `{BASELINE}`", "first training, seeds in order", "second", "difference"], lines)


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
    study = Study.read()
    verdicts = {"verdicts": _listed(map(say_verdicts, compared)), "table": _table(compared[0])}
    explanations = explain([*compared, *study.part_1, *study.part_3], results)
    texts = {
        path: updated(path, blocks)
        for path, blocks in (
            (ROOT / "README.md", study.readme_blocks() | verdicts),
            (docs / "study.md", study.blocks() | {"explanations": explanations}),
        )
    }
    old = [path.name for path, text in texts.items() if text != path.read_text(encoding="utf-8")]
    if "--check" in sys.argv[1:]:
        raise SystemExit(
            f"{', '.join(old)}: tables and verdicts are not those of results/; `make tables`" if old else None
        )
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    save_loss_curves(results, PROFILE, docs / "losses.png", load_table_rows()["study"])
    figures = study.figures() | {"effects": draw_effects(compared)}
    for name, figure in figures.items():
        figure.savefig(docs / f"{name}.png", dpi=150)
    for path in (docs / f"{name}.png" for name in ("losses", *figures)):
        # 256 colours are plenty, and a third of the bytes.
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
