"""How committed notebooks are executed: fresh, in place or as copies, without progress bars."""

import sys

import nbformat
import pytest
from execute import main

pytestmark = pytest.mark.slow

WIDGETS = """
from tqdm.notebook import trange
for _ in trange(3):
    pass
"""


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_a_notebook_is_executed_where_it_stands_and_keeps_no_bars(tmp_path, monkeypatch, capsys):
    path = tmp_path / "one.ipynb"
    notebook(path, "from pathlib import Path; x = 1", "print(Path.cwd().name)", WIDGETS, "x + 1")
    monkeypatch.setattr(sys, "argv", ["execute.py", str(path)])
    main()
    found = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in found.cells] == [1, 2, 3, 4]
    assert found.cells[1].outputs[0].text.strip() == tmp_path.name
    assert not any("widget" in str(output) for output in found.cells[2].outputs)
    assert found.cells[3].outputs[0].data["text/plain"] == "2"
    assert "one.ipynb: executed" in capsys.readouterr().out


def test_copies_go_into_a_folder_and_an_error_leaves_the_notebook_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "one.ipynb"
    notebook(path, "1 / 0")
    before = path.read_bytes()
    monkeypatch.setattr(sys, "argv", ["execute.py", "--to", str(tmp_path / "out"), str(path)])
    with pytest.raises(Exception, match="ZeroDivisionError"):
        main()
    assert path.read_bytes() == before
    assert not (tmp_path / "out" / "one.ipynb").exists()
