"""What does not fit between two splits of a data set, each of which may be sound by itself."""

from collections.abc import Iterator

from vistrials.data.check.frames import are_copies
from vistrials.data.check.report import Report
from vistrials.formats.findings import Finding, error, warning


def find_between(train: Report, valid: Report) -> Iterator[Finding]:
    """Compare the split that is trained on with the one that is scored on.

    Yields:
        An error where their categories differ, a warning where they share frames or copies of them.
    """
    where = f"{train.annotations.name} and {valid.annotations.name}"
    if train.category_names != valid.category_names:
        pairs = zip(train.category_names, valid.category_names, strict=False)
        first = next((f"{one!r} where the other has {other!r}" for one, other in pairs if one != other), "more in one")
        counts = f"{len(train.category_names)} and {len(valid.category_names)} categories"
        yield error("splits have other categories", where, f"{counts}, {first}; expected the same in the same order")
    trained_on = frozenset[str]().union(*train.frames_by_video.values())
    videos_of: dict[bytes, list[frozenset[bytes]]] = {}
    for prints in train.prints_by_video.values():
        for key in prints:
            videos_of.setdefault(key, []).append(prints)
    copied = {
        video_id
        for video_id, prints in valid.prints_by_video.items()
        if any(are_copies(prints, other) for key in prints for other in videos_of.get(key, ()))
    }
    shared = [
        video_id for video_id, frames in valid.frames_by_video.items() if frames & trained_on or video_id in copied
    ]
    if shared:
        some = ", ".join(map(str, shared[:5])) + (", .." if len(shared) > 5 else "")
        yield warning(
            "splits share videos",
            where,
            f"{len(shared)} of {len(valid.frames_by_video)} videos to score on are trained on as well ({some}); "
            "figures of a split that was trained on mean little",
        )
