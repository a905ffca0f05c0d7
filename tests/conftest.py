"""Fixtures: an empty data folder, no network, small archives and a server on this machine."""

import gc
import os
import threading

import numpy as np
import pytest
from helpers import (
    Server,
    emnist_members,
    make_images,
    write_gzip_zip,
    write_matlab_zip,
    write_mnist,
)

# Loops that a notebook writes out, which LAB_FAST does not cut short.
LOOPS = {
    **{"epochs=40": "epochs=4", "steps=50": "steps=5", "steps=80, batch": "steps=10, batch"},
    **{"__getitems__(range(100))": "__getitems__(range(10))", "num_test=300": "num_test=30"},
    **{"num_train=2000": "num_train=200", "epochs=4, seed": "epochs=1, seed", "// 2000": "// 200"},
}
# The tests in real/ need the real data that `make test-real` names.
collect_ignore = [] if os.environ.get("EMNIST_ARCHIVE") else ["real"]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items):
    """Run the cells of a notebook in one worker, whatever they warn of."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.xdist_group(item.path.name))
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            if os.environ.get("LAB_FAST"):
                for long, short in LOOPS.items():
                    item.cell.source = item.cell.source.replace(long, short)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage in what is imported: a fifth of the time that PyTorch takes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # it stays
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def kept_memory():
    """Train as notebooks do, in memory that the step before has freed."""
    from text_recognizer.threads import keep_freed_memory

    keep_freed_memory()


@pytest.fixture(scope="session", autouse=True)
def kept_images():
    """Unpack images of the bundled files once: most trainings of tests take less time than that."""
    from text_recognizer.files import (
        prepared,  # here, because pytest-xdist's own process runs no tests
    )
    from text_recognizer.paths import bundled

    read, kept = prepared.PreparedFile.read_images, {}
    names = {str(bundled(name)) for name in (prepared.SAMPLE_FILE, prepared.JOINED_FILE)}

    def read_once(self, part, indices=None):
        if self._file.filename not in names:
            return read(self, part, indices)
        key = (self._file.filename, part, None if indices is None else np.array(indices).tobytes())
        kept[key] = kept.pop(key) if key in kept else read(self, part, indices)
        if len(kept) > 8:
            del kept[next(iter(kept))]
        return kept[key].clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared.PreparedFile, "read_images", read_once)
        yield


@pytest.fixture(scope="module", autouse=True)
def environment_of_module(tmp_path_factory):
    """Keep what a module's fixtures do apart from the notebooks, which run beside the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LAB_FAST", raising=False)
        patch.setenv("LAB_DATA_DIR", str(tmp_path_factory.mktemp("module") / "lab-data"))
        yield


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    """Keep every test off the network, the user's data and the user's settings."""
    for name in ("EMNIST_ARCHIVE", "MNIST_DIR", "NLTK_DATA", "LAB_FAST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("LAB_OFFLINE", "1")
    from text_recognizer.files import prepared

    prepared.say_once.cache_clear()
    monkeypatch.setenv("LAB_DATA_DIR", str(tmp_path / "lab-data"))


@pytest.fixture
def data_folder(tmp_path):
    """Return the folder that LAB_DATA_DIR names; it does not exist yet."""
    return tmp_path / "lab-data"


@pytest.fixture
def online(monkeypatch):
    """Allow downloads, from the addresses that the test sets."""
    monkeypatch.delenv("LAB_OFFLINE")


@pytest.fixture(scope="session")
def characters():
    """Return 200 train and 90 test images as ByClass has them: upright, labels 0 to 61."""
    return make_images({"train": 200, "test": 90}, 62, seed=1)


@pytest.fixture(scope="session")
def digits():
    return make_images({"train": 120, "test": 60}, 10, seed=2)


@pytest.fixture
def gzip_zip(tmp_path, characters):
    return write_gzip_zip(tmp_path / "gzip.zip", emnist_members(characters))


@pytest.fixture
def matlab_zip(tmp_path, characters):
    return write_matlab_zip(tmp_path / "matlab.zip", characters)


@pytest.fixture
def mnist_folder(tmp_path, digits):
    return write_mnist(tmp_path / "mnist-files", digits)


@pytest.fixture
def server(online):
    """Return a server on 127.0.0.1; downloads are allowed."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def emnist_sources(monkeypatch):
    """Return the list of EMNIST's mirrors, empty, for the test to fill."""
    from text_recognizer.files import download

    mirrors = []
    monkeypatch.setitem(download.ADDRESSES, "emnist", mirrors)
    return mirrors
