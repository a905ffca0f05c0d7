"""stand-in"""

import json

from lab_utils.assignment import write_whole


def message_for_student(m, hidden):
    return m


def write_reports(r, out):
    write_whole(out / "results.json", json.dumps(r, indent=1))
