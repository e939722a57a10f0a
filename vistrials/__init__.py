"""vistrials: reproducible trials of video instance segmentation."""

__version__ = "0.1.0"
