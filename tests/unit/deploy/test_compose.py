"""compose.yaml is valid, and whatever it names exists: modules, build targets, variables, files."""

import re
import socket
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from check_jsonschema.builtin_schemas import (  # pyright: ignore[reportMissingTypeStubs]
    get_builtin_schema,
)
from pydantic import AliasChoices, AliasPath
from ruamel.yaml import YAML

from dalsegno.doctor.settings import DoctorSettings
from dalsegno_agents.agent import Agent
from dalsegno_agents.settings import AgentSettings
from dalsegno_bus import health
from dalsegno_bus.settings import BusSettings
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_projections.settings import ProjectionSettings

ROOT = Path(__file__).parents[3]
FOREIGN = {"nats", "postgres", "jaeger"}
INTERPOLATION = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")
SETTINGS: dict[str, type[BusSettings]] = {
    "orchestrator": OrchestratorSettings,
    "projections": ProjectionSettings,
    "finance": AgentSettings,
    "cli": DoctorSettings,
}
READ_BY_THE_AGENTS_THEMSELVES = {"DALSEGNO_LLM_MODEL", "OPENAI_API_KEY"}


@cache
def compose() -> dict[str, Any]:
    yaml: Any = YAML(typ="safe", pure=True)
    loaded: dict[str, Any] = yaml.load(ROOT / "deploy" / "compose.yaml")
    return loaded


def ours() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, service in compose()["services"].items():
        if name not in FOREIGN:
            yield name, service


def test_it_is_valid_by_the_compose_specification() -> None:
    validator = jsonschema_rs.validator_for(get_builtin_schema("vendor.compose-spec"))
    assert [error.message for error in validator.iter_errors(compose())] == []


def test_it_starts_everything_that_the_system_is_made_of() -> None:
    finance = {f"finance-{job}" for job in ("gather", "analyze", "summarize", "review", "report")}
    assert set(compose()["services"]) == FOREIGN | finance | {"orchestrator", "projections", "cli"}


def test_every_build_names_a_dockerfile_and_a_target_in_it() -> None:
    for name, service in ours():
        build = service["build"]
        context = (ROOT / "deploy" / build["context"]).resolve()
        dockerfile = (context / build["dockerfile"]).read_text()
        assert context == ROOT
        assert re.search(rf"^FROM \S+ AS {build['target']}$", dockerfile, re.MULTILINE), name


@pytest.mark.slow
def test_every_agent_that_it_starts_exists() -> None:
    started = [service["command"] for name, service in ours() if name.startswith("finance-")]
    for [target] in started:
        module, _, attribute = target.partition(":")
        assert isinstance(getattr(import_module(module), attribute), Agent), target
    assert len({command[0] for command in started}) == 5


def test_every_variable_that_it_sets_is_read_by_that_service() -> None:
    for name, service in ours():
        known = variables(SETTINGS[service["build"]["target"]])
        unknown = set(service["environment"]) - known - READ_BY_THE_AGENTS_THEMSELVES
        assert not unknown, f"{name} is told {unknown}, which nobody reads"


def test_every_value_that_it_sets_is_one_that_the_service_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for _, service in ours():
        with monkeypatch.context() as patch:
            for key, value in service["environment"].items():
                patch.setenv(key, INTERPOLATION.sub(lambda found: found[2] or "", value))
            settings = SETTINGS[service["build"]["target"]]()
        assert settings.nats_url == "nats://nats:4222"
        assert settings.otlp_endpoint == "http://jaeger:4317"


def test_services_that_are_spoken_to_are_in_the_file_under_that_name() -> None:
    for name, service in ours():
        for value in service["environment"].values():
            host = re.search(r"//(?:[^@/]*@)?([a-z]+):\d+", value)
            assert host is None or host[1] in compose()["services"], (name, value)


def test_every_service_has_a_health_check_that_compose_can_wait_for() -> None:
    for name, service in compose()["services"].items():
        if name in FOREIGN:
            assert "healthcheck" in service, name
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    [port] = re.findall(r"DALSEGNO_HEALTH_PORT=(\d+)", dockerfile)
    assert f'CMD ["python", "-m", "dalsegno_bus.health", "{port}"]' in dockerfile


def test_the_health_check_that_images_run_says_no_where_nothing_answers() -> None:
    assert health.main(["health", str(closed_port())]) == 1


def test_every_file_that_it_mounts_exists() -> None:
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / "deploy" / source).exists(), volume
            elif not source.startswith("$"):
                assert source in compose()["volumes"], volume


def test_everything_that_listens_on_the_host_listens_on_loopback_only() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def variables(settings: type[BusSettings]) -> set[str]:
    """The environment variables that these settings read."""
    names: set[str] = set()
    for field, description in settings.model_fields.items():
        alias = description.validation_alias
        assert not isinstance(alias, AliasChoices | AliasPath)
        names.add(alias or f"DALSEGNO_{field.upper()}")
    return names
