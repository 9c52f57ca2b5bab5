"""Fixtures that many tests share: a tiny encoder, databases of both kinds, services."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from app.container import open_encoders
from app.db.database import Database
from app.db.migrating import upgrade
from app.db.opening import connect_database, open_database
from app.settings import Settings
from tests.fakes.milvus import milvus_server
from tests.fakes.postgres import create_database, postgres_server
from tests.fakes.running import Running, make_settings, running
from tests.fakes.tiny_bundle import make_tiny_bundle

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

HEAD_LABELS = ("refund", "login")

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "url"):
        monkeypatch.delenv(f"SAMESAY_{name.upper()}", raising=False)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of dim 32 with a head."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    make_tiny_bundle(folder, head_labels=HEAD_LABELS)
    return folder


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle of the same dim, without a head."""
    folder = tmp_path_factory.mktemp("bundle") / "other"
    make_tiny_bundle(folder, seed=1)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Milvus server, which takes ten seconds to start."""
    with milvus_server(tmp_path_factory.mktemp("milvus")) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings over an empty database of each kind, at no schema yet."""
    if request.param == "sqlite":
        return make_settings(tmp_path / "data")
    return postgres_settings(request.getfixturevalue("postgres"), tmp_path / "data")


sqlite_only = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
"""For tests that have `settings`, or what stands on it, and would prove nothing more on PostgreSQL."""


def postgres_settings(server_url: str, data: Path) -> Settings:
    """Settings over a new database of this server."""
    return make_settings(data, database_url=create_database(server_url, f"test_{next(_numbers)}"))


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A database of each kind at the newest schema."""
    migrate(settings)
    opened = open_database(settings)
    yield opened
    opened.close()


def migrate(settings: Settings) -> None:
    """What `samesay db upgrade` does."""
    connected = connect_database(settings)
    upgrade(connected.engine)
    connected.close()


def add_encoder(settings: Settings, bundle: Path, name: str = "tiny") -> str:
    """What `samesay encoders add` does; returns the sha256."""
    migrate(settings)
    opened = open_database(settings)
    try:
        return open_encoders(settings, opened).add(bundle, name).sha
    finally:
        opened.close()


@pytest.fixture
def sqlite(tmp_path: Path, tiny_bundle: Path) -> Settings:
    """Settings of SQLite, with the tiny encoder added."""
    settings = make_settings(tmp_path / "data")
    add_encoder(settings, tiny_bundle)
    return settings


@pytest.fixture
def registered(settings: Settings, tiny_bundle: Path) -> Settings:
    """`settings`, with the tiny encoder registered."""
    add_encoder(settings, tiny_bundle)
    return settings


@pytest.fixture
def service(registered: Settings) -> Iterator[Running]:
    """A running service over a database of each kind, with the tiny encoder and no collection."""
    with running(registered) as started:
        yield started


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Running]:
    """One service over SQLite for a whole file of tests; they use collections of their own."""
    settings = make_settings(tmp_path_factory.mktemp("shared") / "data")
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        yield started


@pytest.fixture
def collection(shared_service: Running) -> str:
    """A new collection of the shared service."""
    return make_collection(shared_service)


def make_collection(service: Running, encoder: str = "tiny") -> str:
    """Create a collection with a name of its own."""
    name = f"c{next(_numbers)}"
    answer = service.client.post("/v1/collections", json={"name": name, "encoder": encoder})
    assert answer.status_code == 201, answer.text
    return name


Put = Callable[..., int]


@pytest.fixture
def put(shared_service: Running) -> Put:
    """Store a record and wait until searches find it; returns its sequence number."""

    def put(collection: str, key: str, text: str, **fields: object) -> int:
        answer = shared_service.client.put(
            f"/v1/collections/{collection}/records/{key}", json={"text": text, **fields}, params={"wait": "visible"}
        )
        assert answer.status_code in (200, 201), answer.text
        assert answer.json()["visible"] is True
        return int(answer.json()["seq"])

    return put
