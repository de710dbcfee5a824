"""Real servers on a port of their own, with a tiny real model and two bundles of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from openai import OpenAI

from sake_registry import compile_registry, load_bundle, open_registry
from sake_registry.remote.pointer import write_pointer
from sake_registry.serving.app import Service
from sake_registry.serving.run import Serving
from tests import tiny_models, workshop
from tests.serving.hosting import hosted

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
TOKEN = "a-token-of-tests-0123456789"
MODEL = "tiny"


@dataclass
class World:
    """A tiny model, and two bundles: with both edits, and without `tolstoy-tongue`."""

    loaded: Any
    both: Path
    one: Path

    @property
    def model(self) -> Any:
        return self.loaded.model

    @property
    def tokenizer(self) -> Any:
        return self.loaded.tokenizer


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tiny_models.save("llama", tmp_path_factory.mktemp("model") / "tiny-llama")
    root = tmp_path_factory.mktemp("registry")
    compiled = workshop.compiled(
        root, folder, commit="c" * 40, reviewers={"australia-capital": ["Rosa Rev", "Tom"]}
    )
    (root / "edits" / "tolstoy-tongue.yaml").unlink()
    fewer = compile_registry(open_registry(root))
    assert fewer.bundle is not None
    compiled.tokenizer.chat_template = TEMPLATE
    compiled.bundle.close()
    return World(compiled.loaded, compiled.bundle.path, fewer.bundle)


@dataclass
class Running:
    """A server that runs."""

    url: str
    service: Service
    folder: Path

    def __post_init__(self) -> None:
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60)

    @property
    def pointer(self) -> Path:
        return self.folder / "production.json"

    @property
    def overrides(self) -> Path:
        return self.folder / "overrides.json"

    def complete(self, prompt: str, tokens: int = 6, **sake: Any) -> Any:
        """A greedy completion."""
        return self.client.completions.create(
            model=MODEL, prompt=prompt, max_tokens=tokens, temperature=0, extra_body={"sake": sake}
        )

    def call(
        self,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        *,
        token: str | None = None,
        method: str | None = None,
    ) -> tuple[int, dict[str, str], Any]:
        """The status, the headers in lower case, and the body as JSON or text."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            with urlopen(Request(self.url + path, data, headers, method=method), timeout=60) as a:
                status, head, text = a.status, a.headers, a.read()
        except HTTPError as error:
            with error:
                status, head, text = error.code, error.headers, error.read()
        lower = {name.lower(): value for name, value in head.items()}
        is_json = lower.get("content-type", "").startswith("application/json")
        return status, lower, json.loads(text) if is_json else text.decode()

    def metric(self, name: str) -> float:
        """A value of `/metrics`; 0 for one that is not there yet."""
        lines = self.call("/metrics")[2].splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
        return float(found[0]) if found else 0.0


@contextmanager
def running(world: World, folder: Path, **options: Any) -> Iterator[Running]:
    """A server of the world's model, behind a pointer to the bundle with both edits."""
    pointer = folder / "production.json"
    if not pointer.exists():
        write_pointer(pointer, str(world.both))
    given: dict[str, Any] = {"place": str(pointer), "log": folder / "log.jsonl", "token": TOKEN}
    given["budget"] = 60.0  # a loaded machine is no finding
    serving = Serving(name=MODEL, **{**given, **options})
    with hosted(world.model, world.tokenizer, serving) as (url, ready):
        it = Running(url, ready, folder)
        with it.client:  # its connections are not left to the collector
            yield it


Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def start(world: World, tmp_path: Path) -> Start:
    """Start a server with options of `Serving`."""
    return lambda **options: running(world, tmp_path, **options)


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that the tests of a module share."""
    with running(world, tmp_path_factory.mktemp("serving")) as it:
        yield it


def logged(running: Running) -> list[dict[str, Any]]:
    """The lines of its log of decisions."""
    return [json.loads(line) for line in (running.folder / "log.jsonl").read_text().splitlines()]


def keys(world: World) -> tuple[str, str]:
    """The keys of the two bundles."""
    found = []
    for path in (world.both, world.one):
        with load_bundle(path) as bundle:
            found.append(bundle.manifest.key)
    return found[0], found[1]
