"""What keeps predictions from a higher AP: errors by kind and cause."""
