"""Runs notebooks from a fresh kernel and keeps their outputs, except for progress bars.

    python tools/course/execute.py labs/01_look_at_emnist.ipynb     # in place
    python tools/course/execute.py --to build labs/*.ipynb          # copies into a folder

A widget is drawn by a running kernel only, so a stored one is of no use: progress bars are left
out, and of a canvas its picture stays. Curves that grow are left out, too: of a notebook that is
new to it, JupyterLab shows only their labels. Cells with the tag `hide-output` keep nothing: what
they show is an answer, or says something of one machine.
"""

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient

WIDGET = "application/vnd.jupyter.widget-view+json"


def is_bare(output: dict) -> bool:
    """Tell whether an output shows nothing, or nothing whole, without a running kernel."""
    data = output.get("data", {})
    is_curves = 'class="live-curves"' in data.get("text/html", "")
    return is_curves or (WIDGET in data and "image/png" not in data)


def execute(path: Path, target: Path) -> None:
    """Run the notebook at `path` in its own folder, and write it to `target` when it is done."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": path.parent}}
    NotebookClient(
        notebook, timeout=900, resources=resources, record_timing=False, store_widget_state=False
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if not is_bare(out)]
            if "hide-output" in cell.metadata.get("tags", []):
                cell.outputs = []
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)
    notebook.metadata.language_info = {"name": "python"}  # not this machine's version of it
    partial = target.with_suffix(".partial")
    nbformat.write(notebook, partial)
    partial.replace(target)
    print(f"{target}: executed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="write copies there")
    options = parser.parse_args()
    for path in options.notebooks:
        if options.to:
            options.to.mkdir(parents=True, exist_ok=True)
        execute(path, options.to / path.name if options.to else path)


if __name__ == "__main__":
    main()
