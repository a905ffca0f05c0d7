"""PyTorch takes as many threads as the process may use, unless somebody has chosen."""

import os
import subprocess
import sys

import pytest

from text_recognizer import threads

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
def test_threads_are_those_that_the_process_may_use(cores, before, chosen, taken):
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    if chosen:
        environment["OMP_NUM_THREADS"] = chosen
    script = SCRIPT.format(cores=cores, before=before)
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == taken, found.stderr


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
