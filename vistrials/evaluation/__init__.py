"""Figures of predictions against annotations, and how far they may be off. No torch here."""

# numpy.unique looks at numpy.ma, which numpy imports at its first use; by several threads at once that has failed.
import numpy.ma  # noqa: F401
