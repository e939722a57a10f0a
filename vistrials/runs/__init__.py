"""A run on disk: its folder, settings, provenance and activity."""
