"""Tests here use the real data that the environment names, unlike those one folder up."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def environment_of_module():
    """Leave that of its fixtures, too."""


@pytest.fixture(autouse=True)
def environment():
    """Leave the environment as `make test-real` sets it."""
