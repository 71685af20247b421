"""The guard `moderation`: OpenAI's moderations endpoint, or any service of that shape.

Request and answer are those of OpenAI's "Create moderation" (`POST /v1/moderations`): `input` is a list of texts, and
`results` has for each, in order, `flagged`, `categories` (true or false by name) and `category_scores` (0 to 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from gateway.config.fields import HttpUrl, SecretText, Strict
from gateway.guards.base import Context, Finding, Scope, Text
from gateway.guards.ports import Caller, GuardFailed, Ports
from gateway.guards.remote import ask, together
from gateway.guards.reported import Plain, is_plain
from gateway.types import HttpRequest
from gateway.wire import json

CATEGORY = "moderation"
OPENAI = "https://api.openai.com/v1"
BATCH = 32
"""Texts in one call; a stage with more makes several side by side."""

ModerationAction = Literal["allow", "flag", "block"]


class CategoryRule(Strict):
    """What is done about one category."""

    action: ModerationAction = Field("block", description="What is done about it.")
    score: float | None = Field(
        None, gt=0, le=1, description="From which score on; the service's own judgement when left out."
    )


class ModerationConfig(Strict):
    """Settings of the guard `moderation`."""

    api_key: SecretText | None = Field(
        None, description="The service's key, best a reference such as os.environ/OPENAI_API_KEY."
    )
    api_base: HttpUrl = Field(OPENAI, description="Base URL of the service; OpenAI's when left out.")
    model: str = Field("omni-moderation-latest", min_length=1, description="The service's model.")
    action: ModerationAction = Field("block", description="What is done about a category that is not named below.")
    categories: Mapping[Plain, ModerationAction | CategoryRule] = Field(
        {}, description="For each category, such as violence or self-harm/intent: an action, or {action, score}."
    )


@dataclass(frozen=True, slots=True)
class ModerationGuard:
    """Asks the service about every text of a stage."""

    config: ModerationConfig
    rules: Mapping[str, CategoryRule]
    default: CategoryRule
    seconds: float
    call: Caller = field(repr=False)
    name: str = "moderation"
    scope: Scope = "whole"
    pure: bool = True

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """One finding, about the whole text, for each text and category that the service or a score finds.

        Raises:
            GuardFailed: the answer is not of OpenAI's shape. TimeoutError: there is none in time.
        """
        told = [text for text in texts if text.value.strip()]
        batches = [told[at : at + BATCH] for at in range(0, len(told), BATCH)]
        return [finding for found in await together(map(self._ask, batches)) for finding in found]

    async def _ask(self, texts: Sequence[Text]) -> list[Finding]:
        headers = {"content-type": "application/json", "accept": "application/json"}
        if self.config.api_key:
            headers["authorization"] = f"Bearer {self.config.api_key.reveal()}"
        body = json.dumps({"model": self.config.model, "input": [text.value for text in texts]})
        request = HttpRequest("POST", f"{self.config.api_base}/moderations", headers, body)
        results = (await ask(self.call, request, self.seconds)).get("results")
        if not isinstance(results, list) or len(results) != len(texts):
            raise GuardFailed("the answer does not have one result for each text")
        return [
            finding for text, result in zip(texts, results, strict=True) for finding in self._findings(text, result)
        ]

    def _findings(self, text: Text, result: Any) -> list[Finding]:
        flagged, scores = _judged(result)
        if missing := {name for name, rule in self.rules.items() if rule.score is not None} - scores.keys():
            raise GuardFailed(f"the answer has no score for {', '.join(sorted(missing))}")
        found = []
        for name in flagged.keys() | scores.keys():
            rule = self.rules.get(name, self.default)
            score = scores.get(name, 1.0)
            if flagged.get(name, False) if rule.score is None else score >= rule.score:
                found.append(Finding(self.name, name, CATEGORY, rule.action, text.path, 0, 0, score))
        return sorted(found, key=lambda finding: finding.rule)


def _judged(result: Any) -> tuple[Mapping[str, bool], Mapping[str, float]]:
    """The categories and scores of one result.

    Categories that this service does not judge for texts are null in some answers; they count as not found.
    """
    flagged = result.get("categories") if isinstance(result, dict) else None
    scores = result.get("category_scores", {}) if isinstance(result, dict) else None
    if not isinstance(flagged, dict) or not isinstance(scores, dict) or not flagged:
        raise GuardFailed("a result has no categories")
    if any(value is not None and not isinstance(value, bool) for value in flagged.values()):
        raise GuardFailed("a category is neither true nor false")
    if any(not _is_score(value) for value in scores.values() if value is not None):
        raise GuardFailed("a score is not a number from 0 to 1")
    if not all(is_plain(name) for name in flagged.keys() | scores.keys()):
        raise GuardFailed("a category has no plain name")
    given = {name: float(value) for name, value in scores.items() if value is not None}
    found = {name: bool(value) for name, value in flagged.items()}
    if result.get("flagged") is True and not any(found.values()):
        raise GuardFailed("a result is flagged without a category")
    return found, given


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def build(config: ModerationConfig, ports: Ports) -> ModerationGuard:
    """The guard for `config`.

    Raises:
        ValueError: OpenAI is asked without a key, or there is no way to call out here.
    """
    if ports.call is None:
        raise ValueError("needs a way to call out, which is not to be had here")
    if config.api_key is None and config.api_base == OPENAI:
        raise ValueError("needs an api_key, such as os.environ/OPENAI_API_KEY")
    rules = {
        name: rule if isinstance(rule, CategoryRule) else CategoryRule(action=rule)
        for name, rule in config.categories.items()
    }
    return ModerationGuard(config, rules, CategoryRule(action=config.action), ports.seconds, ports.call)
