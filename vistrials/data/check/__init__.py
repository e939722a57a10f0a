"""What is broken in a data set, found before a training does."""
