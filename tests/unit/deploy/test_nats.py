"""deploy/nats/nats.conf: the server takes it, and it says what compose.yaml relies on."""

import subprocess
from pathlib import Path

import pytest

from dalsegno_bus.embedded import find_binary


@pytest.mark.slow
def test_the_server_takes_the_configuration(root: Path) -> None:
    config = root / "deploy" / "nats" / "nats.conf"
    command = [find_binary(), "-t", "-c", str(config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_holds_its_data_and_its_health_where_compose_expects_them(root: Path) -> None:
    config = (root / "deploy" / "nats" / "nats.conf").read_text()
    compose = (root / "deploy" / "compose.yaml").read_text()
    assert "store_dir: /data/nats" in config
    assert "nats:/data/nats" in compose
    assert "http_port: 8222" in config
    assert "http://127.0.0.1:8222/healthz" in compose
