"""The tables of docs/uncertainty.md, from what `benchmarks.verdicts` has measured."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]


def write_tables(page: str, found: Found) -> str:
    """The page with all tables between its markers filled anew.

    Raises:
        ValueError: the page lacks a marker.
    """
    for name, text in tables(found).items():
        page, num = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda marked, text=text: f"{marked[1]}{text}\n{marked[2]}",
            page,
            flags=re.DOTALL,
        )
        if num != 1:
            raise ValueError(f"expected one <!-- {name} --> .. <!-- end -->, found {num}")
    return page


def tables(found: Found) -> dict[str, str]:
    """All of them by the name of their marker, as Markdown."""
    return {
        "null": _null(found),
        "methods": _methods(found["null"]),
        "equality": _equality(found["equality"]),
        "ap": _ap(found["ap"]),
        "power": _power(found["power"]),
        "looks": _looks(found["looks"]),
        "speed": _speed(found["speed"]),
    }


def _null(found: Found) -> str:
    rows = [
        (
            row["setting"],
            row["seeds"],
            _percent(row["alone"]["ours"]),
            _percent(row["family"]["ours"]),
            _percent(row["coverage"]),
            _percent(row["family_coverage"]),
        )
        for row in found["null"]
    ]
    rows += [(row["setting"], "–", "no p", "no p", _percent(row["coverage"]), "–") for row in found["one_network"]]
    return _table(
        ("setting", "seeds", "p < 0.05 alone", "any row of 8", "held by the interval", "by those of the family"), rows
    )


def _methods(null: Sequence[Found]) -> str:
    names = {
        "ours": "ours",
        "no floor": "without the floor",
        "own": "own variance, Satterthwaite",
        "moderated": "moderated",
        "pooled": "pooled",
    }
    rows = [
        (
            row["setting"],
            row["seeds"],
            *(f"{_number(row['alone'][name])} / {_number(row['family'][name])}" for name in names),
        )
        for row in null
    ]
    return _table(("setting", "seeds", *names.values()), rows)


def _equality(equality: Sequence[Found]) -> str:
    rows = [(row["setting"], row["seeds"], _percent(row["alone"]), _percent(row["family"])) for row in equality]
    return _table(("setting", "seeds", "equal alone", "any row of 8"), rows)


def _ap(ap: Sequence[Found]) -> str:
    rows = [(row["setting"], row["seeds"], _percent(row["alone"]), _percent(row["coverage"])) for row in ap]
    return _table(("setting", "seeds", "p < 0.05 alone", "held by the interval"), rows)


def _power(power: Sequence[Found]) -> str:
    rows = []
    for none, some in zip(power[::2], power[1::2], strict=True):
        rows.append(
            (
                none["videos"],
                f"{none['seed_sd']:g}",
                none["seeds"],
                _whole(none["equal"]),
                _whole(none["undecided"]),
                _whole(some["better"]),
                _whole(some["undecided"]),
            )
        )
    headings = ("videos", "sd between seeds", "seeds", "0: equal", "0: undecided", "2: better", "2: undecided")
    return _table(headings, rows)


def _looks(looks: Sequence[Found]) -> str:
    rows = [
        (
            row["setting"],
            f"{row['difference']:g}",
            _percent(row["error"]),
            _percent(row["error_without_plan"]),
            _whole(row["decided"]),
            _whole(row["decided_at_once"]),
            _whole(1 - row["runs"]),
        )
        for row in looks
    ]
    headings = (
        "setting",
        "ΔAP",
        "tables with an error",
        "without a plan",
        "decided",
        "by ten seeds at once",
        "runs saved",
    )
    return _table(headings, rows)


def _speed(speed: Found) -> str:
    rows = [
        (name, f"{row['predictions']:,}", f"{row['resampling']:.1f} s", f"{row['judging']:.2f} s")
        for name, row in speed.items()
    ]
    return _table(("300 videos, 15 runs", "predictions of a run", "10,000 draws", "verdicts"), rows)


def _percent(share: float) -> str:
    return f"{_number(share)} %"


def _number(share: float) -> str:
    return f"{100 * share:.1f}"


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table(headings: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
