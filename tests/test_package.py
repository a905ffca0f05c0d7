"""The package as a whole: what it offers, its notebooks, and what it may not contain."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import lab_utils
from lab_grade.notebook import Assignment

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "labs").glob("*.ipynb"))
REFERENCES = sorted((ROOT / "labs" / "instructor").glob("*.ipynb"))
# From the ground up: what stands in a line may import what stands above it, and its own folder.
LAYERS = [
    *("errors", "mapping", "paths", "language", "counter_rng", "strokes"),
    *("files", "lines", "data", "models", "lit_models", "reading", "canvas", "training"),
]


def test_everything_offered_exists():
    assert all(getattr(lab_utils, name).__doc__ for name in lab_utils.__all__ if name != "SEED")
    assert set(lab_utils.__all__) <= set(dir(lab_utils))
    with pytest.raises(AttributeError, match="EMINST"):
        lab_utils.EMINST  # noqa: B018


def test_type_checkers_see_what_is_loaded_later():
    source = (ROOT / "lab_utils" / "__init__.py").read_text(encoding="utf-8")
    imports = re.findall(r"^    from (\S+) import (\w+) as \2$", source, re.MULTILINE)
    assert {name: module for module, name in imports} == lab_utils._MODULES


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import lab_utils; dir(lab_utils); lab_utils.LabError"],
        ["-c", "from lab_utils import SEED, data_dir; data_dir()"],
        ["-m", "lab_utils.run_experiment", "--version"],
    ],
    ids=["import", "constants", "version"],
)
def test_what_is_light_loads_light(command, tmp_path):
    heavy = {"torch", "pytorch_lightning", "matplotlib", "h5py", "requests", "PIL"}
    command = [sys.executable, "-X", "importtime", *command]
    environment = os.environ | {"LAB_DATA_DIR": str(tmp_path)}
    process = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    loaded = {line.rsplit("|", 1)[-1].strip() for line in process.stderr.splitlines()}
    assert "lab_utils" in loaded
    assert not heavy & loaded


def test_imports_point_down():
    for path in (ROOT / "text_recognizer").rglob("*.py"):
        place = path.relative_to(ROOT / "text_recognizer").parts[0].removesuffix(".py")
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) lab_", source, re.MULTILINE), path
        for imported in re.findall(r"^\s*from text_recognizer\.(\w+)", source, re.MULTILINE):
            assert LAYERS.index(imported) <= LAYERS.index(place), path
    for path in (ROOT / "lab_utils").rglob("*.py"):
        assert "lab_grade" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_executed_from_a_fresh_kernel(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert path.stat().st_size < 3_000_000
    for cell in code:
        is_check = cell["source"] and cell["source"][0].startswith("# CHECK")
        for output in cell["outputs"]:
            assert is_check or output["output_type"] != "error"
            assert "Warning" not in "".join(output.get("text", ""))


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_a_students_notebook_is_what_its_reference_releases(path):
    released = Assignment(path).release()
    student = nbformat.read(ROOT / "labs" / path.name, as_version=4)
    assert [(c.cell_type, c.source, c.metadata) for c in student.cells] == [
        (c.cell_type, c.source, c.metadata) for c in released.cells
    ], f"change {path.relative_to(ROOT)}, then run  make notebook N={int(path.name[:2])}"
    head = (ROOT / "labs" / path.name).read_text(encoding="utf-8").splitlines()[:8]
    assert f"instructor/{path.name}: edit that one" in "".join(head)
    assert student.metadata["released_from"] == f"instructor/{path.name}"


def test_conda_and_pip_ask_for_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["notebook"] + extras["grade"]
    python, _, others = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))[
        "dependencies"
    ]
    assert SpecifierSet(project["requires-python"]).contains(python.removeprefix("python="))
    index, *named = others["pip"]
    assert index.removeprefix("--extra-index-url ") in (ROOT / "Makefile").read_text("utf-8")
    assert named == sorted(wanted)


def test_pinned_versions_lie_in_the_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line)
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["notebook"], *extras["test"]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[requirement.name])
    assert pins["torch"] == "2.13.0"


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = (
        "import numpy as np, lab_utils; data = lab_utils.EMNIST(source='sample'); data.setup(); "
        "canvas = lab_utils.HandwritingCanvas(strokes=lab_utils.sample_strokes('R')); "
        "assert canvas.result['text'] == 'R'; "
        "lines = lab_utils.EMNISTLines(style='joined').build_maker('val').draw(np.arange(2))[0]; "
        "assert lines.any(); "
        "assert 'render' in canvas._esm and '.hw-' in canvas._css; "
        "print(lab_utils.__file__, len(data.data_train))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    file, count = process.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert int(count) > 10_000
