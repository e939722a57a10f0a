"""Training videos made from few annotated ones."""
