"""The guard `webhook`: any service that speaks this request and answer.

Request: `POST url`, `content-type: application/json`, with two headers:
- `x-gateway-timestamp`: seconds since the epoch, as digits;
- `x-gateway-signature`: `v1=` and the HMAC-SHA256, in hex, keyed with the shared secret in UTF-8, of the timestamp, a
  full stop and the body's bytes.
A service computes the same over what it received, compares in constant time, and refuses a timestamp that is minutes
old.

    {"version": 1, "stage": "input", "request_id": "…", "model": "…", "end_user": null, "key": null, "tags": [],
     "texts": [{"path": "prompt[0]", "text": "…"}]}

Answer: 200 and

    {"findings": [{"rule": "no-ponies", "category": "topics", "action": "block", "path": "prompt[0]",
                   "start": 0, "end": 4, "score": 0.9}]}

`rule` and `path` are required; an empty list is a pass. `start` and `end` count characters (code points); both 0, or
left out, is about the whole text. Any other answer, another status or another key is an error of the guard.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.fields import HttpUrl, SecretText, Strict
from gateway.config.secret import Secret
from gateway.guards.base import Action, Context, Finding, Scope, Text
from gateway.guards.ports import Caller, GuardFailed, Ports
from gateway.guards.remote import ask
from gateway.guards.reported import findings
from gateway.types import HttpRequest
from gateway.version import __version__
from gateway.wire import json

TIMESTAMP = "x-gateway-timestamp"
SIGNATURE = "x-gateway-signature"
MIN_SECRET = 16


def _long(secret: Secret) -> Secret:
    if len(secret.reveal()) < MIN_SECRET:
        raise ValueError(f"must be at least {MIN_SECRET} characters long")
    return secret


class WebhookConfig(Strict):
    """Settings of the guard `webhook`."""

    url: HttpUrl = Field(description="Where texts are sent to be judged.")
    secret: Annotated[SecretText, AfterValidator(_long)] = Field(
        description="The key requests are signed with, at least 16 characters; best a reference such as os.environ/X."
    )
    action: Action = Field("block", description="What is done about a finding that does not say.")


def signature(secret: Secret, timestamp: str, body: bytes) -> str:
    """What `x-gateway-signature` holds for a request with this `timestamp` and `body`."""
    return "v1=" + hmac.digest(secret.reveal().encode(), timestamp.encode() + b"." + body, "sha256").hex()


@dataclass(frozen=True, slots=True)
class WebhookGuard:
    """Asks one service about all texts of a stage in one call."""

    config: WebhookConfig
    ports: Ports
    call: Caller = field(repr=False)
    name: str = "webhook"
    scope: Scope = "whole"

    async def check(self, texts: Sequence[Text], context: Context) -> list[Finding]:
        """What the service reports.

        Raises:
            GuardFailed: the answer is not as documented. TimeoutError: there is none in time.
        """
        answer = await ask(self.call, self._request(texts, context), self.ports.seconds)
        if answer.keys() != {"findings"}:
            raise GuardFailed("the answer must have the key findings and no other")
        return findings(self.name, answer["findings"], texts, self.config.action)

    def _request(self, texts: Sequence[Text], context: Context) -> HttpRequest:
        body = json.dumps(
            {
                "version": 1,
                "stage": context.stage,
                "request_id": context.request_id,
                "model": context.model,
                "end_user": context.end_user,
                "key": context.key,
                "tags": list(context.tags),
                "texts": [{"path": text.path, "text": text.value} for text in texts],
            }
        )
        timestamp = str(int(self.ports.clock()))
        headers: Mapping[str, str] = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": f"guardrail-gateway/{__version__}",
            TIMESTAMP: timestamp,
            SIGNATURE: signature(self.config.secret, timestamp, body),
        }
        return HttpRequest("POST", self.config.url, headers, body)


def build(config: WebhookConfig, ports: Ports) -> WebhookGuard:
    """The guard for `config`.

    Raises:
        ValueError: there is no way to call out here.
    """
    if ports.call is None:
        raise ValueError("needs a way to call out, which is not to be had here")
    return WebhookGuard(config, ports, ports.call)
