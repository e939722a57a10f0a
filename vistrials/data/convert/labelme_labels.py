"""What labelme's labels mean: a category, and where numbers count objects, which of its objects."""

from collections.abc import Iterable, Mapping
from typing import Literal

from vistrials.data.category_names import alike, folded, numbered, shown, split_number
from vistrials.errors import DataError

Numbers = Literal["objects", "categories"]
Meaning = tuple[str, int | None]  # category, number of the object or None


def read_labels(
    labels: Iterable[str], origin: object, *, merge_labels: bool = False, numbers: Numbers | None = None
) -> Mapping[str, Meaning]:
    """Decide what each label of a data set means.

    Args:
        labels: as written, in the order of the data set.
        origin: folder, for messages.
        merge_labels: labels that differ by case or blanks alone are one category, called as the first is written.
        numbers: labels that differ by a number at their end alone are objects of one category, or categories.

    Returns:
        Label as written -> category and number.

    Raises:
        DataError: labels look like one category, and the arguments do not say whether they are.
    """
    labels = list(dict.fromkeys(labels))
    meaning: dict[str, Meaning] = {label: (label, None) for label in labels}
    for group in numbered(labels):
        if numbers is None:
            raise DataError(
                f"{origin}: {len(group)} labels differ by a number alone ({shown(group)}): say with --numbers objects "
                "that they are objects of one category, or with --numbers categories that they are categories"
            )
        if numbers == "objects":
            for label in group:
                word, number = split_number(label) or (label, None)
                meaning[label] = word, number
    for group in alike(category for category, _ in meaning.values()):
        if not merge_labels:
            raise DataError(
                f"{origin}: {len(group)} labels differ by case or blanks alone ({shown(group)}); write them alike, or "
                "join them with --merge-labels"
            )
        for label, (category, number) in meaning.items():
            if folded(category) == folded(group[0]):
                meaning[label] = group[0].strip(), number
    return meaning
