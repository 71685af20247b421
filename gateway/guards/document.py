"""A policy document: for whom it holds, what it looks at, which guards it runs and what follows (policies.md §1).

`gateway.guards.load` makes these from YAML; the JSON Schema shipped beside the packs is made from them.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializeAsAny

from gateway.config.fields import Strict
from gateway.guards.base import Action, Stage

Mode = Literal["enforce", "shadow", "off"]
Fail = Literal["block", "allow"]
Rendering = Literal["error", "replace"]

MAX_MESSAGE = 2_000
"""Characters of the message that stands in for a withheld text."""


def _name(value: str) -> str:
    plain = value.isascii() and value.replace("-", "").replace("_", "").isalnum() and value == value.lower()
    if not plain or not value[0].isalnum() or len(value) > 64:
        raise ValueError("must be at most 64 lower-case letters, digits, - and _, a letter or digit first")
    return value


def _globs(values: tuple[str, ...]) -> tuple[str, ...]:
    if any(not value for value in values):
        raise ValueError("must not hold an empty text")
    return values


def _once(values: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if not values or len(set(values)) != len(values):
        raise ValueError("must name input, output or both, each once")
    return values


Name = Annotated[str, AfterValidator(_name)]
Globs = Annotated[tuple[str, ...], AfterValidator(_globs)]
Stages = Annotated[tuple[Stage, ...], AfterValidator(_once)]


class Match(Strict):
    """Whom a policy is for. All four must hold; an empty list asks nothing. The star is the only special character."""

    models: Globs = Field(("*",), description="Globs of the alias the client asked for.")
    end_users: Globs = Field(("*",), description="Globs of the end user; only * holds for a request without one.")
    keys: Globs = Field(("*",), description="Globs of the key's alias; only * holds for a request without a key.")
    tags: Globs = Field((), description="Globs, one of which one of the request's tags must fit.")


class OnBlock(Strict):
    """What the client gets instead of a blocked text."""

    input: Rendering = Field("error", description="error: a 400; replace: an answer that is the message.")
    output: Rendering = Field("replace", description="error: a 400; replace: the message instead of the text.")
    message: str = Field(
        "This answer was withheld by policy.",
        min_length=1,
        max_length=MAX_MESSAGE,
        description="What stands in for the text, or in the error.",
    )


class Hold(Strict):
    """How long a stream may be held for a name that is not yet complete: to the end of its clause, but no longer than
    this. Then what is held, but for a word that has begun, is judged as a clause of its own and leaves."""

    max_chars: int = Field(400, ge=1, le=100_000, description="Characters of an unfinished clause held at most.")
    max_ms: int = Field(
        300, ge=1, le=60_000, description="Milliseconds an unfinished clause is held at most, from its first character."
    )


class Example(Strict):
    """One test of a policy: a text at a stage, and what must come of it."""

    input: str | None = Field(None, description="A prompt.")
    output: str | None = Field(None, description="An answer.")
    expect: Action = Field(description="The decision: the gravest action that applies, allow for none.")
    becomes: str | None = Field(None, description="The text after hash, mask or redact.")

    @property
    def stage(self) -> Stage:
        """Where the text stands."""
        return "input" if self.input is not None else "output"

    @property
    def text(self) -> str:
        """The text itself."""
        return (self.input if self.input is not None else self.output) or ""


class GuardStages(Strict):
    """What may stand among the settings of any guard."""

    stages: Stages | None = Field(None, description="Which of the policy's stages it judges; all when left out.")


class GuardEntry(GuardStages):
    """One guard of a policy by its name, with its own settings. A policy may have several of one name."""

    name: str
    config: SerializeAsAny[Strict]


class Policy(Strict):
    """One policy. `when` has been compiled and the guards' settings checked by the time one of these is in use."""

    policy: Name = Field(description="The policy's name in headers, logs and verdicts.")
    version: int = Field(ge=1, description="Counted up by whoever changes the document.")
    description: str = Field("", description="What it is for, in a sentence.")
    match: Match = Field(Match(), description="Whom it is for.")
    when: str | None = Field(
        None, min_length=1, max_length=4_096, description="A CEL expression over request.*; it holds when it is true."
    )
    stages: Stages = Field(("input", "output"), description="What it looks at; output is streamed answers too.")
    mode: Mode = Field("enforce", description="enforce; shadow judges and reports but changes nothing; off.")
    sample: float = Field(1.0, ge=0, le=1, description="Share of requests it looks at.")
    on_error: Fail | None = Field(
        None, description="What follows when a guard fails; block in enforce and allow in shadow when left out."
    )
    timeout_ms: int = Field(200, ge=1, le=60_000, description="Milliseconds all guards of a stage have.")
    on_block: OnBlock = Field(OnBlock(), description="What the client gets instead.")
    stream: Literal["hold", "observe"] = Field(
        "hold", description="Guards that need the whole answer: hold the stream for them, or only observe it."
    )
    hold: Hold = Field(Hold(), description="How long a stream may be held for an unfinished name.")
    parallel: bool = Field(
        False,
        description=(
            "Ask the guards of the input that are waited for (services, models, names) beside the call to the "
            "provider; the answer waits for their verdict and a block cancels the call. A prompt that has been sent "
            "cannot be rewritten: what such a guard would mask, redact or hash blocks. Means nothing for the output."
        ),
    )
    guards: tuple[GuardEntry, ...] = Field(description="Each guard by its name, with its settings.")
    tests: tuple[Example, ...] = Field((), description="Texts and what must come of them; `gateway check` runs them.")

    @property
    def fail_mode(self) -> Fail:
        """What follows when a guard fails or takes too long: closed when enforcing, open when only observing."""
        return self.on_error or ("block" if self.mode == "enforce" else "allow")
