"""The canvas that reads what is written on it."""
