"""What a projections process is told from outside, beside how it reaches the others."""

from pathlib import PurePosixPath
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field

from dalsegno_bus.settings import BusSettings

_SQLITE: Final = "sqlite:///"


class ProjectionSettings(BusSettings):
    """Settings of one projections process."""

    store_url: str = "sqlite:///.dalsegno/store.db"
    """The event store: `sqlite:///file.db` or `postgresql://user:word@host/name`."""
    views_url: str | None = None
    """Where the views lie: `views.db` beside a store on SQLite, a store's own database on
    PostgreSQL, unless set."""
    projection_batch_max: Annotated[int, Field(ge=1, le=10_000)] = 500
    """How many events one transaction folds at most."""
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """How often the store is asked for new events while nobody rings."""

    lag_seconds_max: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """How far behind the history the views may be before this service says it is not ready."""

    @property
    def views(self) -> str:
        """The URL of the views' database."""
        return self.views_url or beside(self.store_url)


def beside(store_url: str) -> str:
    """Where the views of this store lie unless somebody says otherwise."""
    if urlsplit(store_url).scheme != "sqlite":
        return store_url
    path = PurePosixPath(store_url.removeprefix(_SQLITE))
    if not path.name:
        return store_url  # no path at all: whoever opens it says so
    return f"{_SQLITE}{path.with_name('views.db')}"
