"""The package as a whole: what it offers, its notebooks, and what it may not contain."""

import json
import os
import re
import subprocess
import sys
import tarfile
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
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "labs").glob("*.ipynb"))
REFERENCES = sorted((ROOT / "labs" / "instructor").glob("*.ipynb"))
# From the ground up: what stands in a line may import what stands above it, and its own folder.
LAYERS = [
    *("language", "errors", "mapping", "paths", "counter_rng", "strokes", "threads"),
    *("files", "lines", "data", "models", "lit_models", "reading", "canvas", "explore", "training"),
]


def test_everything_offered_exists():
    assert all(getattr(lab_utils, name).__doc__ for name in lab_utils.__all__ if name != "SEED")
    assert set(lab_utils.__all__) <= set(dir(lab_utils))
    with pytest.raises(AttributeError, match="EMINST"):
        lab_utils.EMINST  # noqa: B018


def test_each_name_stands_once_and_under_the_notebook_that_introduces_it():
    stub = (ROOT / "lab_utils" / "__init__.pyi").read_text(encoding="utf-8")
    listed, introduced = {}, {}
    for title, name in re.findall(r"^# (\d)\. |^from \S+ import \w+ as (\w+)$", stub, re.MULTILINE):
        number = title or number  # noqa: F821 - the stub begins with a title
        if name:
            assert name not in listed
            listed[name] = number
    assert listed.keys() == set(lab_utils.__all__)
    for path in NOTEBOOKS[1:]:  # the start page shows what is explained later
        code = read_code(path)
        for imported in re.findall(r"^from lab_utils import (\([^)]*\)|.*)$", code, re.MULTILINE):
            for name in re.findall(r"\w+", imported):
                introduced.setdefault(name, path.name[1])
    used = {name: number for name, number in introduced.items() if listed[name] != "0"}
    assert len(used) > 25
    assert {name: listed[name] for name in used} == used


def read_code(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import lab_utils; dir(lab_utils); lab_utils.LabError"],
        ["-c", "from lab_utils import SEED, data_dir; data_dir()"],
    ],
    ids=["import", "constants"],
)
def test_what_is_light_loads_light(command, tmp_path):
    heavy = {"torch", "pytorch_lightning", "matplotlib", "h5py", "requests", "PIL"}
    command = [sys.executable, "-X", "importtime", *command]
    environment = os.environ | {"LAB_DATA_DIR": str(tmp_path)}
    process = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    loaded = {line.rsplit("|", 1)[-1].strip() for line in process.stderr.splitlines()}
    assert "lab_utils" in loaded
    assert not heavy & loaded


def test_importing_the_lab_costs_next_to_nothing():
    script = (
        "import time; t = time.process_time(); import lab_utils; print(time.process_time() - t)"
    )
    command = [sys.executable, "-c", script]
    seconds = [float(subprocess.run(command, capture_output=True).stdout) for _ in range(3)]
    assert min(seconds) < 0.15


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


def read_workflow(name):
    return yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))


def test_conda_and_pip_ask_for_the_same_versions():
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["notebook"] + extras["grade"]
    python, _, others = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))[
        "dependencies"
    ]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    index, *named = others["pip"]
    assert index.removeprefix("--extra-index-url ") in (ROOT / "Makefile").read_text("utf-8")
    assert named == sorted(wanted)


def test_pinned_versions_lie_in_the_ranges():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if "==" in line)
    extras = PROJECT["optional-dependencies"]
    names = ("notebook", "grade", "cluster", "site", "test")
    wanted = [*PROJECT["dependencies"], *(each for name in names for each in extras[name])]
    pins |= {name.replace("_", "-"): version for name, version in pins.items()}
    for requirement in map(Requirement, wanted):
        if requirement.name != PROJECT["name"]:
            assert requirement.specifier.contains(pins[requirement.name])
    assert pins["torch"] == "2.13.0"


def test_the_versions_of_python_are_the_same_everywhere():
    allowed = SpecifierSet(PROJECT["requires-python"])
    versions = [f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}")]
    classified = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if ":: 3." in each]
    tested = read_workflow("ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == classified == tested
    for name in ("README.md", "README.ko.md", "text_recognizer/README.md"):
        said = re.findall(r"Python (3\.\d+)\D+(3\.\d+)", (ROOT / name).read_text(encoding="utf-8"))
        assert said == [(versions[0], versions[-1])]
    limits = ", ".join(f"({version.replace('.', ', ')})" for version in (versions[0], versions[-1]))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert limits == ", ".join(re.findall(r"\(3, \d+\)", makefile))


def test_what_the_grader_imports_is_declared():
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["grade"] + extras["cluster"]
    declared = {Requirement(each).name for each in wanted}
    names = {"IPython": "ipykernel", "zmq": "pyzmq", "yaml": "pyyaml"}
    names["jupyter_client"] = "jupyter-client"
    own = {"lab_grade", "lab_utils", "text_recognizer"}
    for path in (ROOT / "lab_grade").glob("*.py"):
        imports = re.findall(
            r"^\s*(?:import|from) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        others = set(imports) - own - set(sys.stdlib_module_names)
        assert {names.get(each, each) for each in others} <= declared | {"pytest"}, path  # nbval's


def test_the_version_has_a_date():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.search(r"^## (\d[\w.]*) - ([\d-]+)$", text, re.MULTILINE).groups()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (version, date) == (PROJECT["version"], str(citation["date-released"]))
    assert citation["version"] == version


def test_the_readme_of_the_package_needs_nothing_beside_it():
    text = (ROOT / PROJECT["readme"]).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all(link.startswith("https://") for link in links)
    (code,) = re.findall(r"^```python\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    imported = re.search(r"^from lab_utils import (.+)$", code, re.MULTILINE)[1].split(", ")
    assert set(imported) <= set(lab_utils.__all__)


def test_only_what_publishes_may_write():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = read_workflow(path.name)
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            publishes = any("deploy-pages" in step.get("uses", "") for step in job["steps"])
            assert ("permissions" in job) == publishes, f"{path.name}: {name}"


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True)
    (wheel,), (source,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    packed = zipfile.ZipFile(wheel).namelist()
    assert {"lab_utils/__init__.pyi", "lab_utils/py.typed"} <= set(packed)
    licences = {name.partition("/licenses/")[2] for name in packed if "/licenses/" in name}
    assert licences == set(PROJECT["license-files"])
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (folder,) = (tmp_path / "source").iterdir()
    assert not (folder / "tests").exists()  # they need the notebooks
    subprocess.run([*build[:-1], "again", "-t", "wheel"], cwd=folder, check=True)
    (again,) = (folder / "again").iterdir()
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(packed)
    assert not [name for name in packed if ".data/" in name]  # nothing for other programs
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = (
        "import numpy as np, lab_utils; data = lab_utils.EMNIST(source='sample'); data.setup(); "
        "canvas = lab_utils.HandwritingCanvas(strokes=lab_utils.sample_strokes('R')); "
        "assert canvas.result['text'] == 'R'; "
        "lines = lab_utils.EMNISTLines(style='joined').build_maker('val').draw(np.arange(2))[0]; "
        "assert lines.any(); "
        "assert 'render' in canvas._esm and '.hw-' in canvas._css; "
        "assert len(lab_utils.__all__) > 30, 'the wheel has no stub'; "
        "assert str(lab_utils.show_progress()).startswith('통과한 검사 문제'); "
        "print(lab_utils.__file__, len(data.data_train))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "LAB_LANGUAGE": "ko"}
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
