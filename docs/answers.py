"""The study's questions, and what the runs of this project answer: by verdicts alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vistrials.evaluation.verdicts import Verdict
from vistrials.reports.comparison import MARGIN, Comparison, Row
from vistrials.reports.comparison_text import say_difference, verdict


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and by which differences it is answered.

    asked: the question.
    against: the trial that differences are to.
    trials: whose differences, and what they have or lack; where all have the verdict `yes`, the answer is yes.
    yes: better or worse than the trial compared with.
    """

    asked: str
    against: str
    trials: Mapping[str, str]
    yes: Verdict


QUESTIONS = (
    Question(
        "Does the neck help?",
        "baseline",
        {"attention_neck": "has the neck"},
        Verdict.BETTER,
    ),
    Question(
        "Does the neck use the other frame?",
        "attention_neck",
        {"neck_self": "attends within the frame", "neck_shuffled": "attends to a frame of another video"},
        Verdict.WORSE,
    ),
    Question(
        "Does propagation help?",
        "baseline",
        {"masktrack_rcnn_continued": "neither trained nor used"},
        Verdict.WORSE,
    ),
    Question(
        "Does it help at inference, with the same weights?",
        "baseline",
        {"propagation_train_only": "trained, not used"},
        Verdict.WORSE,
    ),
)


def answer(comparisons: Sequence[Comparison]) -> list[str]:
    """One paragraph in Markdown for each question, from comparisons against each trial of the questions."""
    return [f"**{question.asked}** {_say_splits(question, _of(question, comparisons))}." for question in QUESTIONS]


def tabulate(comparisons: Sequence[Comparison]) -> str:
    """For each question its differences, as a table over splits."""
    return "\n\n".join(
        f"**{question.asked}**\n\n{_table(question, _of(question, comparisons))}" for question in QUESTIONS
    )


def _of(question: Question, comparisons: Sequence[Comparison]) -> list[tuple[str, dict[str, Row]]]:
    """The rows of its trials, by split."""
    return [
        (comparison.split, {row.trial: row for row in comparison.rows if row.trial in question.trials})
        for comparison in comparisons
        if comparison.against == question.against and any(row.trial in question.trials for row in comparison.rows)
    ]


def _say_splits(question: Question, splits: Sequence[tuple[str, Mapping[str, Row]]]) -> str:
    """Which splits give which answer, with the differences that do, in the order of the question's trials."""
    found: dict[str, list[str]] = {}
    for split, rows in splits:
        asked = [rows[name] for name in question.trials]
        differences = ", ".join(map(say_difference, asked))
        found.setdefault(_say(question, asked), []).append(f"`{split}` ({differences})")
    of = " and ".join(f"`{name}`" for name in question.trials)
    said = "; ".join(f"{words} on {', '.join(on)}" for words, on in found.items())
    return f"By ΔAP of {of} against `{question.against}`: {said}"


def _say(question: Question, rows: Sequence[Row]) -> str:
    verdicts = {row.judgement.verdict if row.judgement else Verdict.UNDECIDED for row in rows}
    if verdicts == {question.yes}:
        return "yes"
    if Verdict.EQUAL in verdicts:
        return f"no, AP is the same within ±{MARGIN:g}"
    if verdicts - {question.yes, Verdict.UNDECIDED}:
        return "no, to the contrary"
    return "undecided"


def _table(question: Question, splits: Sequence[tuple[str, Mapping[str, Row]]]) -> str:
    lines = [
        f"| ΔAP against `{question.against}` | {' | '.join(f'`{split}`' for split, _ in splits)} |",
        f"|---|{'---|' * len(splits)}",
    ]
    for trial, what in question.trials.items():
        cells = (f"{say_difference(rows[trial])} {verdict(rows[trial].judgement)}" for _, rows in splits)
        lines.append(f"| `{trial}`: {what} | {' | '.join(cells)} |")
    return "\n".join(lines)
