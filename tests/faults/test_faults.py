"""A few tries of each kind; `make faults` makes thousands and prints the table."""

import pytest
from kinds import KINDS
from tries import FINE, OUTCOMES, SENTENCE, Kind, Tally, run, write_table

from text_recognizer.errors import LabError


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_nothing_wrong_stays_silent(kind):
    tally = run(kind, kind.quick, seed=1)
    assert not tally.faults
    assert tally.counts[FINE] + tally.counts[SENTENCE] == kind.quick


def _misbehave(things, random, folder):
    match things.pop(0):
        case "sentence":
            raise LabError("n=0 must be a whole number of 1 or more.")
        case "traceback":
            raise KeyError("x")
        case "wrong":
            return False
        case "hang":
            while True:
                pass
        case "crash":
            import os

            os.abort()
    return True


def test_the_harness_tells_all_outcomes_apart():
    words = ("fine", "sentence", "traceback", "wrong", "hang", "crash")
    wanted = dict(zip(words, (*OUTCOMES, OUTCOMES[2]), strict=True))
    for word, outcome in wanted.items():
        kind = Kind(word, _misbehave, 1, 1, lambda folder, word=word: [word], seconds=1)
        assert run(kind, 1, seed=0).counts == {outcome: 1}
    tally = Tally("a kind")
    tally.counts.update(["fine", "hang"])
    assert "| a kind | 2 | 1 | 0 | 0 | 0 | 1 | 0 |" in write_table([tally])
