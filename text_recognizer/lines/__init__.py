"""Lines of synthetic handwriting: what they say, and how they are drawn."""
