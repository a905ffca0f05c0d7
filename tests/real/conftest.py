"""Tests here use the real data that the environment names, unlike those one folder up."""

import pytest


@pytest.fixture(autouse=True)
def environment():
    """Leave the environment as `make test-real` sets it."""
