"""The start page in a real JupyterLab: its tables, and how it knows what has passed."""

TEXTS = "cells => cells.map(cell => cell.innerText.trim())"


def test_jupyter_says_which_notebook_a_kernel_belongs_to(lab):
    assert lab.python("__import__('os').environ['JPY_SESSION_NAME']").endswith("canvas.ipynb")


def test_a_colour_has_a_word_beside_it(lab):
    lab.run("check_machine()")
    lab.page.wait_for_selector("text=Does the lab run on this machine?")
    assert lab.page.locator("th").evaluate_all(TEXTS)[:2] == ["result", "what"]
    assert set(lab.page.locator("td:first-child").evaluate_all(TEXTS)) <= {"🟢 ok", "🟡 note"}


def test_progress_links_to_the_notebooks(lab):
    lab.run("show_progress()")
    lab.page.wait_for_selector("text=Checked questions that you have passed")
    rows = lab.page.locator("td:nth-child(2)").evaluate_all(TEXTS)
    assert rows == ["0 / 2", "0 / 3", "0 / 2", "0 / 2", "0 / 2", "0 / 2", "0 / 7"]
    assert lab.page.locator("td a").first.inner_text() == "1. Look at EMNIST"
