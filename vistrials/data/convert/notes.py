"""What a reader left out, or took for something, counted while it reads: said in one line each, never kept silent."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Notes:
    """Counts by what happened; `lines` is complete when the last video has been read."""

    _found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, what: str, where: object, count: int = 1) -> None:
        """Count something.

        Args:
            what: a sentence's end: "frames without a mask image were left out".
            where: video, file or frame, of which the first is named.
            count: how many of them; none is no note.
        """
        if count:
            known, first = self._found.get(what, (0, str(where)))
            self._found[what] = known + count, first

    def lines(self) -> list[str]:
        """One line per kind, in the order of their first."""
        return [f"{count} {what} (first: {first})" for what, (count, first) in self._found.items()]
