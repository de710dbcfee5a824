"""The compose file and what it mounts: valid, complete, and nothing open without a token."""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
import sys
from typing import Any

import yaml

from sake_registry.commands.serve import command as serve
from tests.deploy.dockerfiles import DEPLOY, SERVE, VLLM, Dockerfile
from tests.deploy.test_images import tracked

COMPOSE = DEPLOY / "compose.yaml"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


SERVICES: dict[str, Any] = read("compose.yaml")["services"]


def test_it_is_a_compose_file() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema",
         "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_what_is_mounted_and_built_is_there() -> None:
    volumes = read("compose.yaml")["volumes"]
    used = set()
    for service in SERVICES.values():
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            if source.startswith("."):
                assert tracked(str((DEPLOY / source).resolve())), source
                assert mount.endswith(":ro")
            else:
                used.add(source)
        if "build" in service:
            context = (DEPLOY / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).is_file()
    assert used == {*volumes}


def test_each_profile_has_one_server_and_both_have_the_dashboard() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items()}
    assert profiles == {
        "serve": ["serve"],
        "vllm": ["vllm"],
        "prometheus": ["serve", "vllm"],
        "grafana": ["serve", "vllm"],
    }


def test_nothing_starts_without_a_token_and_nothing_is_open_unless_told_so() -> None:
    for name in ("serve", "vllm"):
        assert SERVICES[name]["environment"]["SAKE_ADMIN_TOKEN"].startswith("${SAKE_ADMIN_TOKEN:?")
        assert "production:/srv/sake" in SERVICES[name]["volumes"]
    assert re.match(r"\$\{\w+:\?", SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"])
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(SERVICES)
    assert all(port.startswith(("127.0.0.1:", "${SAKE_BIND:-127.0.0.1}:")) for port in ports)


def test_the_token_s_length_is_the_one_that_is_asked_for() -> None:
    from sake_registry.serving.admin import MIN_TOKEN

    assert COMPOSE.read_text("utf-8").count(f"at least {MIN_TOKEN} characters") == 2


def test_the_volume_lies_where_the_servers_look() -> None:
    bundle = serve.make_context("x", Dockerfile.read(SERVE).words("ENTRYPOINT")[2:]).params[
        "bundle"
    ]
    assert posixpath.dirname(bundle) == "/srv/sake"
    assert f"SAKE_BUNDLE={bundle}" in Dockerfile.read(VLLM).all("ENV")[-1]


def test_variables_of_vllm_s_image_are_the_plugin_s() -> None:
    from sake_registry.serving.vllm.environment import Environment

    said = " ".join(Dockerfile.read(VLLM).all("ENV"))
    variables = dict(word.split("=", 1) for word in said.split() if word.startswith("SAKE_"))
    read_ = Environment.read(variables)
    assert read_.metrics_host == "0.0.0.0"
    assert {f"SAKE_{name.upper()}" for name in read_.model_fields_set} == {*variables}


def test_prometheus_reads_ports_that_the_servers_have() -> None:
    exposed = {
        name: Dockerfile.read(path).all("EXPOSE")[0].split()
        for name, path in (("serve", SERVE), ("vllm", VLLM))
    }
    scraped = [
        (name, str(found["port"]))
        for job in read("prometheus.yml")["scrape_configs"]
        for found in job["dns_sd_configs"]
        for name in found["names"]
    ]
    assert sorted(scraped) == sorted((n, port) for n, ports in exposed.items() for port in ports)
    beside = {mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]}
    for file in read("prometheus.yml")["rule_files"]:
        assert f"/etc/prometheus/{file}" in beside


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    (source,) = read("grafana/datasources.yml")["datasources"]
    host = re.fullmatch(r"http://(\w+):9090", source["url"])
    assert host
    assert host[1] in SERVICES
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text("utf-8"))
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    (provider,) = read("grafana/dashboards.yml")["providers"]
    targets = [mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in [posixpath.dirname(target) for target in targets]
