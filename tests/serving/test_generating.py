"""`sake serve` as the endpoint that texts of edits are asked of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sake_registry.authoring.endpoint import FOLDER, Endpoint
from sake_registry.errors import ReplyError
from sake_registry.settings import load_settings
from sake_registry.values import Value
from tests.serving.conftest import MODEL, Running


class Numbers(Value):
    """What a random model does not say: JSON, of these names."""

    first: int
    second: int


def test_a_server_without_structured_output_is_asked_for_text(
    server: Running, tmp_path: Path
) -> None:
    """The model is a random one: what it says is no JSON, is recorded, and is replayed."""
    environ = {
        "SAKE_GENERATOR_BASE_URL": f"{server.url}/v1", "SAKE_GENERATOR_MODEL": MODEL,
        "SAKE_GENERATOR_MAX_REPLY_TOKENS": "16",
    }  # fmt: skip
    at_hand = load_settings(None, {}, environ)
    with Endpoint(at_hand, tmp_path) as endpoint:
        with pytest.raises(ReplyError):
            endpoint.ask("Count.", "From 1.", Numbers)
        assert endpoint.cost.calls == 2  # the first named the field that is not taken
        assert endpoint.cost.tokens_written > 0
    (record,) = (json.loads(p.read_text()) for p in (tmp_path / FOLDER).iterdir())
    assert record["sent"] == ["max_tokens", "seed", "temperature"]
    with Endpoint(at_hand, tmp_path, replay=True) as again, pytest.raises(ReplyError):
        again.ask("Count.", "From 1.", Numbers)
