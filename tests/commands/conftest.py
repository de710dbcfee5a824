"""What the tests of the command line share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _as_before(as_before: None) -> None:
    """Many run it in this process."""
