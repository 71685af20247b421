"""What holds for every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

PLAIN = "not e2e and not slow"
"""What `pytest` alone runs."""

# How long an example takes says how busy the machine is, and the first text of a fresh checkout takes a second, in
# which Hypothesis makes its tables of characters. Neither is a fault of what is tested. Examples are new ones in each
# run; so many keep plain `pytest` within a few minutes, and tests that want more say so.
settings.register_profile("gateway", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """All the plain tests are run by several processes, a file by one of them. Tests that start servers or measure have
    the machine to themselves, and for a file or two it would take longer to start the processes."""
    files = [one for one in config.args if os.path.isfile(one.partition("::")[0])]
    if config.option.markexpr == PLAIN and not files:
        return min(os.cpu_count() or 1, 4)
    config.option.dist = "no"
    return 0
