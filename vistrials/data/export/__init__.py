"""Annotations and predictions in YouTube-VIS form -> the forms of other programs."""
