"""The facade: it tells everything of a request and never stands in its way."""

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from gateway.exchange import Exchange
from gateway.telemetry import logs
from gateway.telemetry.logs import Logger
from gateway.telemetry.options import Options
from gateway.telemetry.span import Span
from gateway.telemetry.telemetry import Exporters, Telemetry
from gateway.wire import asgi
from tests.telemetry.kit import telling, written

SECRET = "what it is about"


class Kept:
    """An exporter that keeps what it is given."""

    def __init__(self, fails: bool = False) -> None:
        self.spans: list[Span] = []
        self.started = self.closed = 0
        self.fails = fails
        self.trace: object = "never started"

    def start(self) -> None:
        self.started += 1
        self.trace = logs.trace.get()

    def add(self, spans: Sequence[Span]) -> None:
        if self.fails:
            raise RuntimeError(SECRET)
        self.spans += spans

    async def flush(self) -> None: ...

    async def close(self, seconds: float) -> None:
        self.closed += 1

    def dropped(self) -> int:
        return 1


class Broken:
    """Metrics that fail whatever they are asked."""

    def begin(self, exchange: Exchange) -> None:
        raise ValueError(SECRET)

    end = observe = begin


def request() -> Exchange:
    made = Exchange("r", "POST", "/v1/completions")
    made.status = 200
    return made


async def one(telemetry: Telemetry, exchange: Exchange | None = None) -> Exchange:
    exchange = exchange or request()
    telemetry.begin(exchange)
    telemetry.finished(exchange)
    return exchange


def test_a_fault_in_telemetry_is_counted_and_logged_once_and_reaches_no_request():
    with written() as (log, out):
        telemetry = Telemetry(Options(), log, Exporters(lambda: Kept(fails=True)), Broken())

        async def many() -> None:
            for _ in range(3):
                await one(telemetry)

        asyncio.run(many())
        lines = [orjson.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("request") == 3
    faults = [line for line in lines if line["event"] == "telemetry_fault"]
    assert [(line["step"], line["error"]) for line in faults] == [("metrics", "ValueError"), ("spans", "RuntimeError")]
    assert telemetry.faults.count == 3 * 3 + 3
    assert SECRET not in out.getvalue().decode()


def test_a_log_that_cannot_be_written_reaches_no_request():
    with written() as (log, out):
        out.close()
        kept, before = Kept(), logs.lost()
        telemetry = Telemetry(Options(), log, Exporters(lambda: kept))
        asyncio.run(one(telemetry))
    assert logs.lost() - before == 1
    assert len(kept.spans) == 1


def test_an_exporter_is_made_once_for_each_event_loop_and_its_tasks_are_about_no_request():
    made: list[Kept] = []

    def make() -> Kept:
        made.append(Kept())
        return made[-1]

    telemetry = Telemetry(Options(), logs.make("library"), Exporters(make))

    async def several() -> None:
        token = logs.trace.set(request().trace)
        await one(telemetry)
        await one(telemetry)
        logs.trace.reset(token)
        await telemetry.close(1.0)

    asyncio.run(several())
    asyncio.run(several())
    assert [(len(each.spans), each.started, each.closed, each.trace) for each in made] == [(2, 1, 1, None)] * 2
    assert telemetry.dropped() == 2


def test_an_exporter_that_cannot_be_made_is_not_tried_again_for_each_request():
    tried: list[int] = []

    def make() -> Kept:
        tried.append(1)
        raise OSError("no such file")

    telemetry = Telemetry(Options(), logs.make("library"), Exporters(make))

    async def several() -> None:
        await one(telemetry)
        await one(telemetry)

    asyncio.run(several())
    assert (len(tried), telemetry.faults.count) == (1, 1)
    with pytest.raises(OSError, match="no such file"):
        asyncio.run(_start(telemetry))


async def _start(telemetry: Telemetry) -> None:
    telemetry.start()


def test_another_configuration_says_less_through_the_same_exporters():
    kept = Kept()

    async def run(log: Logger) -> None:
        first = Telemetry(Options(), log, Exporters(lambda: kept))
        await one(first)
        await one(first.using(Options(sample_ratio=0.0)))

    asyncio.run(run(logs.make("library")))
    assert len(kept.spans) == 1


def test_a_reload_changes_what_is_told_and_says_what_has_to_wait(tmp_path):
    async def run():
        async with telling(tmp_path) as told:
            await told.ask("ok")
            settings = told.gateway.serving.settings
            changed = settings.telemetry.model_copy(update={"sample_ratio": 0.0, "service_name": "other"})
            fields = {*settings.telemetry.model_fields_set, "sample_ratio", "service_name"}
            changed.model_fields_set.update(fields)
            from gateway.config.source import Source

            told.gateway.use(settings.model_copy(update={"telemetry": changed}), Source())
            await told.ask("ok")
            return await told.spans(), told.lines("setting_waits_for_restart")

    spans, waiting = asyncio.run(run())
    assert len([span for span in spans if span["kind"] == 2]) == 1
    assert len(waiting) == 1


def test_a_host_applications_context_is_left_as_it_was(tmp_path):
    async def run() -> object:
        async with telling(tmp_path) as told:
            scope = {"type": "http", "method": "GET", "path": "/health/live", "headers": [], "client": None}

            async def receive() -> asgi.Message:
                return {"type": "http.disconnect"}

            async def send(message: asgi.Message) -> None: ...

            await told.gateway(scope, receive, send)
            return logs.trace.get()

    assert asyncio.run(run()) is None
