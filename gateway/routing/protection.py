"""What stands between too many requests and too many calls, for one process: gates, and answers that are used again."""

from collections.abc import Mapping

from gateway.config.model import Settings
from gateway.routing.gates import Gates
from gateway.routing.reuse.reuse import Reuse
from gateway.routing.reuse.stores import Remote, Shared


class Protection:
    """It outlives configurations: who is inside stays counted, and what was kept stays kept, through a reload.

    Args:
        remote: Redis, where answers are kept then; None for this process's memory.
    """

    def __init__(self, remote: Remote | None = None) -> None:
        self.gates = Gates()
        self.reuse = Reuse(Shared(remote) if remote is not None else None)

    def __repr__(self) -> str:
        return f"<Protection {self.gates!r} {self.reuse!r}>"

    def use(self, settings: Settings) -> None:
        """Another configuration from now on."""
        self.gates.use(settings.protection)
        self.gates.prune({each.id for each in settings.deployments})
        self.reuse.use(settings)

    def depths(self) -> Mapping[tuple[str, ...], float]:
        """How many wait, by the name of the line."""
        return self.gates.depths()

    def ready(self) -> tuple[bool, str]:
        """For `/health/ready`: always usable, and one line about how full it is."""
        said = self.gates.told()
        return True, f"{said}; {self.reuse.told()}" if self.reuse.wanted else said
