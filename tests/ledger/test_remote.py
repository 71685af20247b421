"""Redis as the gateway asks it: bounded, at rest after a failure, its address never told."""

import asyncio
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.errors import ConfigError, Unavailable
from gateway.ledger.remote import CODE, FIRST_REST, LONGEST_REST, Remote, Script, library
from tests.ledger import redis
from tests.ledger.counted import run
from tests.ledger.kit import Log

ECHO = Script("return {KEYS[1], ARGV[1], 5}")
PATIENT = {"connect": 30.0, "answer": 30.0}
"""For servers that do answer: a busy machine is no failure."""


class Ticks:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Server]:
    """A Redis for the tests that do not break it."""
    if why := redis.missing():
        pytest.skip(why)
    with redis.server() as running:
        yield running


@contextmanager
def silent() -> Iterator[str]:
    """A listener that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


async def refused(remote: Remote) -> Unavailable:
    """What a question raises."""
    with pytest.raises(Unavailable) as found:
        await remote.run(ECHO, ["a"], ["b"])
    return found.value


def test_a_script_runs_and_is_sent_once(server):
    async def work() -> None:
        remote = Remote(server.url, Log(), **PATIENT)
        script = Script("-- told once\nreturn {KEYS[1], ARGV[1], 5}")
        server.ask("CONFIG RESETSTAT")
        for _ in range(3):
            assert await remote.run(script, ["a"], ["b"]) == [b"a", b"b", 5]
        said = server.ask("INFO commandstats").decode()
        assert "cmdstat_eval:calls=1," in said
        assert "cmdstat_evalsha:calls=3," in said
        await remote.close()

    run(work())


def test_a_value_is_kept_for_its_time(server):
    async def work() -> None:
        remote = Remote(server.url, Log(), **PATIENT)
        assert await remote.get("value") is None
        await remote.set("value", b"\xff\x00", 100)
        assert await remote.get("value") == b"\xff\x00"
        assert 90 < int(server.ask("TTL value")[1:]) <= 100
        assert await remote.delete("value", "other") == 1
        assert await remote.delete() == 0
        await remote.close()

    run(work())


def test_many_questions_share_few_connections(server):
    async def work() -> None:
        remote = Remote(f"{server.url}?max_connections=3", Log(), **PATIENT)
        server.ask("CONFIG RESETSTAT")
        await asyncio.gather(*(remote.run(ECHO, ["a"], ["b"]) for _ in range(200)))
        assert server.ask("INFO stats").decode().split("total_connections_received:")[1].split()[0] in "1234"
        await remote.close()

    run(work())


def test_two_event_loops_may_ask_and_one_closes_for_both(server):
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()

    async def work() -> None:
        remote = Remote(server.url, Log(), **PATIENT)
        for _ in range(3):
            assert await remote.ping()
            assert await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(remote.ping(), other))
        await remote.close()
        assert await remote.ping()
        await remote.close()

    try:
        run(work())
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


def test_nobody_there_is_told_at_once_and_nobody_asks_again_for_a_moment():
    async def work() -> None:
        log, ticks = Log(), Ticks()
        port = redis.free_port()
        remote = Remote(f"redis://:hunter2@127.0.0.1:{port}", log, clock=ticks, **PATIENT)
        assert remote.health() == (True, "ok")
        error = await refused(remote)
        assert (error.code, error.status) == (CODE, 503)
        assert remote.resting
        told = f"redis_unreachable:127.0.0.1:{port}:cannot be reached (Connection refused)"
        assert [f"{event}:{said['server']}:{said['reason']}" for event, said in log.events] == [told]
        assert remote.health() == (False, "cannot be reached (Connection refused), for 0 s")
        assert "hunter2" not in repr(remote) + str(log.events) + str(error)

    run(work())


def test_the_rest_after_a_failure_doubles_up_to_a_bound():
    async def work() -> None:
        ticks = Ticks()
        remote = Remote(f"redis://127.0.0.1:{redis.free_port()}", Log(), clock=ticks, **PATIENT)
        rests = []
        for _ in range(6):
            assert not remote.resting
            await refused(remote)
            began = ticks.now
            while remote.resting:
                ticks.now += FIRST_REST / 2
            rests.append(ticks.now - began)
        assert rests == [0.5, 1.0, 2.0, 4.0, LONGEST_REST, LONGEST_REST]

    run(work())


def test_failures_are_told_once_a_minute():
    async def work() -> None:
        log, ticks = Log(), Ticks()
        remote = Remote(f"redis://127.0.0.1:{redis.free_port()}", log, clock=ticks, **PATIENT)
        for _ in range(20):
            await refused(remote)
            ticks.now += 6.0
        assert log.names() == ["redis_unreachable"] * 2

    run(work())


def test_a_redis_that_never_answers_takes_a_bounded_time_and_one_tries_for_all():
    async def work(url: str) -> None:
        log, ticks = Log(), Ticks()
        remote = Remote(url, log, connect=0.05, answer=0.05, clock=ticks)
        await refused(remote)
        assert remote.health() == (False, "does not answer in time, for 0 s")
        ticks.now += 10.0
        tries = [asyncio.ensure_future(refused(remote)) for _ in range(50)]
        done, waiting = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
        assert len(waiting) == 1
        assert len(done) == 49
        await asyncio.gather(*tries)
        await remote.close()

    with silent() as url:
        run(work(url))


def test_a_question_that_is_given_up_leaves_the_way_free(server):
    async def work() -> None:
        remote = Remote(f"{server.url}?max_connections=1", Log(), **PATIENT)
        for _ in range(20):
            asking = asyncio.ensure_future(remote.run(ECHO, ["a"], ["b"]))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
        assert await remote.run(ECHO, ["a"], ["b"]) == [b"a", b"b", 5]
        await remote.close()

    run(work())


def test_a_redis_that_is_killed_and_started_again_is_found_again():
    if why := redis.missing():
        pytest.skip(why)

    async def work(server: redis.Server) -> None:
        log, ticks = Log(), Ticks()
        remote = Remote(server.url, log, clock=ticks, **PATIENT)
        await remote.run(ECHO, ["a"], ["b"])
        server.kill()
        await refused(remote)
        server.start()
        ticks.now += 60.0
        assert await remote.run(ECHO, ["a"], ["b"]) == [b"a", b"b", 5]
        assert remote.health() == (True, "ok")
        assert log.names() == ["redis_unreachable", "redis_reached_again"]
        await remote.close()

    with redis.server() as running:
        run(work(running))


def test_a_refusal_is_told_but_the_next_question_is_asked(server):
    async def work() -> None:
        log = Log()
        remote = Remote(server.url, log, **PATIENT)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await remote.run(Script("return redis.error_reply('OOM no room for secret-value')"), [], [])
        assert remote.health()[0] is False
        assert log.names() == ["redis_refused"]
        assert "secret-value" not in str(log.events) + repr(remote)
        assert await remote.ping()
        assert remote.health() == (True, "ok")
        await remote.close()

    run(work())


def test_a_password_opens_and_a_wrong_one_is_not_told():
    if why := redis.missing():
        pytest.skip(why)

    async def work(server: redis.Server) -> None:
        right = Remote(server.url.replace("//", "//:opens-it@"), Log(), **PATIENT)
        assert await right.ping()
        await right.close()
        log = Log()
        wrong = Remote(server.url.replace("//", "//:hunter2@"), log, **PATIENT)
        assert not await wrong.ping()
        assert "hunter2" not in str(log.events) + repr(wrong)
        await wrong.close()

    with redis.server("--requirepass", "opens-it") as running:
        run(work(running))


def test_tls_is_spoken_and_a_certificate_nobody_vouches_for_is_refused(tmp_path):
    if why := redis.missing() or (None if shutil.which("openssl") else "there is no openssl"):
        pytest.skip(why)
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(  # noqa: S603
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, *subject],  # noqa: S607
        check=True,
        capture_output=True,
    )
    tls = redis.free_port()

    async def work(server: redis.Server) -> None:
        url = f"rediss://127.0.0.1:{tls}"
        trusting = Remote(f"{url}?ssl_ca_certs={cert}", Log(), **PATIENT)
        assert await trusting.ping()
        await trusting.close()
        doubting = Remote(url, Log(), **PATIENT)
        assert not await doubting.ping()
        await doubting.close()

    options = ("--tls-port", str(tls), "--tls-cert-file", str(cert), "--tls-key-file", str(key))
    try:
        with redis.server(*options, "--tls-auth-clients", "no") as running:
            run(work(running))
    except AssertionError as error:
        if "tls-port" in str(error):
            pytest.skip("this Redis was built without TLS")
        raise


@pytest.mark.parametrize(
    "url", ["http://host", "redis://h?socket_timeout=soon", "redis://h?no_such_option=1", "redis://h:port:1"]
)
def test_an_address_that_cannot_be_used_is_a_fault_of_the_configuration(url):
    with pytest.raises(ConfigError, match=r"general_settings\.redis_url") as found:
        Remote(url, Log())
    assert url not in str(found.value)


def test_an_absent_library_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"pip install 'guardrail-gateway\[redis\]'"):
        library()


def test_a_socket_file_is_an_address_too(tmp_path: Path):
    if why := redis.missing():
        pytest.skip(why)
    path = tmp_path / "redis.sock"

    async def work() -> None:
        remote = Remote(f"unix://{path}", Log(), **PATIENT)
        assert await remote.ping()
        assert repr(remote) == f"<Remote unix:{path} ok>"
        await remote.close()

    with redis.server("--unixsocket", str(path)):
        run(work())
