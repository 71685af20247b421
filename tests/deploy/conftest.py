"""A collector that is built once for all tests here that want one."""

import pytest

from tests.deploy import kit


@pytest.fixture(scope="session")
def program() -> str:
    """The path of a collector."""
    return kit.binary()
