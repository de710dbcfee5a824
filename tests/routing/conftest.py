"""The real embedder and the metric learnt from it, once for all tests: 2048 texts are embedded."""

from __future__ import annotations

import pytest

from sake_registry.models.embedder import Embedder, locate_embedder
from sake_registry.routing.metric import Metric, learn


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    return Embedder(locate_embedder("minilm"))


@pytest.fixture(scope="session")
def contrast(minilm: Embedder) -> Metric:
    return learn(minilm.embed, "contrast")
