"""Where a local stack keeps its files, and how everybody else finds it.

A stack lies in one folder: NATS data, event store, views, artifacts, logs, and a note of the
address that it last had (`stack.json`). Whoever is told the folder needs no other setting.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dalsegno.output import typed
from dalsegno_bus.codec import readable
from dalsegno_bus.errors import SettingsError, UsageError
from dalsegno_bus.settings import BusSettings, read_settings

FOLDER_VARIABLE: Final = "DALSEGNO_FOLDER"
DEFAULT_FOLDER: Final = Path(".dalsegno")
REPORTS: Final = DEFAULT_FOLDER / "reports"
"""Where the files of a run's output go, in a folder of the run's name."""
FINANCE_AGENTS: Final = tuple(
    f"dalsegno_agents.gallery.finance.{name}:agent"
    for name in ("gather", "analyze", "summarize", "review", "report")
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_NATS_PORT: Final = 4222


class StackSettings(BusSettings):
    """What `dalsegno up` reads from the environment and from `dalsegno.toml`."""

    store_url: str = "sqlite:///.dalsegno/store.db"
    views_url: str | None = None
    agents: Annotated[tuple[str, ...], Field(max_length=200)] = FINANCE_AGENTS
    """The agents to start, as `MODULE:AGENT`; the same name twice makes two replicas."""


class Note(BaseModel):
    """What a stack leaves in its folder, for those who want to speak to it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    nats_url: str
    namespace: str
    partitions: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One stack on this machine."""

    folder: Path
    """For NATS data, logs and the note."""
    nats_port: int | None
    """Where to start a NATS server (0: any free port); None: use the one that is there."""
    nats_url: str
    """Stands only where `nats_port` is None or fixed."""
    environment: Mapping[str, str]
    """What every service is told, but the address of NATS."""
    namespace: str
    partitions: int
    agents: tuple[str, ...]

    @property
    def nats_data(self) -> Path:
        return self.folder / "nats"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def write_note(self, nats_url: str) -> None:
        """Tell the others where NATS is."""
        note = Note(nats_url=nats_url, namespace=self.namespace, partitions=self.partitions)
        _note_file(self.folder).write_text(note.model_dump_json(indent=2) + "\n")


def from_settings(agents: tuple[str, ...] | None = None) -> Layout:
    """The stack that environment and `dalsegno.toml` describe, with its files in `.dalsegno`.

    Args:
        agents: Which agents to start; None: those of the settings.

    Raises:
        SettingsError: A setting does not fit.
    """
    settings = read_settings(StackSettings)
    environment = {
        "DALSEGNO_STORE_URL": settings.store_url,
        "DALSEGNO_ARTIFACTS_URL": settings.artifacts_url,
        **_names(settings.namespace, settings.partitions),
    }
    if settings.views_url is not None:
        environment["DALSEGNO_VIEWS_URL"] = settings.views_url
    return Layout(
        folder=DEFAULT_FOLDER.absolute(),
        nats_port=_port(settings.nats_url),
        nats_url=settings.nats_url,
        environment=environment,
        namespace=settings.namespace,
        partitions=settings.partitions,
        agents=settings.agents if agents is None else agents,
    )


def in_folder(folder: Path, agents: tuple[str, ...] | None = None) -> Layout:
    """A stack with all its files in `folder` and NATS on a free port.

    Args:
        folder: Made when the stack starts.
        agents: Which agents to start; None: those of the settings.
    """
    settings = read_settings(StackSettings)
    return Layout(
        folder=folder.absolute(),
        nats_port=0,
        nats_url="",
        environment=_files(folder.absolute()) | _names(settings.namespace, settings.partitions),
        namespace=settings.namespace,
        partitions=settings.partitions,
        agents=settings.agents if agents is None else agents,
    )


def speak_to(folder: Path) -> None:
    """Have this process use the stack in `folder`, by setting the variables that say so.

    Raises:
        UsageError: No stack has ever run there.
    """
    file = _note_file(folder)
    try:
        note = Note.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(
            f"no stack keeps its files in {str(folder)!r}; start one: {typed('up', folder)}"
        ) from error
    except ValidationError as error:
        raise SettingsError(
            f"{file} is damaged ({readable(error)}): delete it, and start the stack again"
        ) from error
    os.environ.update(_files(folder.absolute()))
    os.environ.update(_names(note.namespace, note.partitions))
    os.environ["DALSEGNO_NATS_URL"] = note.nats_url


def _note_file(folder: Path) -> Path:
    return folder / "stack.json"


def _files(folder: Path) -> dict[str, str]:
    return {
        "DALSEGNO_STORE_URL": f"sqlite:///{folder / 'store.db'}",
        "DALSEGNO_VIEWS_URL": f"sqlite:///{folder / 'views.db'}",
        "DALSEGNO_ARTIFACTS_URL": str(folder / "artifacts"),
    }


def _names(namespace: str, partitions: int) -> dict[str, str]:
    return {"DALSEGNO_NAMESPACE": namespace, "DALSEGNO_PARTITIONS": str(partitions)}


def _port(nats_url: str) -> int | None:
    """Where to start NATS: on this machine only; servers elsewhere are somebody else's."""
    if "," in nats_url:
        return None
    parts = urlsplit(nats_url if "://" in nats_url else f"nats://{nats_url}")
    try:
        port = parts.port
    except ValueError as error:
        raise SettingsError(
            f"DALSEGNO_NATS_URL={nats_url!r}: the port must be a number from 1 to 65535"
        ) from error
    if parts.hostname not in _LOOPBACK:
        return None
    return port or _NATS_PORT
