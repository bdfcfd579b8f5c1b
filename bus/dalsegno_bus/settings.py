"""What every process is told from outside: environment first, then `dalsegno.toml`, then a default.

Each service adds its own fields in its own `settings.py`; a variable is `DALSEGNO_` and the name.
"""

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from dalsegno_bus.errors import SettingsError
from dalsegno_bus.subjects import Subjects

SETTINGS_FILE = Path("dalsegno.toml")

SettingsT = TypeVar("SettingsT", bound="BusSettings")


class BusSettings(BaseSettings):
    """How a process reaches the others."""

    model_config = SettingsConfigDict(
        env_prefix="DALSEGNO_", toml_file=SETTINGS_FILE, extra="ignore", frozen=True
    )

    nats_url: str = "nats://127.0.0.1:4222"
    """One server, or several with commas between them."""
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=32)] = "ds"
    """Prefix of all subjects, streams, buckets: tenants share servers through it."""
    partitions: Annotated[int, Field(ge=1, le=1024)] = 16
    """How runs are divided; fixed for a namespace once it is in use."""
    artifacts_url: str = ".dalsegno/artifacts"
    """Where large values lie: a folder, or a bucket's URL."""
    health_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Answer `GET /healthz` (200: the process lives), `/readyz` (200, or 503 with what is missing)
    and `/countz` (what was counted) on this port of 0.0.0.0; none unless set."""
    log_format: Annotated[str, Field(pattern="^(auto|text|json)$")] = "auto"
    """`json` for machines, `text` for people, with the same fields; `auto`: text on a terminal."""
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where traces go (OTLP over gRPC); without it no exporter is built."""

    @property
    def subjects(self) -> Subjects:
        return Subjects(namespace=self.namespace, partitions=self.partitions)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """The settings of this process.

    Raises:
        SettingsError: One does not fit; every variable that does not is named.
    """
    try:
        return kind()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{SETTINGS_FILE} is no TOML: {error}; mend or delete it") from error
    except ValidationError as error:
        faults = [
            f"DALSEGNO_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise SettingsError("; ".join(faults)) from error
