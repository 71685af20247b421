"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and the first text of a fresh checkout takes a second, in
# which Hypothesis makes its tables of characters. Neither is a fault of what is tested.
settings.register_profile("gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gateway")
