"""Data sets of other forms -> YouTube-VIS form, a reader for each form."""
