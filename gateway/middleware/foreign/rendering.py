"""How a foreign app's answer is replaced: in the app's own language, or by an error (contract §4)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Send

from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.guards.policy import Policy
from gateway.guards.verdict import Verdict
from gateway.middleware.foreign.capture import Keeper
from gateway.middleware.guard_input import refusal
from gateway.types import CompletionRequest
from gateway.wire import chat, json, sse
from gateway.wire.paths import Language


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is needed to answer one request in an app's place. `language` is None where no answer can be made up."""

    language: Language | None
    exchange: Exchange
    policies: Sequence[Policy]

    @property
    def request(self) -> CompletionRequest:
        """What was asked."""
        request = self.exchange.request
        assert request is not None  # noqa: S101 - an answer has its request
        return request

    @property
    def choices(self) -> int:
        """How many choices were asked for."""
        return len(self.request.prompts) * self.request.n

    def opening(self, *, stream: bool) -> dict[str, Any]:
        """The envelope of an answer that the app has given none for."""
        assert self.language is not None  # noqa: S101 - only asked of completions
        return chat.opening(self.language, self.request.model, stream=stream)

    def whole(
        self, blocked: Verdict, head: Mapping[str, Any], status: int, seen: int, keeper: Keeper
    ) -> tuple[int, bytes]:
        """Status and body of a whole answer that a policy blocks; `seen` is how many choices it had.

        Raises:
            GatewayError: the policy answers with an error, or this is no answer of completions to put words into.
        """
        on_block = next(policy.on_block for policy in self.policies if policy.name == blocked.policy)
        if on_block.output == "error" or self.language is None or not seen:
            error = refusal(blocked, self.exchange.id, on_block.message)
            if status >= 400:
                error.status = status
            raise error
        around = head or self.opening(stream=False)
        self.ended(range(seen))
        keeper.instead(seen, on_block.message)
        return status, json.dumps(chat.withheld(around, self.language, on_block.message, seen))

    def ended(self, choices: Iterable[int]) -> None:
        """These choices end because a policy says so, whatever the app says of them."""
        self.exchange.finish_reasons.update(dict.fromkeys(choices, "content_filter"))

    def end(self, blocked: Verdict, head: Mapping[str, Any], over: Sequence[int]) -> bytes:
        """The end of a stream that a policy blocks: the choices that are not over yet end here."""
        if self.language is None:
            on_block = next(policy.on_block for policy in self.policies if policy.name == blocked.policy)
            return failure(refusal(blocked, self.exchange.id, on_block.message))
        ending = b""
        if over:
            self.ended(over)
            around = head or self.opening(stream=True)
            ending = sse.encode(json.dumps(chat.ending(around, over, self.language)))
        return ending + sse.DONE


def failure(error: GatewayError) -> bytes:
    """The end of a stream that cannot go on."""
    return sse.encode(json.dumps(error.body())) + sse.DONE


async def withhold(rendering: Rendering, message: str, send: Send) -> None:
    """Answer in the app's place: a policy blocked the request and says so."""
    language = rendering.language
    assert language is not None  # noqa: S101 - what has no language is refused with an error
    rendering.ended(range(rendering.choices))
    stream = rendering.request.stream
    around = rendering.opening(stream=stream)
    if stream:
        body = chat.withheld_stream(around, language, message, rendering.choices)
        own = [*chat.STREAM_HEADERS]
    else:
        body = json.dumps(chat.withheld(around, language, message, rendering.choices))
        own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": own})
    await send({"type": "http.response.body", "body": body})
