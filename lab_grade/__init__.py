"""Grades a class: every submission in a process of its own, with nbval."""
