"""What runs have come to, as tables, verdicts and pictures. No torch here."""
