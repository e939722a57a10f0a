"""One's own videos: trained weights applied to any video, without annotations."""
