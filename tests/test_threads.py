"""PyTorch takes as many threads as the process may use, unless somebody has chosen."""

import contextlib
import os
import platform
import subprocess
import sys

import binder_check
import pytest
import quota
import torch
from helpers import run_in_fork
from torch import nn

from lab_utils import Recognizer, sample_strokes
from text_recognizer import threads
from text_recognizer.data.base_data_module import BatchedDataset
from text_recognizer.mapping import MAPPING

SCRIPT = """
import os
from text_recognizer import threads

threads._count_seen_cores = lambda: 4
threads.count_cores = lambda: {cores}
{before}
threads.limit_threads()
import torch
print(torch.get_num_threads())
"""
STEPS = """
import resource
import numpy as np
from text_recognizer import threads

{keep}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step = [np.ones(25_000_000, np.uint8) for _ in range(4)]
    del step
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
AS_IF_FOUR = "import torch; torch.set_num_threads(4)"  # what PyTorch takes by itself on four cores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cores", "before", "chosen", "taken"),
    [
        (1.0, "", None, "1"),
        (0.5, "", None, "1"),
        (2.5, AS_IF_FOUR, None, "2"),
        (4.0, AS_IF_FOUR, None, "4"),
        (1.0, "import torch; torch.set_num_threads(3)", None, "3"),
        (1.0, AS_IF_FOUR, "4", "4"),
    ],
    ids=["quota", "part", "loaded", "no quota", "set_num_threads", "variable"],
)
def test_threads_are_those_that_the_process_may_use(
    cores, before, chosen, taken, monkeypatch, tmp_path
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(cores=cores, before=before))
    if before:  # PyTorch is there already
        _status, said, errors = run_in_fork(f"python {script}", tmp_path)
    else:
        found = subprocess.run([sys.executable, script], capture_output=True, text=True)
        said, errors = found.stdout, found.stderr
    assert said.strip() == taken, errors


def test_threads_that_wait_sleep_unless_somebody_has_chosen(monkeypatch):
    for chosen in ("ACTIVE", ""):
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
        monkeypatch.setenv("GOMP_SPINCOUNT", "")  # so that it is put back
        monkeypatch.delenv("GOMP_SPINCOUNT")
        if not chosen:
            monkeypatch.delenv("OMP_WAIT_POLICY")
        threads.limit_threads()
        assert os.environ["OMP_WAIT_POLICY"] == (chosen or "PASSIVE")
        assert ("GOMP_SPINCOUNT" in os.environ) == (not chosen)


@pytest.fixture
def two_threads():
    count = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(count)


def test_one_thread_computes_until_the_end_whatever_that_is(two_threads):
    with threads.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="away"), threads.one_thread():
        raise ValueError("away")
    assert torch.get_num_threads() == 2


def test_what_is_short_or_bound_by_memory_waits_for_no_second_thread(two_threads):
    counted = []

    class Counting(nn.Module):
        def forward(self, x):
            counted.append(torch.get_num_threads())
            return torch.zeros(len(x), len(MAPPING))

    recognizer = Recognizer(Counting(), MAPPING)
    recognizer.predict(sample_strokes("R"))
    recognizer.probabilities(torch.zeros(600, 28, 28, dtype=torch.uint8))
    assert counted == [1] + 19 * [2]  # 600 images, 32 at a time
    drawn = BatchedDataset(torch.zeros(4, 28, 28), torch.zeros(4))
    drawn.fetch = lambda numbers: (
        counted.append(torch.get_num_threads())
        or (
            torch.zeros(len(numbers), 28, 28),
            numbers,
        )
    )
    drawn.__getitems__([0, 1])
    assert counted[20:] == [1]
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="elsewhere nothing is changed")
def test_memory_that_a_step_frees_is_there_for_the_next(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    faults = []
    for keep in ("", "threads.keep_freed_memory()"):
        command = [sys.executable, "-c", STEPS.format(keep=keep)]
        faults.append(int(subprocess.run(command, capture_output=True, check=True).stdout))
    assert faults[1] < 0.2 * faults[0]


@pytest.mark.parametrize(
    ("is_v2", "groups", "place"),
    [
        (True, "0::/user/me\n", "user/me"),
        (False, "2:cpu,cpuacct:/me\n1:memory:/\n0::/\n", "cpu/me"),
    ],
    ids=["version 2", "version 1"],
)
def test_a_group_has_a_quota_of_one_core_while_it_is_there(
    is_v2, groups, place, tmp_path, monkeypatch
):
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / "own").write_text(groups)
    limits = {"cpu.max": "100000 100000"}
    for name, value in {"TOP": tmp_path, "OWN": tmp_path / "own", "IS_V2": is_v2}.items():
        monkeypatch.setattr(quota, name, value)
    monkeypatch.setattr(quota, "LIMITS", limits)
    with quota.make_quota() as joining:
        group = joining.parent
        assert group.parent == tmp_path / place
        assert {path.name: path.read_text() for path in group.iterdir()} == limits
        (group / "cpu.max").unlink()  # as the kernel's own files go with their group
    assert not group.exists()


def test_where_there_are_no_such_groups_a_core_is_what_is_left(monkeypatch, capsys, tmp_path):
    bound = []
    monkeypatch.setattr(quota, "OWN", tmp_path / "own")
    (tmp_path / "own").write_text("")
    monkeypatch.setattr(binder_check, "IS_V2", True)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: bound.append(cores), False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, False)
    with contextlib.ExitStack() as stack:
        assert binder_check.limit_to_one_core(stack) == []
    assert bound == [{3}]
    assert "want of a quota" in capsys.readouterr().out


@pytest.mark.parametrize(("cores", "variable"), [(4.0, ""), (1.0, "3"), (1.0, "1")])
def test_a_variable_is_set_only_where_there_is_a_quota_and_none_is_set(
    cores, variable, monkeypatch
):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(threads, "_count_seen_cores", lambda: 4)
    monkeypatch.setattr(threads, "count_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    if variable in ("", "1"):
        monkeypatch.delenv("OMP_NUM_THREADS")
    threads.limit_threads()
    assert os.environ.get("OMP_NUM_THREADS", "") == variable
