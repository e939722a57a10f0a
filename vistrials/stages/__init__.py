"""The stages of a run, which join data, models, engine and runs: a file each, and what they share."""
