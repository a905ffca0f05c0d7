"""Grading on a Dask cluster: the same gradebook, whatever happens to workers and scheduler."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import dask
import distributed
import nbformat
import psutil
import pytest
from reference import NAME, RIGHT, Student, reference

from lab_grade import cli, grader, sandbox
from lab_grade.notebook import Assignment

pytestmark = pytest.mark.slow

STUDENTS = 4
LIMITS = ["--cell-timeout", "60", "--memory", "1024"]
# A notebook that counts how often it runs, and takes long enough to be interrupted.
COUNT = """
import os, time
from pathlib import Path
with open({log!r}, 'a') as file:
    file.write({name!r} + '\\n')
time.sleep(1)
"""


class Commands:
    """A scheduler and a worker as `dask` starts them, each a process of its own."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.environment = os.environ | {"TMPDIR": str(folder)}
        self.start()

    def start(self):
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.run("scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file", file)
        wait_for(lambda: file.exists() and file.read_text())
        self.address = json.loads(file.read_text())["address"]
        self.run("worker", self.address, "--local-directory", self.folder, "--nthreads", "1")

    def run(self, *arguments):
        command = [sys.executable, "-m", "dask", *map(str, arguments), "--no-dashboard"]
        with open(self.folder / "cluster.log", "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        self.processes.append(process)

    def close(self):
        for process in self.processes:
            end(process.pid)
            process.wait()


def end(pid):
    """Kill a process and all that it has started."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            one.kill()


def wait_for(condition, seconds=120):
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.02)
    assert condition()


@pytest.fixture
def commands(tmp_path_factory):
    """Yield a cluster that ends before its time."""
    found = Commands(tmp_path_factory.mktemp("cluster"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Yield a cluster of two processes, each a worker with one thread."""
    folder = tmp_path_factory.mktemp("cluster")
    one = {"threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set(temporary_directory=str(folder)),
    ):
        patch.setenv("TMPDIR", str(folder))  # of its workers, of which one is killed
        with distributed.LocalCluster(2, **one) as cluster:
            yield cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory, font_lists):
    """Return a reference, submissions, where each notes that it runs, and what they come to."""
    root = tmp_path_factory.mktemp("local")
    path, log, folder = root / NAME, root / "log", root / "submissions"
    nbformat.write(reference(), path)
    folder.mkdir()
    for i in range(STUDENTS):
        student = Student(Assignment(path).release(), f"student{i}")
        student.solve(*list(RIGHT)[:i])
        student.end_with(COUNT.format(log=str(log), name=student.name))
        student.hand_in(folder, None)
    assert grade(path, folder, root / "grades", "--no-sandbox", "--jobs", "2") == 0
    assert list_runs(log) == [f"student{i}" for i in range(STUDENTS)]
    return path, folder, log, read(root / "grades")


@pytest.fixture
def handed_in(local):
    """Return the same, before anything has run."""
    local[2].unlink(missing_ok=True)
    return local


def grade(path, folder, out, *options):
    return cli.grade_main([str(path), str(folder), "-o", str(out), *LIMITS, *options])


def read(out):
    """Return the gradebook, and what became of each check and cell."""
    results = json.loads((out / "results.json").read_text("utf-8"))["students"]
    for result in results:
        for outcome in [result, *result.get("outcomes", [])]:
            outcome.pop("seconds")
    return (out / "gradebook.csv").read_bytes(), results


def list_runs(log):
    return sorted(log.read_text().split()) if log.exists() else []


@pytest.mark.skipif(not sandbox.is_available(), reason="bubblewrap is not installed")
def test_workers_have_sandboxes_and_the_same_lab(cluster, handed_in, tmp_path, monkeypatch, capsys):
    path, folder, log, _ = handed_in
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(folder / "student0.ipynb", one)
    there = ["--scheduler", cluster.scheduler_address]
    assert grade(path, one, tmp_path / "grades", *there) == 0
    assert list_runs(log) == []  # which nothing in a sandbox can write to
    monkeypatch.setattr(grader, "hash_packages", lambda: "another")
    assert grade(path, one, tmp_path / "other", *there) == 2
    assert "has another version of the lab" in capsys.readouterr().err


def test_a_cluster_grades_as_one_machine_does_though_a_worker_is_killed(
    cluster, handed_in, tmp_path, monkeypatch, capsys
):
    path, folder, log, expected = handed_in
    monkeypatch.setenv("TMPDIR", dask.config.get("temporary_directory"))  # of a new worker
    out, killed = tmp_path / "grades", cluster.workers[0].pid

    def kill():
        wait_for(lambda: list_runs(log))
        end(killed)

    killer = threading.Thread(target=kill)
    killer.start()
    assert grade(path, folder, out, "--scheduler", cluster.scheduler_address, "--no-sandbox") == 0
    killer.join()
    assert not psutil.pid_exists(killed)
    runs = list_runs(log)
    assert {f"student{i}" for i in range(STUDENTS)} == set(runs) and len(runs) <= STUDENTS + 1
    assert read(out) == expected
    said = capsys.readouterr()
    assert f"{STUDENTS + 2}/{STUDENTS + 2}" in said.err and f"{STUDENTS} submissions" in said.out


def test_after_the_scheduler_is_lost_the_same_line_goes_on(
    commands, handed_in, tmp_path, monkeypatch, capsys
):
    path, folder, log, expected = handed_in
    out = tmp_path / "grades"

    def stop():
        wait_for(lambda: any((out / "results").glob("student*.json")))
        commands.close()

    stopper = threading.Thread(target=stop)
    stopper.start()
    monkeypatch.setattr(grader, "MAX_WAITING", 1)
    status = grade(path, folder, out, "--scheduler", commands.address, "--no-sandbox")
    stopper.join()
    assert status == 2 and "it is gone. What is graded is kept" in capsys.readouterr().err
    kept = {file.stem for file in (out / "results").glob("student*.json")}
    lost = {f"student{i}" for i in range(STUDENTS)} - kept
    assert kept and lost and not (out / "gradebook.csv").exists()
    before = list_runs(log)
    commands.start()
    assert grade(path, folder, out, "--scheduler", commands.address, "--no-sandbox") == 0
    again = list_runs(log)
    assert all(again.count(name) == before.count(name) for name in kept)
    assert all(again.count(name) == before.count(name) + 1 for name in lost)
    assert read(out) == expected


def test_no_scheduler_is_one_line(handed_in, tmp_path, monkeypatch, capsys):
    path, folder, *_ = handed_in
    monkeypatch.setattr(grader, "MAX_CONNECT", 0.5)
    assert grade(path, folder, tmp_path / "grades", "--scheduler", "tcp://127.0.0.1:9") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("lab-grade: --scheduler tcp://127.0.0.1:9: no answer")
