import pytest

from dalsegno_bus.errors import SettingsError
from dalsegno_bus.settings import read_settings
from dalsegno_projections.catalog import open_rows
from dalsegno_projections.settings import ProjectionSettings, beside


@pytest.mark.parametrize(
    ("store", "views"),
    [
        ("sqlite:///.dalsegno/store.db", "sqlite:///.dalsegno/views.db"),
        ("sqlite:////var/lib/my store.sqlite", "sqlite:////var/lib/views.db"),
        ("sqlite:///store.db", "sqlite:///views.db"),
        ("postgresql://me:word@host/name", "postgresql://me:word@host/name"),
    ],
)
def test_views_lie_beside_their_store(store: str, views: str) -> None:
    assert beside(store) == views


def test_views_lie_where_they_are_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DALSEGNO_VIEWS_URL", "sqlite:///elsewhere.db")
    assert read_settings(ProjectionSettings).views == "sqlite:///elsewhere.db"


def test_a_store_without_a_path_is_a_setting_to_mend() -> None:
    with pytest.raises(SettingsError, match="a path must follow"):
        open_rows(ProjectionSettings(store_url="sqlite:///"))
