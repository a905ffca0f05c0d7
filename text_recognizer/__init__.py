"""Reads handwriting: data, networks, training, reading, and the canvas."""
