"""Files that are not notebooks."""

import nbformat
from cases import NOTHING, case


@case("bad", NOTHING, None, "empty")
def empty_file(student):
    """Hand in a file of no bytes."""
    return ""


@case("bad", NOTHING, None, "not JSON")
def malformed_json(student):
    """Lose a bracket in the middle."""
    return nbformat.writes(student.notebook).replace('"cells": [', '"cells": ', 1)


@case("bad", NOTHING, None, "ends in the middle")
def half_downloaded(student):
    """Hand in the first half of the file."""
    student.solve()
    text = nbformat.writes(student.notebook)
    return text[: len(text) // 2]


@case("bad", NOTHING, None, "no cells")
def no_notebook(student):
    """Hand in JSON that is something else."""
    return '{"name": "kim", "answers": [6, 208, 3]}'


@case("bad", NOTHING, None, "web page")
def web_page(student):
    """Save the page of the notebook instead of the notebook."""
    return "<!DOCTYPE html>\n<html><title>homework.ipynb</title></html>"


@case("bad", NOTHING, None, "no code cells")
def no_cells(student):
    """Delete everything."""
    student.notebook.cells = []


@case("bad", NOTHING, None, "pointer of Git LFS")
def git_lfs_pointer(student):
    """Push the pointer, and not the file."""
    return "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@case("bad", NOTHING, None, "git's conflict marks")
def git_conflict(student):
    """Merge, and hand in what git has made of both sides."""
    student.solve()
    text = nbformat.writes(student.notebook)
    return text.replace(' "cells"', '<<<<<<< HEAD\n "cells"', 1) + "\n>>>>>>> upstream/main\n"
