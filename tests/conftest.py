"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and the first text of a fresh checkout takes a second, in
# which Hypothesis makes its tables of characters. Neither is a fault of what is tested. Examples are new ones in each
# run; so many keep plain `pytest` within a few minutes, and tests that want more say so.
settings.register_profile("gateway", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")
