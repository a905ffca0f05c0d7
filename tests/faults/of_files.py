"""Full disks, files with changed bytes, and paths that people have or mistype."""

import bz2
import contextlib
import functools
import gzip
import io
import os
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import torch
from helpers import emnist_members, make_images, write_gzip_zip, write_matlab_zip, write_mnist
from tries import Kind, change_bytes, pick

from lab_utils import (
    EMNIST,
    MLP,
    MNIST,
    BaseLitModel,
    EMNISTLines,
    HandwritingCanvas,
    LabError,
    LineRecognizer,
    MyHandwriting,
    Recognizer,
    SentenceGenerator,
    prepare,
    prepare_line,
    sample_strokes,
)
from text_recognizer.data import emnist_lines, sentence_generator
from text_recognizer.data.my_handwriting import save_drawing
from text_recognizer.files import archives, prepared
from text_recognizer.mapping import CHARACTERS
from text_recognizer.models import weights as weights_module
from text_recognizer.models.weights import load_network, load_shipped
from text_recognizer.paths import bundled
from text_recognizer.reading.recognizer import CHARACTER_WEIGHTS, LINE_WEIGHTS

CHARACTER_IMAGES = {"train": 300, "test": 120}
LARGE = bytes(60_000_000)
LINES = {"max_length": 8, "num_train": 30, "num_val": 10, "num_test": 10}
SENTENCE = "The/at quick/jj brown/jj fox/nn jumps/vbz over/in the/at lazy/jj dog/nn ./.\n"


def read_parts(data) -> dict[str, torch.Tensor]:
    """Return all that a data module holds."""
    data.prepare_data()
    data.setup()
    parts = {}
    for name in ("train", "val", "test"):
        part = getattr(data, f"data_{name}")
        parts[f"x_{name}"], parts[f"y_{name}"] = part.images, part.labels
    return parts


def is_same(found: dict, expected: dict) -> bool:
    return set(found) == set(expected) and all(
        torch.equal(torch.as_tensor(found[name]), torch.as_tensor(expected[name]))
        for name in expected
    )


def read_archive(parts) -> dict:
    """Return what a reader of archives streams, whole."""
    found = {}
    for part in parts:
        found[f"y_{part.name}"] = torch.from_numpy(part.labels)
        found[f"x_{part.name}"] = torch.from_numpy(np.concatenate(list(part.images)))
    return found


def save_drawings(path: Path, count: int = 6) -> None:
    for i in range(count):
        strokes = sample_strokes(CHARACTERS[i])
        save_drawing(path, CHARACTERS[i], strokes, prepare(strokes))


def read_drawings(path: Path) -> dict[str, torch.Tensor]:
    data = MyHandwriting(path)
    data.setup()
    return {"images": data.images, "labels": data.labels, "strokes": len(data.strokes)}


def make_archives(folder: Path) -> dict[str, Path]:
    characters = make_images(CHARACTER_IMAGES, 62, seed=1)
    corpus = folder / "nltk" / "corpora"
    corpus.mkdir(parents=True)
    with zipfile.ZipFile(corpus / "brown.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("ca01", "cb02", "cr09"):
            archive.writestr(f"brown/{name}", "\n".join([SENTENCE] * 50))
    return {
        "gzip": write_gzip_zip(folder / "gzip.zip", emnist_members(characters)),
        "matlab": write_matlab_zip(folder / "matlab.zip", characters),
        "mnist": write_mnist(folder / "mnist", make_images({"train": 120, "test": 60}, 10, seed=2)),
        "brown": corpus / "brown.zip",
    }


# A full disk.


def make_for_full_disk(folder: Path) -> tuple[dict, dict, dict]:
    """Return the archives, and how large each prepared file is and what it holds."""
    found = make_archives(folder)
    sizes, expected = {}, {}
    for name in ("emnist", "matlab", "mnist", "lines", "hand"):
        data = folder / "data"
        expected[name] = _prepare(found, name)
        sizes[name] = max(p.stat().st_size for p in data.glob("*.[hj]*"))
        shutil.rmtree(data)
    return found, sizes, expected


def _prepare(found: dict, name: str) -> dict:
    os.environ["EMNIST_ARCHIVE"] = str(found["matlab" if name == "matlab" else "gzip"])
    os.environ["MNIST_DIR"] = str(found["mnist"])
    if name == "hand":
        path = Path(os.environ["LAB_DATA_DIR"], "my_handwriting.jsonl")
        save_drawings(path)
        return read_drawings(path)
    if name == "lines":
        return read_parts(EMNISTLines(source="sample", text="own", **LINES))
    return read_parts(MNIST() if name == "mnist" else EMNIST())


def fill_disk(made, random, folder: Path):
    found, sizes, expected = made
    name = pick(random, sizes)
    room = int(random.integers(sizes[name] * 1.1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    data = folder / "data"
    try:
        return is_same(_prepare(found, name), expected[name])
    except LabError:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        kept = [p.name for p in data.glob("*") if not p.name.endswith(".lock")]
        # Drawings that were saved before stay; anything else that is left is damaged or too much.
        if name == "hand" and kept == ["my_handwriting.jsonl"]:
            read_drawings(data / "my_handwriting.jsonl")
        elif kept:
            return False
        raise


# Changed bytes.


def make_prepared(folder: Path) -> tuple[Path, Callable, dict]:
    archive = str(make_archives(folder)["gzip"])

    def read():
        os.environ["EMNIST_ARCHIVE"] = archive
        return read_parts(EMNIST())

    expected = read()
    return folder / "data" / "emnist.h5", read, expected


def make_lines(folder: Path) -> tuple[Path, Callable, dict]:
    # The bundled file is whole: it is read once.
    read_once = functools.cache(emnist_lines.read_joined_lines)

    def read():
        with mock.patch.object(emnist_lines, "read_joined_lines", read_once):
            return read_parts(EMNISTLines(style="joined", **LINES))

    expected = read()
    (path,) = (folder / "data").glob("lines_*.h5")
    return path, read, expected


def change_file(made, random, folder: Path) -> bool:
    """Change a file that the lab has made: it reads as it was, or is made again."""
    path, read, expected = made
    damaged = folder / "data" / path.name
    damaged.parent.mkdir()
    damaged.write_bytes(change_bytes(random, path.read_bytes()))
    return is_same(read(), expected)


def make_bundled(folder: Path) -> dict[str, tuple[bytes, dict]]:
    return {
        name: (bundled(name).read_bytes(), _read_bundled(bundled(name)))
        for name in (prepared.SAMPLE_FILE, prepared.JOINED_FILE)
    }


def _read_bundled(path: Path) -> dict:
    parts, found = ["train", "test"], {}
    with prepared.open_prepared(path) as file:
        for part in [*parts, "val"] if path.name == prepared.JOINED_FILE else parts:
            found[f"y_{part}"] = labels = file.read_labels(part)
            found[f"x_{part}"] = file.read_images(part, np.arange(len(labels)))
    return found


def change_bundled(made, random, folder: Path) -> bool:
    name = pick(random, made)
    content, expected = made[name]
    (folder / name).write_bytes(change_bytes(random, content))
    with mock.patch.object(prepared, "bundled", lambda name: folder / name):
        try:
            return is_same(_read_bundled(folder / name), expected)
        except LabError as error:
            if "get the lab again" not in str(error):
                return False
            raise


def make_drawings(folder: Path) -> tuple[Path, bytes, list[tuple]]:
    path = folder / "data" / "my_handwriting.jsonl"
    save_drawings(path)
    return path, path.read_bytes(), list_drawings(path)


def list_drawings(path: Path) -> list[tuple]:
    data = MyHandwriting(path)
    data.setup()
    images = [image.numpy().tobytes() for image in data.images]
    return list(zip(data.labels.tolist(), data.strokes, images, strict=True))


def change_drawings(made, random, folder: Path) -> bool | str:
    """Change a file of drawings: those that it no longer has are said to be left out."""
    path, content, expected = made
    damaged = folder / "data" / path.name
    damaged.parent.mkdir()
    changed = change_bytes(random, content)
    damaged.write_bytes(changed)
    prepared.say_once.cache_clear()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        found = list_drawings(damaged)
    if found == expected:
        return True
    rest = iter(expected)
    if not all(drawing in rest for drawing in found):  # in the same order
        return False
    # A file that ends where a line ends is what it was before later lines were written.
    ends_a_line = b"\n" in content[len(changed) - 1 : len(changed) + 1]
    return said.getvalue().strip() or (content.startswith(changed) and ends_a_line)


# Checkpoints and weights.


def make_checkpoint(folder: Path) -> tuple[bytes, dict, dict]:
    torch.manual_seed(0)
    data = MNIST("sample")
    model = MLP(data.config(), fc1_dim=4, fc2_dim=4)
    described = {
        "model_class": "MLP",
        "model_arguments": {"fc1_dim": 4, "fc2_dim": 4},
        "data_class": "MNIST",
        "input_dims": data.dims,
        "output_dims": data.output_dims,
        "mapping": data.mapping,
        "max_epochs": 5,
        "optimizer": "Adam",
        "lr": 1e-3,
        "one_cycle_max_lr": None,
        "label_smoothing": 0.0,
    }
    whole = {
        "hyper_parameters": described,
        "state_dict": BaseLitModel(model).state_dict(),
        "epoch": 1,
        "global_step": 20,
    }
    path = folder / "last.ckpt"
    torch.save(whole, path)
    return path.read_bytes(), whole, model.state_dict()


def read_checkpoint_by(random, path: Path) -> dict:
    """Return the weights that one of the readers of checkpoints finds."""
    match pick(random, ["network", "recognizer", "canvas"]):
        case "network":
            return load_network(path)[0].state_dict()
        case "recognizer":
            return Recognizer(path).model.state_dict()
    return HandwritingCanvas(path).recognizer.model.state_dict()


def change_checkpoint(made, random, folder: Path) -> bool:
    content, _, weights = made
    path = folder / "last.ckpt"
    path.write_bytes(change_bytes(random, content))
    return is_same(read_checkpoint_by(random, path), weights)


ODD = (
    *(None, True, 0, -1, 3, 1.5, float("nan"), 10**9, 2**70, "", "0", "CNN", "LineCNN", b"x"),
    *([], [0], {}, {"a": 1}, (1, 28, 28), (1, 28), torch.zeros(3), torch.zeros(0)),
)


def craft_checkpoint(made, random, folder: Path) -> bool:
    """Write a checkpoint with a right checksum, and with something else in one place of it."""
    _, whole, weights = made
    crafted = {name: dict(v) if isinstance(v, dict) else v for name, v in whole.items()}
    inside = pick(random, [crafted, crafted["hyper_parameters"], crafted["state_dict"]])
    name = pick(random, inside)
    if random.random() < 0.3:
        del inside[name]
    else:
        inside[name] = pick(random, ODD)
    path = folder / "last.ckpt"
    torch.save(crafted, path)
    return is_same(read_checkpoint_by(random, path), weights)


def make_weights(folder: Path) -> dict:
    return {
        name: (bundled(name).read_bytes(), load_shipped(name)[0].state_dict())
        for name in (CHARACTER_WEIGHTS, LINE_WEIGHTS)
    }


def change_weights(made, random, folder: Path) -> bool:
    name = pick(random, made)
    content, weights = made[name]
    (folder / name).write_bytes(change_bytes(random, content))
    with mock.patch.object(weights_module, "bundled", lambda name: folder / name):
        found = load_shipped(name)[0].state_dict()
    return is_same(found, weights)


# Archives.


def make_for_archives(folder: Path) -> tuple[dict, dict]:
    found = make_archives(folder)
    return found, {name: _read_any(name, path) for name, path in found.items()}


def _read_any(name: str, path: Path) -> dict:
    if name == "brown":
        return {
            "lines": np.frombuffer(
                "\n".join(sentence_generator._read_brown(path)).encode(), np.uint8
            ).copy()
        }
    return read_archive((archives.read_mnist if name == "mnist" else archives.read_emnist)(path))


def change_archive(made, random, folder: Path) -> bool:
    found, expected = made
    name = pick(random, found)
    path = folder / found[name].name
    if name == "mnist":
        shutil.copytree(found[name], path)
        damaged = pick(random, sorted(path.iterdir()))
    else:
        shutil.copy(found[name], path)
        damaged = path
    damaged.write_bytes(change_bytes(random, damaged.read_bytes()))
    return is_same(_read_any(name, path), expected[name])


def pack_archive(made, random, folder: Path) -> bool:
    """Pack an archive in a way in which nobody publishes it."""
    found, expected = made
    name = pick(random, ["gzip", "brown"])
    path = folder / found[name].name
    way = pick(random, ["lzma", "bzip2", "stored", "encrypted", "bomb", "large", "tar", "twice"])
    with zipfile.ZipFile(found[name]) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    methods = {"lzma": zipfile.ZIP_LZMA, "bzip2": zipfile.ZIP_BZIP2, "stored": zipfile.ZIP_STORED}
    with zipfile.ZipFile(path, "w", methods.get(way, zipfile.ZIP_DEFLATED)) as archive:
        for member, content in members.items():
            packed = content
            if way == "bomb" and "train-images" in member:
                header = bytes([0, 0, 8, 3, *(200, 0, 0, 0), *(0, 0, 0, 28), *(0, 0, 0, 28)])
                packed = gzip.compress(header + LARGE)
            if way == "large" and member.endswith(("ca01", "labels-idx1-ubyte.gz")):
                packed = LARGE * 2 if name == "brown" else gzip.compress(LARGE)
            archive.writestr(member, packed)
    if way == "encrypted":
        data = bytearray(path.read_bytes())
        for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
            start = data.find(mark)
            while start >= 0:
                data[start + place] |= 1
                start = data.find(mark, start + 4)
        path.write_bytes(data)
    elif way == "tar":
        path.write_bytes(bz2.compress(path.read_bytes()))
    elif way == "twice":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return is_same(_read_any(name, path), expected[name])


# Paths.


def make_paths(folder: Path) -> list[str]:
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "gone").symlink_to(folder / "nothing")
    (folder / "self").mkdir()
    (folder / "self" / "self").symlink_to(folder / "self")
    os.mkfifo(folder / "fifo")
    (folder / "text").write_text("Not what was asked for.\n" * 20, encoding="utf-8")
    (folder / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "nul").write_bytes(bytes(5000))
    (folder / "png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    with gzip.open(folder / "gz", "wb") as file:
        file.write(bytes(1000))
    with zipfile.ZipFile(folder / "zip", "w") as archive:
        archive.writestr("a", "b")
    with h5py.File(folder / "h5", "w") as file:
        file["z"] = 3
    own = ["empty", "folder", "loop", "gone", "self", "fifo", "text", "noise", "nul", "png", "gz"]
    return [
        *(str(folder / name) for name in (*own, "zip", "h5", "nothing", "empty/below", "a" * 300)),
        *("~nosuchuser/x", "~", "", " ", ".", "..", "/", "//", "\0", "a\0b", "\ud800", "x" * 1000),
        *("/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem", "/proc/self/mem/x", "\n", "가"),
        *("http://localhost/x", "C:\\x", "CON", "*", "?", "-", "--", "$HOME", "%s", "{0}"),
    ]


def _emnist(path: str) -> None:
    os.environ["EMNIST_ARCHIVE"] = path
    read_parts(EMNIST(source="full"))


def _mnist(path: str) -> None:
    os.environ["MNIST_DIR"] = path
    read_parts(MNIST(source="full"))


def _brown(path: str) -> None:
    os.environ["NLTK_DATA"] = path
    sentence_generator._read.cache_clear()
    SentenceGenerator(source="brown")


def _data_dir(path: str) -> None:
    os.environ["LAB_DATA_DIR"] = path
    save_drawings(MyHandwriting().path, 1)


def _keep_in(path: str) -> None:
    canvas = HandwritingCanvas(keep_in=path)
    canvas.draw(sample_strokes("a"))
    canvas.commit("a")
    if not MyHandwriting(path).path.is_file():
        raise LabError(canvas.status)


def _corpus(path: str) -> None:
    sentence_generator._read_brown(Path(path))


PATH_TAKERS: tuple[Callable, ...] = (
    *(_emnist, _mnist, _brown, _data_dir, _keep_in, _corpus, prepare, prepare_line, load_network),
    *(Recognizer, LineRecognizer, HandwritingCanvas, lambda path: MyHandwriting(path).setup()),
    lambda path: read_archive(archives.read_emnist(Path(path))),
    lambda path: read_archive(archives.read_mnist(Path(path))),
)


def take_path(made, random, folder: Path) -> None:
    path = pick(random, made)
    with contextlib.suppress(ValueError, UnicodeError):  # an environment takes no NUL
        os.environb[b"LAB_TRY"] = path.encode(errors="surrogatepass")
        pick(random, PATH_TAKERS)(path)
        return
    if "\0" not in path and "\ud800" not in path:
        pick(random, PATH_TAKERS)(path)


KINDS = [
    Kind("disk full while preparing", fill_disk, 2, 150, make_for_full_disk, is_alone=True),
    Kind("bytes changed: prepared file", change_file, 200, 2000, make_prepared),
    Kind("bytes changed: cached lines", change_file, 200, 2000, make_lines),
    Kind("bytes changed: bundled file", change_bundled, 20, 1000, make_bundled),
    Kind("bytes changed: drawings", change_drawings, 200, 2000, make_drawings),
    Kind("bytes changed: checkpoint", change_checkpoint, 200, 2000, make_checkpoint),
    Kind("crafted checkpoint", craft_checkpoint, 200, 1000, make_checkpoint),
    Kind("bytes changed: weights", change_weights, 200, 500, make_weights),
    Kind("bytes changed: archives", change_archive, 200, 2000, make_for_archives),
    Kind("archives packed otherwise", pack_archive, 2, 60, make_for_archives),
    Kind("paths", take_path, 200, 1000, make_paths),
]
