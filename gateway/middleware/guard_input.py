"""Judges the prompts of a request before anybody is called with them, and rewrites what the policies say."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import GatewayError, GuardrailUnavailable, PolicyBlocked, UnsupportedParameter
from gateway.exchange import Exchange
from gateway.guards.base import Context, Stage, Text
from gateway.guards.beside import Beside
from gateway.guards.cache import VerdictCache
from gateway.guards.engine import judge
from gateway.guards.matching import draw
from gateway.guards.policy import Policy
from gateway.guards.vault import Vault
from gateway.guards.verdict import Verdict, gravest
from gateway.types import CompletionRequest, Delta, Prompt

VAULT_KEY = "gateway.vault"
"""Where a scope carries the request's vault, from its prompts to its answer."""

Decode = Callable[[str, tuple[int, ...]], str | None]
"""Token ids of a model, by its alias, as text; None when its tokenizer is not known."""


Counts = defaultdict[str, Counter[str]]
"""How often each policy decided what, and how often its status was another than `ok`."""


class GuardInputMiddleware:
    """Runs the input policies over every prompt and the suffix; prompts of token ids are judged as the text they are.

    Args:
        app: the next step.
        policies: all that are loaded; none of them means that this step does nothing.
        decode: reads token ids.
        counts: where decisions are counted, those about the answer too; None for nowhere.
    """

    def __init__(self, app: ASGIApp, policies: Sequence[Policy], decode: Decode, counts: Counts | None = None) -> None:
        self.app = app
        self.counts = counts
        self.any = bool(policies)
        self.policies = tuple(policy for policy in policies if "input" in policy.stages and policy.mode != "off")
        self.decode = decode
        self.cache = VerdictCache()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.any or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchanges.of(scope)
        beside: Beside | None = None
        try:
            if exchange.request is not None:
                scope[VAULT_KEY] = vault = Vault()
                beside = await self._judge(exchange, exchange.request, vault)
            await self.app(scope, receive, send)
        finally:
            if beside is not None:
                beside.close()
            if self.counts is not None:
                for judgement in exchange.judgements():
                    self.counts[judgement.policy][judgement.decision] += 1
                    if judgement.status != "ok":
                        self.counts[judgement.policy][judgement.status] += 1

    async def _judge(self, exchange: Exchange, request: CompletionRequest, vault: Vault) -> Beside | None:
        """Judge the prompts; what is given back judges on beside the call, which nobody is answered from until then.

        Raises:
            GatewayError: the refusal of a policy.
        """
        texts = texts_of(request, self._readable)
        outcome = await judge(
            self.policies,
            texts,
            context_of(exchange, request, "input"),
            vault=vault,
            cache=self.cache,
            draw=lambda policy: draw(policy.name, exchange.id),
            beside=not request.echo,  # an echo is written after every filter, and without a call there may be no answer
        )
        beside = outcome.beside
        exchange.judges.append(beside.verdicts if beside is not None else lambda: outcome.verdicts)
        if outcome.blocked is not None:
            exchange.withheld = self._said(outcome.blocked, exchange)
        elif outcome.changed:
            exchange.request = with_texts(request, outcome.texts)
        if beside is not None:
            beside.start()
            # The last filter, after those that judge the answer: what it holds is ready to leave.
            exchange.filters.append(
                lambda deltas: beside.held(deltas, lambda verdict: self._withheld(verdict, exchange))
            )
        return beside

    def _said(self, blocked: Verdict, exchange: Exchange) -> str:
        """What every choice says in place of an answer.

        Raises:
            GatewayError: the policy refuses with an error instead.
        """
        on_block = next(policy.on_block for policy in self.policies if policy.name == blocked.policy)
        if on_block.input == "error" or failed(blocked):
            raise refusal(blocked, exchange.id, on_block.message)
        return on_block.message

    def _withheld(self, blocked: Verdict, exchange: Exchange) -> list[Delta]:
        """`_said` as the answer to a request whose call is under way."""
        request, said = exchange.request, self._said(blocked, exchange)
        assert request is not None  # noqa: S101 - a filter is applied to the answer of a request
        choices = range(len(request.prompts) * request.n)
        return [Delta(index, said, finish_reason="content_filter") for index in choices]

    def _readable(self, model: str, ids: tuple[int, ...]) -> str:
        text = self.decode(model, ids)
        if text is None:
            raise UnsupportedParameter(
                "This model's tokenizer is not known here, so policies cannot read token ids; send the prompt as text.",
                param="prompt",
            )
        return text


def context_of(exchange: Exchange, request: CompletionRequest, stage: Stage) -> Context:
    """For whom and for what the texts of this request are judged."""
    return Context(
        stage=stage,
        model=request.model,
        end_user=exchange.end_user,
        key=exchange.key_alias,
        tags=exchange.tags,
        request_id=exchange.id,
        stream=request.stream,
        max_tokens=request.max_tokens,
        confidential=exchange.confidential if stage == "output" else (),
    )


def texts_of(request: CompletionRequest, readable: Callable[[str, tuple[int, ...]], str]) -> list[Text]:
    """Every text of a request that reaches a model: its prompts in order, then its suffix."""
    texts = [
        Text(f"prompt[{number}]", prompt if isinstance(prompt, str) else readable(request.model, prompt))
        for number, prompt in enumerate(request.prompts)
    ]
    if request.suffix is not None:
        texts.append(Text("suffix", request.suffix))
    return texts


def with_texts(request: CompletionRequest, texts: Sequence[Text]) -> CompletionRequest:
    """`request` with `texts`, as `texts_of` gives them, in place of its own; token ids stay where nothing changed."""
    values = {text.path: text.value for text in texts}
    prompts: list[Prompt] = []
    for number, prompt in enumerate(request.prompts):
        prompts.append(values.get(f"prompt[{number}]", prompt))
    return replace(request, prompts=tuple(prompts), suffix=values.get("suffix", request.suffix))


def failed(verdict: Verdict) -> bool:
    """Whether a policy blocks only because it could not be judged."""
    return verdict.status in ("error", "timeout") and gravest(verdict.findings) != "block"


def refusal(verdict: Verdict, request_id: str, message: str) -> GatewayError:
    """The error of a verdict that blocks: 400 for what was found, 503 where a guard failed and its policy is closed."""
    if failed(verdict):
        return GuardrailUnavailable(
            f"The policy {verdict.policy} could not judge this request and lets nothing pass unjudged; try again later."
        )
    grave = next(finding for finding in verdict.findings if finding.action == "block")
    guardrail = {
        "policy": verdict.policy,
        "guard": grave.guard,
        "category": grave.category,
        "request_id": request_id,
    }
    field = grave.path.partition("[")[0] if verdict.stage == "input" else None
    said = message if verdict.stage == "output" else f"The policy {verdict.policy} does not allow this {field}."
    return PolicyBlocked(said, param=field, guardrail=guardrail)
