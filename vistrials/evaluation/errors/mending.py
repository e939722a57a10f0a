"""What AP would be if errors were mended."""

from collections.abc import Sequence

import numpy as np

from vistrials.evaluation.errors.ap import Ranking
from vistrials.evaluation.errors.kinds import Errors, Kind
from vistrials.evaluation.errors.overlap import Bools
from vistrials.evaluation.matching import UNMATCHED


def mend(errors: Errors, mended: Bools, category_ids: Sequence[int], *, misses: bool = False) -> Ranking:
    """Rank the predictions as they would be after mending some of their errors.

    A mended prediction with a target is right, in the target's category and at its own score; if several
    predictions hold a truth then, only the one of highest score stays. A mended prediction without a target is
    taken out. Mended misses are taken off the truths to be found. So mending never lowers AP: wrong predictions
    go, right ones come or rise, or there is less to find.

    Args:
        errors: of all predictions.
        mended: bool [T, N]; of predictions that are errors.
        category_ids: all K categories.
        misses: whether the missed truths are mended.

    Returns:
        The ranking; categories without a counted truth stay out of the mean.

    Source: TIDE (arXiv 2008.08115), section 2.3.
    """
    is_right = np.zeros(mended.shape, dtype=bool)
    is_held = (errors.kinds == Kind.RIGHT) | mended
    categories = np.tile(errors.categories, (len(mended), 1))
    for t in range(len(mended)):
        holders = np.flatnonzero(is_held[t] & (errors.targets[t] != UNMATCHED))
        truths = errors.targets[t, holders]
        # Predictions of a video come by falling score: the first of a truth is the best.
        _, first = np.unique(truths, return_index=True)
        is_right[t, holders[first]] = True
        categories[t, holders] = errors.truth_categories[truths]
    ids = np.array(category_ids, dtype=np.int64)
    is_to_find = errors.is_counted & ~(errors.is_missed & misses)
    of_category = errors.truth_categories == ids[:, None]
    return Ranking(
        scores=errors.scores,
        categories=categories,
        is_right=is_right,
        is_left_out=((errors.kinds == Kind.IGNORED) | is_held) & ~is_right,
        category_ids=ids,
        num_truths=is_to_find.astype(np.int64) @ of_category.T.astype(np.int64),
        counted=(of_category & errors.is_counted).any(axis=1),
    )
