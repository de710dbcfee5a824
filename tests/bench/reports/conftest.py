"""A browser for the pages.

Without Chromium these tests are skipped; under continuous integration (`CI`) that is a failure.
"""

from __future__ import annotations

import os
import shutil

import pytest

from tests.browsing import BROWSERS


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on this machine: continuous integration must have one")
        pytest.skip("no Chromium on this machine (chromium, chromium-browser, google-chrome)")
    return found
