"""Boxes: areas, overlap, deltas, and what is done with them."""
