"""Training from the terminal."""
