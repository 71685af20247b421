"""The backends that tests here share; each is started for the first test that wants it."""

from collections.abc import Iterator

import pytest

from tests.e2e.backends import kit, servers
from tests.e2e.backends import provider as providers


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Phoenix]:
    """A Phoenix of its own."""
    with servers.phoenix(tmp_path_factory.mktemp("phoenix")) as running:
        yield running


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Mlflow]:
    """An MLflow of its own."""
    with servers.mlflow(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(scope="session")
def models() -> Iterator[str]:
    """The models of a configuration, those of a provider on loopback among them."""
    with providers.serving() as url:
        yield kit.MODELS.format(provider=url)
