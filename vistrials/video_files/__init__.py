"""Video files, streams and cameras in and out, frame by frame. No torch here."""
