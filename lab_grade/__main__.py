"""Run lab-grade: python -m lab_grade."""

import sys

from lab_grade.cli import grade_main

sys.exit(grade_main())
