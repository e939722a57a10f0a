"""Files as they are, and checks of what they say: JSON, annotations, run lengths, images. No torch here."""
