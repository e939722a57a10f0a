"""What is done with a run that has ended: its predictions, pictures, and weights for others."""
