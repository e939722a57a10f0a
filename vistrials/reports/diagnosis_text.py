"""An error analysis as tables: of one predictions file, or of two side by side with their difference."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from vistrials.evaluation.errors.analysis import Diagnosis
from vistrials.evaluation.errors.ap import Score
from vistrials.evaluation.errors.breakdowns import Bin

MAX_CONFUSIONS = 10
"""Confused pairs that are shown, those of A first."""

REMARK = (
    "Every kind and cause is mended alone. The gains add up neither to 100 - AP nor to that of several mended at once: "
    "a true track may be lost to more than one error, and AP is not a sum over tracks."
)

_Numbers = tuple[float | None, ...]


class Table(NamedTuple):
    """What `display.show_table` takes."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


class _Column(NamedTuple):
    name: str
    decimals: int


class _Section(NamedTuple):
    title: str
    label: str
    columns: tuple[_Column, ...]
    rows: Callable[[Diagnosis], Mapping[str, _Numbers]]
    limit: int | None = None
    absent: float | None = None
    """What a row means that only the other diagnosis has."""


def tables(diagnoses: Sequence[Diagnosis]) -> list[Table]:
    """The tables of one diagnosis, or of two (A, B, and A minus B); those without rows are left out."""
    shown = [_table(section, diagnoses) for section in _SECTIONS]
    return [table for table in shown if table.rows]


def _table(section: _Section, diagnoses: Sequence[Diagnosis]) -> Table:
    found = [section.rows(diagnosis) for diagnosis in diagnoses]
    labels = dict.fromkeys(label for rows in found for label in rows)
    names = [column.name for column in section.columns]
    if len(diagnoses) > 1:
        names = [f"{name}{end}" for name in names for end in (" A", " B", " A-B")]
    nothing: _Numbers = (section.absent,) * len(section.columns)
    rows = []
    for label in list(labels)[: section.limit]:
        cells = [label]
        for place, column in enumerate(section.columns):
            numbers = [rows_of.get(label, nothing)[place] for rows_of in found]
            cells += [_shown(number, column.decimals) for number in numbers]
            if len(numbers) > 1:
                a, b = numbers
                cells.append(_shown(None if a is None or b is None else a - b, column.decimals, "+"))
        rows.append(tuple(cells))
    return Table(section.title, (section.label, *names), rows)


def _shown(number: float | None, decimals: int, sign: str = "") -> str:
    # Adding 0 turns -0.0 into 0.0.
    return "–" if number is None else f"{round(number, decimals) + 0.0:{sign}.{decimals}f}"


def _error_rows(diagnosis: Diagnosis) -> dict[str, _Numbers]:
    rows = {}
    for kind, error in diagnosis.errors.items():
        rows[kind] = error
        if kind == "temporal":
            rows |= {f"- {cause.replace('_', ' ')}": of_cause for cause, of_cause in diagnosis.temporal.items()}
    return {label: (row.num_at_50, row.num_mean, *_percent(row.gain)) for label, row in rows.items()}


def _score_rows(diagnosis: Diagnosis) -> dict[str, _Numbers]:
    return {name: _percent(score) for name, score in {"as it is": diagnosis.score, **diagnosis.ladders}.items()}


def _frame_rows(diagnosis: Diagnosis) -> dict[str, _Numbers]:
    num_true = sum(count for name, count in diagnosis.frames.items() if name != "leak")
    return {
        name.replace("_", " "): (count, 100 * count / num_true if num_true else None)
        for name, count in diagnosis.frames.items()
    }


def _bin_rows(
    choose: Callable[[Diagnosis], Sequence[Bin]], is_whole: bool
) -> Callable[[Diagnosis], dict[str, _Numbers]]:
    def label(part: Bin) -> str:
        if part.high is None:
            values = f"{part.low} and more"
        elif is_whole:
            values = str(part.low) if part.high == part.low + 1 else f"{part.low} to {part.high - 1}"
        else:
            values = f"{part.low} to < {part.high}"
        return f"{values} ({part.num_truths} tracks)"

    return lambda diagnosis: {label(part): _percent(part.score) for part in choose(diagnosis)}


def _confusion_rows(diagnosis: Diagnosis) -> dict[str, _Numbers]:
    return {f"{row.true} -> {row.predicted}": (row.count, 100 * row.count / row.of) for row in diagnosis.confusions}


def _identity_rows(diagnosis: Diagnosis) -> dict[str, _Numbers]:
    return {
        "identity switches": (diagnosis.identities.switches,),
        "fragmentations": (diagnosis.identities.fragmentations,),
    }


def _percent(score: Score) -> tuple[float | None, float | None]:
    return (None, None) if score.AP50 == -1 else (100 * score.AP50, 100 * score.AP)


_AP_COLUMNS = (_Column("AP50", 1), _Column("AP", 1))
_SECTIONS = (
    _Section(
        "Errors: number at IoU .5 and mean over the thresholds, and what AP gains if they are mended",
        "kind",
        (_Column("n at .5", 0), _Column("n mean", 1), _Column("ΔAP50", 2), _Column("ΔAP", 2)),
        _error_rows,
    ),
    _Section("AP with what would be perfect, and all else as it is", "", _AP_COLUMNS, _score_rows),
    _Section(
        "Frames of true tracks, by the prediction of their category that overlaps each most (leak: beside them)",
        "frames",
        (_Column("number", 0), _Column("%", 1)),
        _frame_rows,
    ),
    _Section("AP by length of the true track", "frames", _AP_COLUMNS, _bin_rows(lambda d: d.by_length, True)),
    _Section("AP by size of the true track", "√area, px", _AP_COLUMNS, _bin_rows(lambda d: d.by_size, False)),
    _Section(
        "AP by number of true tracks in the video", "number", _AP_COLUMNS, _bin_rows(lambda d: d.by_crowding, True)
    ),
    _Section(
        "True tracks that are taken for another category, and % of those of their category that are found at IoU .5",
        "true -> predicted",
        (_Column("tracks", 0), _Column("%", 1)),
        _confusion_rows,
        limit=MAX_CONFUSIONS,
        absent=0,
    ),
    _Section("Identities", "", (_Column("number", 0),), _identity_rows),
)
