"""Fixtures of all tests."""

import pytest
from tiny_models import padded_batch


@pytest.fixture
def batch():
    return padded_batch()
