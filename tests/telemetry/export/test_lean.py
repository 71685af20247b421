"""The lean path against collectors on loopback that do what collectors do on bad days."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gateway.telemetry.export.batches import Limits
from gateway.telemetry.export.lean import LeanExporter, Target, _retry_after
from gateway.telemetry.export.port import Post, Reply
from tests.routing.servers import closed_port, looped, response, says, serve
from tests.telemetry.export.kit import (
    LOG,
    OK,
    RESOURCE,
    SCOPE,
    collector,
    posting,
    running,
    span,
    spans,
    troubles,
    until,
)

SOON = Limits(wait=0.01, backoff=0.01)
HANGS = b""


def lean(url: str, post: Post, limits: Limits = SOON, **target: object) -> LeanExporter:
    return LeanExporter(Target(url, **target), RESOURCE, SCOPE, post, LOG, limits)  # type: ignore[arg-type]


@looped
async def test_spans_arrive_in_the_order_they_were_added() -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post)
        async with running(exporter):
            exporter.add(spans(3))
            exporter.add([span("last")])
            await exporter.flush()
            assert server.names() == ["span 0", "span 1", "span 2", "last"]
    assert (exporter._batches.sent, exporter.dropped()) == (4, 0)


@looped
async def test_a_few_spans_leave_after_a_while_and_many_at_once() -> None:
    async with collector() as server, posting() as post:
        few = lean(server.url, post)
        async with running(few):
            few.add(spans(2))
            await until(lambda: len(server.names()) == 2)
        many = lean(server.url, post, Limits(wait=3600))
        async with running(many):
            many.add(spans(Limits().fewest))
            await until(lambda: len(server.names()) == 2 + Limits().fewest)


@looped
async def test_what_was_added_before_the_start_is_sent_after_it() -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post)
        exporter.add(spans(2))
        await exporter.flush()
        async with running(exporter):
            await until(lambda: len(server.names()) == 2)


@looped
async def test_many_spans_are_cut_into_batches_by_number_and_by_size() -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post, Limits(wait=0.01, batch=10, fewest=10))
        exporter.add(spans(25))
        async with running(exporter):
            await exporter.flush()
        assert len(server.bodies) == 3
        large = lean(server.url, post, Limits(wait=0.01, batch_bytes=5000))
        large.add([span(text="x" * 3000) for _ in range(4)])
        async with running(large):
            await large.flush()
    assert len(server.bodies) == 7
    assert len(server.names()) == 29


@looped
async def test_a_body_says_what_it_is_and_carries_the_headers_of_the_target() -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post, headers={"x-api-key": "k", "content-type": "text/plain"})
        exporter.add(spans(1))
        async with running(exporter):
            await exporter.flush()
    head = server.heads[0].lower()
    assert head.startswith(b"post /v1/traces http/1.1\r\n")
    assert b"x-api-key: k\r\n" in head
    assert b"content-type: application/json\r\n" in head
    assert head.count(b"content-type:") == 1


@pytest.mark.parametrize("size", [10, 100_000], ids=["small", "large"])
@looped
async def test_a_compressed_body_is_the_same_body(size: int) -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post, compression="gzip")
        exporter.add([span(text="x" * size)])
        async with running(exporter):
            await exporter.flush()
        assert b"content-encoding: gzip" in server.heads[0].lower()
        assert len(server.bodies[0]) < len(server.decoded()[0])
        assert server.names() == ["POST /v1/completions"]


@looped
async def test_a_refused_connection_is_tried_again_until_a_collector_is_there(caplog: pytest.LogCaptureFixture) -> None:
    refused: list[int] = []

    async with posting() as post, collector() as server:
        dead = f"http://127.0.0.1:{closed_port()}/v1/traces"

        async def comes_up(_url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Reply:
            reply = await post(dead if len(refused) < 3 else server.url, headers, body, seconds)
            refused.append(reply.status)
            return reply

        exporter = lean(server.url, comes_up)
        async with running(exporter):
            exporter.add(spans(2))
            await exporter.flush()
        assert server.names() == ["span 0", "span 1"]
    assert refused == [0, 0, 0, 200]
    assert exporter.dropped() == 0
    assert troubles(caplog) == [("no connection, or one that broke", 0)]


@pytest.mark.parametrize("status", ["429 Too Many Requests", "502 Bad Gateway", "503 Unavailable", "504 Timeout"])
@looped
async def test_a_passing_status_is_tried_again_with_the_same_spans(status: str) -> None:
    passing = response(b"", status=status.encode())
    async with collector(passing, passing, OK) as server, posting() as post:
        exporter = lean(server.url, post)
        exporter.add(spans(2))
        async with running(exporter):
            await exporter.flush()
        assert server.names() == ["span 0", "span 1"] * 3
    assert (exporter._batches.sent, exporter.dropped()) == (2, 0)


@looped
async def test_retry_after_is_waited_for_and_cut_short_by_a_close() -> None:
    async with collector(response(b"", b"retry-after: 20", status=b"429 Slow"), OK) as server, posting() as post:
        exporter = lean(server.url, post)
        exporter.start()
        exporter.add(spans(1))
        await server.arrived.wait()
        await asyncio.sleep(0.05)  # far longer than the usual pause here
        assert len(server.bodies) == 1
        await exporter.close(5)
    assert len(server.bodies) == 2
    assert (exporter._batches.sent, exporter.dropped()) == (1, 0)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("0", 0, 0),
        ("7", 7, 7),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, least: float, most: float) -> None:
    found = _retry_after(value)
    assert found is not None
    assert least <= found <= most


def test_retry_after_may_be_a_date_to_come() -> None:
    found = _retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert found is not None
    assert 3500 <= found <= 3601


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "²", "Thu, 99 Jan 1970 00:00:00 GMT"])
def test_any_other_retry_after_says_nothing(value: str | None) -> None:
    assert _retry_after(value) is None


@pytest.mark.parametrize("status", ["400 Bad", "401 Who", "403 No", "404 Where", "413 Large", "415 What", "500 Broken"])
@looped
async def test_a_final_status_drops_the_batch_and_is_told_once(status: str, caplog: pytest.LogCaptureFixture) -> None:
    async with collector(response(b"", status=status.encode())) as server, posting() as post:
        exporter = lean(server.url, post)
        async with running(exporter):
            for _ in range(3):
                exporter.add(spans(2))
                await exporter.flush()
        assert len(server.bodies) == 3
    assert exporter.dropped() == 6
    assert troubles(caplog) == [
        (f"the collector refuses them with status {status[:3]}", 2),
        ("the gateway closes", 4),
    ]


@looped
async def test_what_a_collector_rejects_of_a_batch_is_counted_and_not_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    partial = response(b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}')
    async with collector(partial) as server, posting() as post:
        exporter = lean(server.url, post)
        exporter.add(spans(5))
        async with running(exporter):
            await exporter.flush()
        assert len(server.bodies) == 1
    assert (exporter._batches.sent, exporter.dropped()) == (3, 2)
    assert troubles(caplog) == [("the collector rejected a part of them", 2)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"partialSuccess":{}}',
        b'{"partialSuccess":{"rejectedSpans":"0","errorMessage":"a word of warning"}}',
        b'{"partialSuccess":null}',
        b'{"partialSuccess":{"rejectedSpans":"many"}}',
        b'["partialSuccess"]',
        b"partial",
        b"\xff artial",
    ],
)
@looped
async def test_a_collector_that_rejects_nothing_has_taken_all(body: bytes) -> None:
    async with collector(response(body)) as server, posting() as post:
        exporter = lean(server.url, post)
        exporter.add(spans(2))
        async with running(exporter):
            await exporter.flush()
    assert (exporter._batches.sent, exporter.dropped()) == (2, 0)


@looped
async def test_a_hanging_collector_lets_nobody_wait_and_keeps_memory_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with collector(HANGS) as server, posting() as post:
        limits = Limits(wait=0.01, bytes=100_000, batch=10)
        exporter = lean(server.url, post, limits)
        exporter.start()
        exporter.add(spans(10))
        await server.arrived.wait()
        for _ in range(200):
            exporter.add(spans(10))  # returns at once: it is no coroutine
            assert exporter._batches._bytes <= limits.bytes
        waiting = len(exporter._batches._waiting)
        assert exporter.dropped() == 2000 - waiting
        assert f"dropped={2000 - waiting}" in repr(exporter)
        await exporter.close(0.05)
    assert exporter.dropped() == 2010
    assert troubles(caplog)[0][0] == "spans come faster than they are taken"
    assert troubles(caplog)[-1][0] == "the gateway closed before they were taken"
    assert sum(dropped for _, dropped in troubles(caplog)) == 2010


@looped
async def test_a_hanging_collector_is_given_up_after_the_timeout_and_asked_again() -> None:
    async with collector(HANGS, OK) as server, posting() as post:
        exporter = lean(server.url, post, timeout=0.05)
        exporter.add(spans(2))
        async with running(exporter):
            await exporter.flush()
        assert server.names() == ["span 0", "span 1"] * 2
    assert exporter.dropped() == 0


@looped
async def test_the_oldest_are_dropped_when_the_queue_is_full() -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post, Limits(wait=0.01, spans=3))
        exporter.add(spans(5))
        async with running(exporter):
            await exporter.flush()
        assert server.names() == ["span 2", "span 3", "span 4"]
    assert exporter.dropped() == 2


@looped
async def test_a_batch_that_is_never_taken_gives_way_to_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async with collector(response(b"", status=b"503 No"), OK) as server, posting() as post:
        exporter = lean(server.url, post, Limits(wait=0.01, batch=2, fewest=1, patience=0))
        exporter.add(spans(4))
        async with running(exporter):
            await exporter.flush()
        assert server.names() == ["span 0", "span 1", "span 2", "span 3"]
    assert (exporter._batches.sent, exporter.dropped()) == (2, 2)
    assert troubles(caplog) == [("status 503", 2)]


@looped
async def test_a_close_sends_what_waits() -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post, Limits(wait=3600))
        exporter.start()
        exporter.add(spans(3))
        await exporter.close(5)
        assert server.names() == ["span 0", "span 1", "span 2"]
        await exporter.close(5)
    assert exporter.dropped() == 0


@looped
async def test_a_close_does_not_send_twice_what_is_under_way() -> None:
    answer = asyncio.Event()

    async def slow(connection: object) -> None:
        await answer.wait()
        await says(OK)(connection)  # type: ignore[arg-type]

    async with serve(slow) as server, posting() as post:
        exporter = lean(f"{server.url}/v1/traces", post)
        exporter.start()
        exporter.add(spans(1))
        await server.arrived.wait()
        closing = asyncio.create_task(exporter.close(5))
        await asyncio.sleep(0)
        answer.set()
        await closing
        assert len(server.requests) == 1
    assert (exporter._batches.sent, exporter.dropped()) == (1, 0)


@looped
async def test_a_close_without_a_collector_does_not_use_up_its_time(caplog: pytest.LogCaptureFixture) -> None:
    async with posting() as post:
        exporter = lean(f"http://127.0.0.1:{closed_port()}/v1/traces", post, Limits(wait=3600, backoff=3600, batch=2))
        exporter.start()
        exporter.add(spans(5))
        await exporter.close(3600)
    assert exporter.dropped() == 5
    assert sum(dropped for _, dropped in troubles(caplog)) == 5


@looped
async def test_what_comes_after_the_close_is_counted_as_dropped() -> None:
    async with collector() as server, posting() as post:
        exporter = lean(server.url, post)
        exporter.start()
        await exporter.close(1)
        exporter.add(spans(2))
        await exporter.flush()
        assert server.bodies == []
    assert exporter.dropped() == 2
    assert "waiting=0" in repr(exporter)


@looped
async def test_an_exporter_that_was_never_started_closes_too() -> None:
    async with posting() as post:
        exporter = lean("http://127.0.0.1:9/v1/traces", post)
        exporter.add(spans(2))
        await exporter.close(1)
    assert exporter.dropped() == 2


def test_a_target_shows_no_header() -> None:
    assert "secret" not in repr(Target("http://c/v1/traces", {"x-api-key": "secret"}))
