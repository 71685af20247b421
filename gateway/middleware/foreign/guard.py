"""The policies in front of somebody else's app: its completions are judged on their way in and on their way out.

The app may be anything that speaks OpenAI's completions and chat completions over ASGI. Nothing it reads is trusted to
be where the API says: every string of a body is a text unless it is known to be something else (`gateway.wire.walk`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import exchange as exchanges
from gateway.errors import GatewayError, UnsupportedParameter
from gateway.exchange import Exchange
from gateway.guards.base import Context, Text
from gateway.guards.cache import VerdictCache
from gateway.guards.engine import judge
from gateway.guards.fields import Fields
from gateway.guards.matching import draw
from gateway.guards.policy import Policy, begin
from gateway.guards.vault import Vault
from gateway.guards.verdict import Verdict
from gateway.middleware.body_limit import BodyLimitMiddleware
from gateway.middleware.foreign import body as foreign_body
from gateway.middleware.foreign import who as foreign_who
from gateway.middleware.foreign.answer import Answering
from gateway.middleware.foreign.body import Body
from gateway.middleware.foreign.capture import Keeper
from gateway.middleware.foreign.observation import OBSERVATION_KEY, Observation
from gateway.middleware.foreign.rendering import Rendering, withhold
from gateway.middleware.foreign.scope import is_farewell
from gateway.middleware.guard_input import context_of, failed, refusal
from gateway.wire import chat, json, walk
from gateway.wire.paths import Language, below_root, foreign_model_in, language_of

Unreadable = Literal["refuse", "allow"]
"""What is done about a part that no policy can read (a picture, sound, a file, token ids) while one is enforced."""


class ForeignGuardMiddleware:
    """Judges what an app is asked and what it answers; wants an Exchange in the scope.

    Args:
        app: the app, or the next step.
        policies: ready for the engine; none of them means that this step does nothing.
        guard_all: judge the texts and the JSON of every other path as well.
        unreadable: `refuse` answers 400 for a part that no policy can read while one is enforced; `allow` lets it pass,
            and its verdicts say `skipped`.
        max_bytes: bound of a body that is read, also once decompressed.
        read_timeout: seconds a client has to send it.
        end_user_sources: where the end user's name is read, first found first.
    """

    def __init__(
        self,
        app: ASGIApp,
        policies: Sequence[Policy],
        *,
        guard_all: bool = False,
        unreadable: Unreadable = "refuse",
        max_bytes: int = 8_388_608,
        read_timeout: float = 30.0,
        end_user_sources: tuple[str, ...] = foreign_who.SOURCES,
    ) -> None:
        self.app = app
        self.policies = tuple(policy for policy in policies if policy.mode != "off")
        self.guard_all = guard_all
        self.unreadable = unreadable
        self.max_bytes = max_bytes
        self.read_timeout = read_timeout
        self.end_user_sources = end_user_sources
        self.cache = VerdictCache()
        self.bounded = BodyLimitMiddleware(self._guarded, max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.policies or not self._concerns(scope):
            await self.app(scope, receive, send)
            return
        await self.bounded(scope, receive, send)

    def _concerns(self, scope: Scope) -> bool:
        if language_of(below_root(scope)) is not None:
            return True
        if not self.guard_all:
            return False
        kind = foreign_body.content_type(scope["headers"])
        return not kind or "json" in kind or kind.startswith(foreign_body.PLAIN_TYPES)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, observation = exchanges.of(scope), _held(scope)
        path = below_root(scope)
        language = language_of(path)
        raw = await foreign_body.read(receive, self.read_timeout)
        body = foreign_body.opened(raw, scope, self.max_bytes, text=language is None) if raw else Body(raw)
        exchange.request = chat.request(body.value, language, foreign_model_in(path))
        foreign_who.tell(exchange, scope, exchange.request, self.end_user_sources)
        vault = Vault()
        sent: bytes | None = None
        if raw:
            sent = await self._judged(exchange, body, language, vault)
        rendering = Rendering(language, exchange, self.policies)
        if exchange.withheld is not None:
            await withhold(rendering, exchange.withheld, send)
            return
        fields = Fields(
            self.policies,
            context_of(exchange, exchange.request, "output"),
            vault=vault,
            draw=lambda policy: draw(policy.name, exchange.id),
        )
        exchange.judges.append(fields.verdicts)
        if observation is not None and fields.idle:
            observation.unguarded()
        keeper = Keeper(exchange.capture, vault)
        allow, head = self.unreadable == "allow", scope["method"] == "HEAD"
        answering = Answering(fields, rendering, send, keeper, allow=allow, head=head)
        await self._call(scope, _replayed(raw if sent is None else sent, receive, answering), answering, sent)

    async def _call(self, scope: Scope, receive: Receive, answering: Answering, sent: bytes | None) -> None:
        """Call the app with what it may see. An app that is stopped because of its answer has not failed."""
        changed = foreign_body.forwarded(scope, sent)
        before = {name: scope[name] for name in (*changed, exchanges.SCOPE_KEY)}
        scope.update(changed)
        try:
            await self.app(scope, receive, answering.send)
        except Exception as error:
            if not (answering.stopped and is_farewell(error)):
                raise
        finally:
            answering.over()
            scope.update(before)

    async def _judged(self, exchange: Exchange, body: Body, language: Language | None, vault: Vault) -> bytes | None:
        """The body that the app is sent instead of the client's; None for the client's own.

        Raises:
            GatewayError: the refusal of a policy, or of a body that none can read.
        """
        assert exchange.request is not None  # noqa: S101 - set by the caller
        context = context_of(exchange, exchange.request, "input")
        if body.fault is not None:
            self._unread(exchange, context, body.fault, allowed=False)
            return None
        found = walk.Walker(chat=language is not None).walk(body.value)
        skipped = False
        if found.unreadable:
            skipped = self._unread(exchange, context, _unreadable(found), allowed=self.unreadable == "allow")
        texts = [Text(path, value) for path, value in walk.texts(found.leaves)]
        outcome = await judge(
            self.policies,
            texts,
            context,
            vault=vault,
            cache=self.cache,
            draw=lambda policy: draw(policy.name, exchange.id),
        )
        verdicts = tuple(
            [_skipped(one) if skipped else one for one in outcome.verdicts if texts or skipped or one.status != "ok"]
        )
        exchange.judges.append(lambda: verdicts)
        if outcome.blocked is not None:
            exchange.withheld = self._said(outcome.blocked, exchange, language)
            return None
        if outcome.changed:
            walk.rewrite(found.leaves, {text.path: text.value for text in outcome.texts})
        exchange.confidential = chat.confidential(found.value)
        if not outcome.changed and not body.repeated:
            return None
        return found.value.encode() if body.plain else json.dumps(found.value)

    def _unread(self, exchange: Exchange, context: Context, fault: GatewayError, *, allowed: bool) -> bool:
        """Refuse what nobody can read while a policy is enforced, or say that it was not judged.

        Gives whether there is a policy that should have read it. A body that is not read at all has its verdicts here.
        """
        runs = begin(self.policies, context, lambda policy: draw(policy.name, exchange.id))
        whole = not isinstance(fault, UnsupportedParameter)
        if not allowed and any(run.policy.enforced and run.status != "skipped" for run in runs):
            raise fault
        if whole:
            for run in runs:
                run.fail("skipped")
            verdicts = tuple(run.verdict("input") for run in runs)
            exchange.judges.append(lambda: verdicts)
        return bool(runs)

    def _said(self, blocked: Verdict, exchange: Exchange, language: Language | None) -> str:
        """What is answered in place of an answer.

        Raises:
            GatewayError: the policy refuses with an error instead, or no answer can be made up for this path.
        """
        on_block = next(policy.on_block for policy in self.policies if policy.name == blocked.policy)
        if on_block.input == "error" or failed(blocked) or language is None:
            raise refusal(blocked, exchange.id, on_block.message)
        return on_block.message


def _held(scope: Scope) -> Observation | None:
    """Who watches the request, where somebody does: what comes before the policies is not for telling."""
    observation: Observation | None = scope.get(OBSERVATION_KEY)
    if observation is not None:
        observation.hold()
    return observation


def _unreadable(found: walk.Found) -> UnsupportedParameter:
    path = found.unreadable[0]
    field = path.partition("[")[0].partition(".")[0]
    return UnsupportedParameter(
        f"Policies cannot read {path}, which is no text; send it as text, or have the operator allow unreadable parts.",
        param=field,
    )


def _skipped(verdict: Verdict) -> Verdict:
    return replace(verdict, status="skipped") if verdict.status == "ok" else verdict


def _replayed(body: bytes, receive: Receive, answering: Answering) -> Receive:
    """The app's `receive`: the body, then whatever comes from the client; once stopped, the client has left."""
    rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        if answering.stopped:
            return {"type": "http.disconnect"}
        return rest.pop() if rest else await receive()

    return replay
