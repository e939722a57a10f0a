"""The embedded videos: drawn from seeds, with visible and whole masks."""
