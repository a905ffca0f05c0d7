"""What the start page says of this machine, in a notebook and in a terminal."""

import os
import re
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest
import torch
from packaging.specifiers import SpecifierSet
from test_course import read_rows

from lab_utils import machine
from lab_utils.course import COURSE
from lab_utils.machine import (
    LINES,
    check_machine,
    count_cores,
    describe_seconds,
    measure_memory,
    time_notebooks,
)
from text_recognizer.files import archives, prepared
from text_recognizer.paths import bundled

GB = 10**9


def find(name):
    (found,) = (finding for finding in check_machine() if finding.name == name)
    return found


def test_here_nothing_is_in_the_way(data_folder):
    findings = check_machine()
    assert not findings.is_in_the_way
    names = ["Python", "memory", "CPU cores", "PyTorch", "canvas"]
    names += ["data folder", "free disk space", "EMNIST", "MNIST"]
    assert [finding.name for finding in findings] == names
    assert list(data_folder.iterdir()) == []  # nothing was downloaded or prepared
    rows = read_rows(findings._repr_html_())[1:]
    assert rows == [[f.name, f.status, f.found] for f in findings]


def test_the_versions_of_python_are_those_of_the_project():
    text = bundled("sources.json").parents[1].joinpath("pyproject.toml").read_text()
    wanted = SpecifierSet(tomllib.loads(text)["project"]["requires-python"])
    versions = [(3, minor) for minor in range(9, 17) if f"3.{minor}" in wanted]
    assert (versions[0], versions[-1]) == (machine.OLDEST, machine.NEWEST)


@pytest.mark.parametrize(
    ("version", "status"), [((3, 10, 2), "problem"), ((3, 12, 0), "ok"), ((3, 15, 0), "note")]
)
def test_python_is_neither_too_old_nor_too_new(version, status, monkeypatch):
    monkeypatch.setattr(machine, "sys", SimpleNamespace(version_info=version))
    assert machine._check_python().status == status


@pytest.mark.parametrize(
    ("size", "status"), [(8 * GB, "ok"), (2**31, "ok"), (1.2 * GB, "note"), (0.5 * GB, "problem")]
)
def test_memory(size, status, monkeypatch):
    monkeypatch.setattr(machine, "measure_memory", lambda: size)
    assert find("memory").status == status


@pytest.mark.parametrize(("free", "status"), [(9e9, "ok"), (1e9, "note"), (1e6, "problem")])
def test_disk(free, status, monkeypatch):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert find("free disk space").status == status


@pytest.mark.parametrize(("cores", "status"), [(8, "ok"), (2, "ok"), (0.5, "note")])
def test_cores(cores, status, monkeypatch):
    monkeypatch.setattr(machine, "count_cores", lambda: cores)
    assert find("CPU cores").status == status


def make_files(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_in_a_container_its_own_limits_count(tmp_path):
    make_files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kube/pod/it\n",
            "sys/fs/cgroup/kube/pod/it/memory.max": "max\n",
            "sys/fs/cgroup/kube/pod/memory.max": f"{10**8}\n",  # that of the pod
            "sys/fs/cgroup/kube/memory.max": f"{10**10}\n",
            "sys/fs/cgroup/kube/pod/it/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/kube/cpu.max": "max 100000\n",
        },
    )
    assert measure_memory(tmp_path) == 10**8
    assert count_cores(tmp_path) == 0.5


def test_older_containers_have_other_files(tmp_path):
    make_files(
        tmp_path,
        {
            # the path is that outside of the container
            "proc/self/cgroup": "9:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{10**8}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert measure_memory(tmp_path) == 10**8
    assert count_cores(tmp_path) == 0.25


def test_without_limits_it_is_the_machine(tmp_path):
    whole = machine.psutil.virtual_memory().total
    assert measure_memory(tmp_path) == whole
    make_files(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert measure_memory(tmp_path) == whole
    assert count_cores(tmp_path) == len(os.sched_getaffinity(0))


def test_a_torch_that_does_not_load_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = machine._check_torch()
    assert (found.status, found.found) == ("problem", "missing: torch")
    assert found.advice.endswith("install the lab again.")


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    assert find("PyTorch").found.endswith("with A GPU")


def test_a_canvas_without_its_packages_says_what_to_install(monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None if name == "anywidget" else name)
    found = find("canvas")
    assert (found.status, found.found) == ("problem", "missing: anywidget")
    assert found.advice.endswith("pip install anywidget")


def test_where_nothing_can_be_written_one_sentence_says_so(data_folder):
    data_folder.write_text("no folder")
    findings = check_machine()
    assert findings.is_in_the_way
    assert findings[-1].name == "data folder"
    assert "no file can be written<br>" in findings._repr_html_()
    assert "LAB_DATA_DIR" in findings[-1].advice


def test_the_data_come_from_where_the_data_module_finds_them(
    gzip_zip, mnist_folder, data_folder, monkeypatch, tmp_path
):
    assert find("EMNIST").found == LINES["sample"]
    monkeypatch.delenv("LAB_OFFLINE")
    assert find("MNIST").found == LINES["download"]
    monkeypatch.setenv("EMNIST_ARCHIVE", str(gzip_zip))
    monkeypatch.setenv("MNIST_DIR", str(mnist_folder))
    assert find("EMNIST").found == "from gzip.zip, when first used"
    assert find("MNIST").found == "from mnist-files, when first used"
    target = data_folder / "emnist.h5"
    prepared.write(
        target, archives.read_emnist(gzip_zip), "real EMNIST", prepared.fingerprint(gzip_zip)
    )
    assert find("EMNIST").found == "prepared: real EMNIST"
    monkeypatch.setenv("EMNIST_ARCHIVE", str(tmp_path / "none.zip"))
    assert (find("EMNIST").status, find("EMNIST").found[-14:]) == ("problem", "does not exist")
    monkeypatch.delenv("EMNIST_ARCHIVE")
    assert find("EMNIST").found == "prepared: real EMNIST"
    target.write_bytes(target.read_bytes()[:-100])
    assert find("EMNIST").found == LINES["download"]  # it is made again


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "language", "said"),
    [
        ("utf-8", "ko", "[정상] Python"),
        ("ascii", "ko", "[ok] Python"),
        ("ascii", "", "[ok] Python"),
    ],
)
def test_a_terminal_says_the_same(encoding, language, said, tmp_path):
    environment = {"PYTHONIOENCODING": encoding, "LAB_LANGUAGE": language, "PYTHONUTF8": "0"}
    environment |= {"LAB_DATA_DIR": str(tmp_path / "한")}
    process = subprocess.run(
        [sys.executable, "-m", "lab_utils"], capture_output=True, env=os.environ | environment
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.decode(encoding).startswith(said)


@pytest.mark.slow
def test_a_terminal_ends_with_1_if_something_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    process = subprocess.run(
        [sys.executable, "-m", "lab_utils"],
        capture_output=True,
        text=True,
        env=os.environ | {"LAB_DATA_DIR": str(tmp_path / "file")},
    )
    assert (process.returncode, process.stderr) == (1, "")
    assert "[problem] data folder: no file can be written\n    " in process.stdout


@pytest.mark.parametrize(
    ("slowness", "words", "speed"),
    [
        (1, ["30 seconds", "2 minutes", "80 seconds"], "about as fast"),
        (4, ["2 minutes", "10 minutes", "5 minutes"], "4.0 times as slow"),
        (0.5, ["some seconds", "80 seconds", "40 seconds"], "2.0 times as fast"),
    ],
)
def test_times_follow_from_the_speed(slowness, words, speed, monkeypatch):
    monkeypatch.setattr(machine, "measure_step", lambda: slowness * machine.BATCH_SECONDS)
    page = time_notebooks()._repr_html_()
    rows = read_rows(page)[1:]
    assert [row[2] for row in rows[:3]] == words
    assert [row[1] for row in rows] == [f"{b.minutes[0]}-{b.minutes[1]}" for b in COURSE]
    assert speed in page
    assert max(int(width) for width in re.findall(r"width: (\d+)%", page)) == 100


def test_measuring_leaves_the_random_numbers_alone(monkeypatch):
    monkeypatch.setattr(machine, "FAST_SECONDS", 0.01)
    monkeypatch.setenv("LAB_FAST", "1")
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    assert 0.001 < machine.measure_step() < 60
    assert torch.equal(torch.rand(2), wanted)


def test_durations_are_told_no_more_exactly_than_they_are_known():
    told = [describe_seconds(seconds) for seconds in (3, 24, 88, 91, 500)]
    assert told == ["some seconds", "20 seconds", "90 seconds", "2 minutes", "8 minutes"]
