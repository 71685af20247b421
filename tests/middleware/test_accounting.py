"""One record of each text completion, before its last byte leaves, whatever becomes of it; none of anything else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.config.ledger import LedgerSettings
from gateway.config.load import from_mapping
from gateway.config.otel import of
from gateway.config.source import Source
from gateway.errors import GuardrailUnavailable
from gateway.exchange import SCOPE_KEY, Exchange
from gateway.identity.end_users import naming
from gateway.ledger import journal
from gateway.ledger.books import Books
from gateway.telemetry import usage as telling_usage
from gateway.telemetry.options import options
from gateway.usage import UsageRecord
from gateway.wire import asgi, json
from tests.telemetry.kit import BLOCKED, KEY, MASKED, Told, telling

MASTER = (b"authorization", f"Bearer {KEY}".encode())


class Kept:
    """A gateway with a ledger, and the Exchange of each request that came through it."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.exchanges: list[Exchange] = []
        serving = told.gateway.serving
        inner = serving.app

        async def app(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
            try:
                await inner(scope, receive, send)
            finally:
                self.exchanges.append(scope[SCOPE_KEY])

        told.gateway.serving = replace(serving, app=app)

    @property
    def books(self) -> Books:
        return self.told.gateway.books

    async def records(self) -> list[UsageRecord]:
        """What is in the database, the oldest first."""
        return list((await self.books.asked().records(limit=1000)).records)[::-1]


@asynccontextmanager
async def keeping(folder: Path, **options: Any) -> AsyncIterator[Kept]:
    general = {"database_url": f"sqlite:///{folder}/gateway.db"}
    end_users = {"default_budget": None, **options.pop("end_users", {})}
    async with telling(folder, general=general, end_users=end_users, **options) as told:
        yield Kept(told)


WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ok", {}),
    ("ok", {"prompt": ["one", "two", "three"]}),
    ("ok", {"n": 2, "stream_options": {"include_usage": True}}),
    ("ok", {"stop": "hello"}),
    ("ok", {"prompt": f"Mail {MASKED} now"}),
    ("ok", {"prompt": f"a {BLOCKED} please"}),
    ("ok", {"temperature": 3}),
    ("ok", {"max_tokens": 0, "echo": True}),
    ("leaky", {}),
    ("invent", {}),
    ("429", {}),
    ("500", {}),
    ("400", {}),
    ("cut", {}),
    ("stall", {}),
    ("nobody", {}),
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "asked"), WAYS, ids=lambda way: str(way))
def test_what_is_recorded_before_the_last_byte_is_what_is_known_after_it(model, asked, stream, tmp_path):
    if "stream_options" in asked and not stream:
        asked = {name: value for name, value in asked.items() if name != "stream_options"}

    async def run():
        async with keeping(tmp_path) as kept:
            await kept.told.ask(model, **{"stream": stream, **asked})
            (record,) = await kept.records()
            (exchange,) = kept.exchanges
            again = telling_usage.record(exchange, kept.told.gateway.observing.telemetry.options)
            return record, exchange.record, again, kept.told.lines()

    stored, made, again, lines = asyncio.run(run())
    kept = {"duration": 0, "overhead": 0, "inputs": None, "outputs": None}
    assert made._replace(**kept) == again._replace(**kept)
    assert (stored.status, stored.outcome, stored.cost, stored.decisions) == (
        made.status,
        made.outcome,
        made.cost,
        made.decisions,
    )
    (line,) = lines
    assert line["gateway.outcome"] == made.outcome
    assert line.get("gen_ai.usage.output_tokens", 0) == made.output_tokens


def test_the_record_is_in_the_journal_when_the_last_byte_leaves(tmp_path):
    """A database that nobody can open: what is in the journal stays there."""

    async def run(stream):
        async with telling(tmp_path, general={"database_url": "postgresql://nobody:x@127.0.0.1:1/x"}) as told:
            told.gateway.books.options = replace(told.gateway.books.options, folder=tmp_path / "journal")
            response = await asgi.request(
                told.gateway,
                "POST",
                "/v1/completions",
                [MASTER, (b"x-request-id", b"mine")],
                json.dumps({"model": "ok", "prompt": "Say hello there", "stream": stream}),
            )
            lines = []
            async for _ in response.chunks():
                files = (tmp_path / "journal").glob(f"*{journal.SUFFIX}")
                lines = [line for file in files for line in file.read_bytes().splitlines()]
            return lines

    for stream in (False, True):
        lines = [json.loads(line) for line in asyncio.run(run(stream))]
        assert {line["request_id"] for line in lines} == {"mine"}
        assert len(lines) == 1 + stream, "that of the first run is still there"


def test_an_answer_that_ends_before_its_call_has_is_recorded_with_what_the_call_used(tmp_path):
    """A step between them fails, or has enough, when the stream's tokens are not told yet."""

    async def run(failing):
        async with keeping(tmp_path) as kept:
            route = kept.told.gateway.serving.routes[0]
            endpoint = route.app

            async def enough(deltas):
                async for delta in deltas:
                    yield delta
                    break
                if failing:
                    raise GuardrailUnavailable("It fails.")

            async def filtered(scope, receive, send):
                scope[SCOPE_KEY].filters.append(enough)
                await endpoint(scope, receive, send)

            route.app = filtered
            _, answer = await kept.told.ask("ok", stream=True, stream_options={"include_usage": True})
            return (await kept.records())[-1], answer

    for failing in (False, True):
        record, answer = asyncio.run(run(failing))
        assert record.outcome == ("error" if failing else "allowed")
        assert (record.estimated, bool(record.input_tokens), bool(record.output_tokens)) == (True, True, True)
        assert record.cost
        assert failing or b'"prompt_tokens":%d,' % record.input_tokens in answer


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_request_whose_client_leaves_is_recorded_with_what_it_used(stream, tmp_path):
    async def run():
        async with keeping(tmp_path) as kept:
            await kept.told.leave("stall", stream=stream)
            return await kept.records()

    (record,) = asyncio.run(run())
    assert (record.outcome, record.status, record.estimated) == ("cancelled", 499, True)
    assert record.input_tokens
    assert record.cost is not None
    assert record.cost > 0


def test_a_server_that_closes_records_what_it_cuts_off(tmp_path):
    async def run():
        async with keeping(tmp_path) as kept:
            asking = asyncio.create_task(kept.told.ask("stall"))
            await kept.told.provider.called.wait()
            asking.cancel()
            await asyncio.wait((asking,))
            return await kept.records()

    (record,) = asyncio.run(run())
    assert record.outcome in ("cancelled", "error")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/v1/completions", [], b"{}"),
        ("POST", "/v1/completions", [(b"authorization", b"Bearer gk-unknown")], b"{}"),
        ("POST", "/v1/completions", [(b"x-long", b"x" * 40_000)], b"{}"),
        ("POST", "/v1/completions", [(b"content-length", b"99999999")], b"{}"),
        ("GET", "/v1/completions", [MASTER], b""),
        ("GET", "/v1/models", [MASTER], b""),
        ("POST", "/v1/chat/completions", [MASTER], b"{}"),
        ("POST", "/v1/guardrails/check", [MASTER], b"{}"),
        ("GET", "/admin/usage", [MASTER], b""),
    ],
)
def test_who_is_not_known_and_what_is_no_completion_is_not_recorded(method, path, headers, body, tmp_path):
    async def run():
        async with keeping(tmp_path) as kept:
            response = await asgi.request(kept.told.gateway, method, path, headers, body)
            await response.read()
            return await kept.records()

    assert asyncio.run(run()) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": "ok"}', b"\xff"])
def test_a_request_that_cannot_be_read_is_recorded_as_an_error_of_its_key(body, tmp_path):
    async def run():
        async with keeping(tmp_path) as kept:
            await kept.told.ask("ok", body=body)
            return await kept.records()

    (record,) = asyncio.run(run())
    assert (record.status, record.outcome, record.key_alias, record.key_id) == (400, "error", "master", None)
    assert (record.input_tokens, record.cost) == (None, None)


def test_a_virtual_key_is_recorded_by_alias_and_id(tmp_path):
    async def run():
        async with keeping(tmp_path) as kept:
            made = await asgi.request(
                kept.told.gateway, "POST", "/admin/keys", [MASTER], json.dumps({"alias": "team", "tags": ["prod"]})
            )
            key = json.loads(await made.read())
            await kept.told.ask("ok", key=key["key"], user="bob")
            return key["id"], await kept.records()

    key_id, (record,) = asyncio.run(run())
    assert (record.key_alias, record.key_id, record.end_user, record.tags) == ("team", key_id, "bob", ("prod",))
    assert record.cost == Decimal("0.000048")


def test_key_log_and_ledger_agree_on_one_pseudonym(tmp_path):
    async def run():
        async with keeping(tmp_path, end_users={"pseudonymize": True}) as kept:
            await kept.told.ask("ok", user="bob")
            return await kept.records(), kept.told.lines(), kept.told.gateway.serving.settings

    (record,), (line,), settings = asyncio.run(run())
    assert record.end_user == line["user.id"] == naming(settings).kept("bob")


def test_a_gateway_without_a_secret_has_one_pseudonym_for_a_name_too():
    settings = from_mapping({"end_users": {"pseudonymize": True}}).settings
    assert options(settings, of(settings)).user("bob") == naming(settings).kept("bob")


def test_a_request_that_could_not_be_recorded_is_refused_where_that_is_wanted(tmp_path):
    async def run():
        async with keeping(tmp_path) as kept:
            books = kept.books
            books.options = replace(books.options, folder=tmp_path / "j", max_bytes=1, when_full="refuse")
            first = await kept.told.ask("ok")
            books.asked()._journal.append(b"{}\n")
            response = await asgi.request(
                kept.told.gateway, "POST", "/v1/completions", [MASTER], b'{"model": "ok", "prompt": "p"}'
            )
            body = json.loads(await response.read())
            return first[0], response.status, response.headers["retry-after"], body["error"]["code"]

    assert asyncio.run(run()) == (200, 503, "5", "ledger_full")


def test_nothing_that_policies_mask_or_block_is_in_the_ledger_or_its_journal(tmp_path):
    async def run():
        async with keeping(tmp_path, capture_content="guarded") as kept:
            for model, asked in WAYS:
                for stream in (False, True):
                    await kept.told.ask(
                        model, **{**asked, "prompt": f"{MASKED} {BLOCKED}", "stream": stream, "stream_options": None}
                    )
            written = b"".join(file.read_bytes() for file in tmp_path.glob("gateway.db*/*"))
            return written, await kept.records()

    written, records = asyncio.run(run())
    assert len(records) == 2 * len(WAYS)
    everything = written + b"".join(file.read_bytes() for file in tmp_path.rglob("gateway.db*") if file.is_file())
    assert MASKED.encode() not in everything
    assert BLOCKED.encode() not in everything


def test_a_reload_that_changes_the_ledger_says_that_it_waits(tmp_path):
    async def run():
        async with keeping(tmp_path) as kept:
            gateway = kept.told.gateway
            settings = gateway.serving.settings
            changed = settings.model_copy(update={"ledger": LedgerSettings(retention_days=30)})
            gateway.use(changed, Source())
            return [line["setting"] for line in kept.told.lines("setting_waits_for_restart")]

    assert asyncio.run(run()) == ["ledger"]
