"""Detections frame by frame -> tracks, with the objects that are propagated."""
