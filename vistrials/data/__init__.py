"""Videos and annotations on their way to a network: sources, frames, samples, pairs; and tools for data sets."""
