"""Runs thousands of tries and prints the table: `make faults`, or `python tests/faults --help`."""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from kinds import KINDS
from tries import run, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only kinds with one of these words in their name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tries", type=int, help="of each kind, instead of its own number")
    parser.add_argument("--first", type=int, default=0, help="the number of the first try")
    options = parser.parse_args()
    tallies = []
    for kind in KINDS:
        if options.words and not any(word in kind.name for word in options.words):
            continue
        tally = run(kind, options.tries or kind.many, options.seed, options.first)
        tallies.append(tally)
        print(f"{tally.name}: {dict(tally.counts)}, {tally.seconds:.0f} s", flush=True)
        for fault in tally.faults:
            print(f"    {fault}", flush=True)
    print(f"\n{write_table(tallies)}")
    sys.exit(any(tally.num_faults for tally in tallies))


if __name__ == "__main__":
    main()
