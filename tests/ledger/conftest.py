"""Databases that the ledger's tests use: SQLite files, and one PostgreSQL for all of them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.ledger.store import Store
from tests.ledger import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a running PostgreSQL."""
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    server: str = request.getfixturevalue("postgres_server")
    name = f"test_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.removesuffix("postgres") + name


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A database with the newest schema."""
    made = Store(database_url)
    made.prepare()
    yield made
    made.close()
