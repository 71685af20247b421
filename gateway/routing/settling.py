"""What a call used where its provider does not say: whether there is anything to pay, and how many tokens."""

from gateway.errors import UpstreamConnectionError, UpstreamInvalidResponse, UpstreamTimeout
from gateway.exchange import CallRecord, Exchange
from gateway.ledger import tokens
from gateway.routing.deployments import Bound
from gateway.telemetry import conventions as names
from gateway.types import Call, Prompt, Usage

_LOST = UpstreamConnectionError | UpstreamInvalidResponse
"""What can happen to an answer that a provider has made."""


def worked(record: CallRecord, written: bool) -> bool:
    """Whether the provider has worked for a call, and will bill it, though it never told how much.

    A call that was refused has not been worked for, nor one that was never sent. One that was cut short has, also
    when nothing had come yet, one that nobody waited for any longer, and one whose answer failed on its way here.

    Args:
        written: whether anything of the answer came.
    """
    if record.status is not None and record.status >= 300:
        return False
    if written or record.cut:
        return record.sent
    if isinstance(record.error, UpstreamTimeout):
        return record.sent and record.error.which != "connect"
    return record.status is not None and isinstance(record.error, _LOST | None)


def estimate(call: Call, text: str, bound: Bound) -> Usage:
    """Tokens of a call whose provider sent no counts, with the model's vocabulary or, where unknown, cl100k's.

    A chat is more than its texts: OpenAI's models see three tokens around each message, its role, and three where the
    answer begins (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken_models); other models' chat
    templates are of that order. A native text call is its prompt and its suffix.
    """
    encoding = bound.encoding
    if isinstance(call.prompt, tuple):
        asked = len(call.prompt)
    elif bound.shape.support.text:
        asked = tokens.estimate(call.prompt, encoding)
    else:
        asked = tokens.CHAT + sum(tokens.MESSAGE + tokens.estimate(each.content, encoding) for each in call.messages)
    if call.suffix and bound.shape.support.text:
        asked += tokens.estimate(call.suffix, encoding)
    return Usage(asked, tokens.estimate(text, encoding), estimated=True)


def uncalled(prompts: tuple[Prompt, ...], bound: Bound) -> Usage:
    """The usage of prompts that are answered without a call: they, counted here."""
    sizes = (tokens.estimate(prompt, bound.encoding) if isinstance(prompt, str) else len(prompt) for prompt in prompts)
    return Usage(sum(sizes), estimated=True)


def spent(exchange: Exchange) -> dict[str, int | float]:
    """What the gateway's own calls (a judge's, a probe's) used and cost in USD, in the names of telemetry."""
    told: dict[str, int | float] = {}
    if exchange.usage is not None:
        told[names.USAGE_INPUT_TOKENS] = exchange.usage.input_tokens
        told[names.USAGE_OUTPUT_TOKENS] = exchange.usage.output_tokens
    if exchange.cost is not None and exchange.cost.total is not None:
        told[names.USAGE_COST] = float(exchange.cost.total)
    return told
