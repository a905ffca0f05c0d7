"""A home and a folder for temporary files of each test's own: grading leaves nothing in them."""

import shutil
import tempfile
from pathlib import Path

import matplotlib
import pytest


def pytest_collection_modifyitems(items):
    """Let one worker grade the class, and the others go on with other tests."""
    for item in items:
        if "graded" in getattr(item, "fixturenames", ()):  # cells of a notebook have none
            item.add_marker(pytest.mark.xdist_group("class"))


@pytest.fixture(scope="session")
def font_lists(tmp_path_factory):
    """Return a folder with the lists of fonts of this machine, which take seconds to make."""
    folder = tmp_path_factory.mktemp("matplotlib")
    for path in Path(matplotlib.get_cachedir()).glob("fontlist*.json"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def warm_torch():
    """Let torch import what it does with its first optimizer, which leaves a temporary folder."""
    import torch

    torch.optim.SGD([torch.zeros(1)]).step()


@pytest.fixture(autouse=True)
def surroundings(tmp_path_factory, monkeypatch, font_lists):
    """Make sure that a test leaves nothing where a shared machine's users would find it."""
    home, temporary = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("temporary")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("MPLCONFIGDIR", str(font_lists))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield
    assert [*home.rglob("*"), *temporary.rglob("*")] == []
