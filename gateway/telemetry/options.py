"""What a configuration wants of telemetry, as those read it who write spans and usage records."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.model import Settings
from gateway.config.otel import Plan
from gateway.config.pseudonyms import pseudonym_keys
from gateway.config.telemetry import Compat
from gateway.hashing import HashKey


@dataclass(frozen=True, slots=True)
class Options:
    """How much is told, and under which names.

    `sample_ratio` is the share of new traces whose spans are kept; `follow_caller` says whether a caller's own decision
    comes first. `content` keeps guarded text, at most `content_characters` of it in each attribute. `compat` are the
    tools whose own names are written as well. `newest_names` writes those of the newest draft of the conventions.
    `pseudonym_key` is the key of the hash that is told instead of an end user's name; None tells the name.
    """

    sample_ratio: float = 1.0
    follow_caller: bool = True
    content: bool = False
    content_characters: int = 65_536
    compat: tuple[Compat, ...] = ()
    newest_names: bool = False
    pseudonym_key: HashKey | None = None

    def user(self, name: str | None) -> str | None:
        """An end user as telemetry names them: by name, or by a pseudonym (`gateway.hashing`).

        Its key comes from the configuration's, so that all workers and replicas of a gateway say the same, from one
        start to the next; another key gives everybody another pseudonym.
        """
        return name if name is None or self.pseudonym_key is None else self.pseudonym_key.pseudonym(name)


def options(settings: Settings, plan: Plan) -> Options:
    """The options of a configuration; `plan` is what it makes of its telemetry settings and the environment."""
    telemetry = settings.telemetry
    return Options(
        sample_ratio=plan.sample_ratio,
        follow_caller=plan.follow_caller,
        content=telemetry.capture_content == "guarded",
        compat=telemetry.compat,
        newest_names=plan.newest_names,
        pseudonym_key=next(iter(pseudonym_keys(settings)), None),
    )


def changed_exporting(before: Plan, after: Plan) -> bool:
    """Whether spans would go elsewhere, or otherwise: what was chosen at the start of a process stays until its end."""
    return _exporting(before) != _exporting(after)


def _exporting(plan: Plan) -> tuple[object, ...]:
    resource: Mapping[str, str] = plan.resource
    return (
        plan.otlp,
        plan.disabled,
        plan.file,
        plan.file_max_bytes,
        dict(resource),
        plan.queue,
        plan.batch,
        plan.delay,
    )
