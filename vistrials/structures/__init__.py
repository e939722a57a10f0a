"""Plain data that several packages pass on: videos, tracks, frames."""
