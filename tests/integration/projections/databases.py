"""A store and its views on real databases, each test with its own tables."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from dalsegno_orchestrator.store import Store
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.projector import Projector
from dalsegno_projections.storage.rows import Rows


@dataclass
class Databases:
    """One store and its views, and as many connections to them as a test wants."""

    store_url: str
    views_url: str
    namespace: str
    opened: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.store = self.open_store()
        self.store.ensure_schema()
        self.rows = self.open_rows()
        self.rows.ensure_schema()

    def open_store(self) -> Store:
        store = Store(self.store_url, namespace=self.namespace)
        self.opened.callback(store.close)
        return store

    def open_rows(self) -> Rows:
        rows = Rows(self.views_url, namespace=self.namespace, views=VIEWS)
        self.opened.callback(rows.close)
        return rows

    def projector(self, *, batch_events_max: int = 100) -> Projector:
        return Projector(self.store, self.rows, VIEWS, batch_events_max=batch_events_max)

    def digests(self) -> dict[str, str]:
        return {view.name: self.rows.digest(view.name) for view in VIEWS}
