"""`gateway bench`: load on real servers over loopback, and nothing left behind."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import load
from gateway.cli.bench import STRAIGHT, Plan, report
from gateway.cli.instant import ANSWER, CHUNKS
from gateway.cli.load import Generator, Load, Tally, chat, completions, measured
from gateway.errors import ConfigError
from gateway.routing.engines.pooled.pool import PooledUpstream
from gateway.wire import sse
from tests.e2e import kit, process
from tests.e2e.test_command_line import at_a_terminal


@pytest.fixture(scope="module")
def instant() -> Iterator[int]:
    """The port of the upstream that answers at once, in a process as a benchmark starts it."""
    argv = [sys.executable, "-m", "gateway.cli.instant"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=kit.environment()) as popen:  # noqa: S603
        assert popen.stdout is not None
        assert popen.stdin is not None
        yield int(popen.stdout.readline())
        popen.stdin.close()
        assert popen.wait(kit.SECONDS) == 0, "it ends when its standard input does"


def test_the_upstream_answers_whole_and_in_chunks(instant: int) -> None:
    url = f"http://127.0.0.1:{instant}/v1/chat/completions"
    status, whole = kit.fetch(url, {"model": "x", "messages": []})
    assert (status, whole["choices"][0]["message"]["content"]) == (200, ANSWER)
    body = b'{"stream":true}'
    head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    async def streamed() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", instant)
        for piece in (head[:9], head[9:] + body[:3], body[3:] + head + body):
            writer.write(piece)
            await writer.drain()
        answers = await reader.readuntil(b"0\r\n\r\n") + await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return answers

    said = asyncio.run(streamed())
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 2
    bodies = re.findall(rb"data: (\{.*?\})\n\n", said)
    assert len(bodies) == 2 * (CHUNKS + 1)
    texts = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in bodies]
    assert "".join(texts) == ANSWER * 2
    assert said.count(sse.DONE) == 2


def put(
    targets: list[load.Target], loads: list[Load], seconds: float = 0.3
) -> tuple[dict[tuple[str, Load], Tally], int]:
    steps: list[None] = []

    async def run() -> dict[tuple[str, Load], Tally]:
        upstream = PooledUpstream()
        try:
            return await measured(Generator(upstream), targets, loads, seconds, lambda: steps.append(None))
        finally:
            assert "0 in flight" in repr(upstream)
            await upstream.close()

    return asyncio.run(run()), len(steps)


def test_every_load_on_every_server_has_its_turns(instant: int) -> None:
    targets = [chat(name, f"http://127.0.0.1:{instant}/v1/chat/completions") for name in ("one", "two")]
    loads = [Load(False, 1), Load(True, 1), Load(False, 4), Load(True, 4)]
    tallies, steps = put(targets, loads)
    assert steps == load.ROUNDS * len(targets) * len(loads)
    assert set(tallies) == {(target.name, each) for target in targets for each in loads}
    for tally in tallies.values():
        assert len(tally.rates) == load.ROUNDS
        assert tally.errors == 0
        assert tally.whole == sorted(tally.whole)
        assert len(tally.first) == len(tally.whole) > 0


def test_no_two_requests_are_the_same() -> None:
    requests = load._Requests(completions("x", "http://x/", "m", "key"), stream=True)
    bodies = [requests.next(number).body for number in range(1_000)]
    assert len(set(bodies)) == len(bodies)
    body = json.loads(bodies[7])
    assert (body["model"], body["stream"]) == ("m", True)
    assert body["prompt"].endswith(load.PROSE)
    assert requests.next(1).headers["authorization"] == "Bearer key"
    assert "key" not in repr(requests.target)


async def _refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, good: int) -> None:
    """Answers `good` requests of a connection, and refuses the others."""
    said = b'{"error":{"message":"No more today.","type":"x","param":null,"code":null}}'
    while head := await reader.readuntil(b"\r\n\r\n"):
        found = re.search(rb"content-length: (\d+)", head.lower())
        assert found
        await reader.readexactly(int(found[1]))
        good -= 1
        status, body = (b"200 OK", b"{}") if good >= 0 else (b"429 Too Many Requests", said)
        writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))


async def _served(good: int, work: object) -> object:
    connections: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        connections.append(task)
        try:
            await _refusing(reader, writer, good)
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    upstream = PooledUpstream()
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        try:
            return await work(Generator(upstream), completions("it", f"http://127.0.0.1:{port}/", "m", None))  # type: ignore[operator]
        finally:
            await upstream.close()
            await asyncio.gather(*connections)


def test_a_server_that_refuses_is_named_with_what_it_says() -> None:
    async def probe(generator: Generator, target: load.Target) -> None:
        await generator.probe(target, stream=False)

    with pytest.raises(ConfigError) as caught:
        asyncio.run(_served(0, probe))
    assert list(caught.value.faults) == ["it: answered 429: No more today."]


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        put([completions("it", "http://127.0.0.1:1/", "m", None)], [Load(False, 1)])
    assert list(caught.value.faults) == ["it: The provider's server could not be reached; try again later."]


def test_requests_that_fail_are_counted_apart() -> None:
    async def turn(generator: Generator, target: load.Target) -> Tally:
        tally = Tally()
        await generator.turn(target, Load(False, 1), 0.2, tally)
        return tally

    tally = asyncio.run(_served(3, turn))
    assert isinstance(tally, Tally)
    assert len(tally.whole) == 3
    assert tally.errors >= 1


def test_what_was_not_measured_is_null_and_not_a_number() -> None:
    plan = Plan(1.0, 8, "m")
    target = chat(STRAIGHT, "http://x/")
    said = report({(STRAIGHT, each): Tally(errors=2) for each in plan.loads()}, plan, [target])
    for row in said["rows"]:
        assert (row["p50_ms"], row["added_ms"], row["ratio"], row["requests_per_s"]) == (None, None, None, 0.0)
        assert row["errors"] == 4


def test_one_connection_is_one_load() -> None:
    assert Plan(1.0, 1, "m").loads() == [Load(False, 1), Load(True, 1)]


@pytest.mark.e2e
def test_the_overhead_is_told_with_policies_and_without(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "policy: mine\nversion: 1\nguards:\n  - pii: {entities: {EMAIL_ADDRESS: mask}}\n  - secrets: {}\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "config.yaml").write_text(
        "model_list: [{model_name: x, litellm_params: {model: openai/x, api_key: k}}]\npolicies: [../mine.yaml, pii]\n"
    )
    done = kit.run(tmp_path, "bench", "--config", "sub/config.yaml", "--seconds", "2", "--connections", "4")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert [name.rpartition("/")[2] for name in said["policies"]] == ["mine.yaml", "pii"]
    assert said["asked_elsewhere"] == []
    paths = ["upstream", "gateway, bare", "gateway, policies"]
    assert [(row["path"], row["stream"]) for row in said["rows"]] == [
        (path, stream) for stream in (False, True) for path in paths
    ]
    for row in said["rows"]:
        assert row["errors"] == 0
        assert row["first_ms"] <= row["p50_ms"] <= row["p99_ms"]
        assert row["requests_per_s"] > 0
    assert [row["added_ms"] for row in said["rows"] if row["path"] == "upstream"] == [0.0, 0.0]
    assert not list(tmp_path.glob("**/*.db"))


@pytest.mark.e2e
def test_a_server_that_runs_is_measured_with_its_key(tmp_path: Path) -> None:
    config = """
model_list: [{model_name: demo, litellm_params: {model: demo/demo}}]
general_settings: {master_key: master-key-of-the-tests}
policies: []
"""
    with process.serving(tmp_path, config) as served:
        command = ("bench", "--against", served.url, "--seconds", "1", "--connections", "2")
        assert "name a model" in kit.run(tmp_path, *command).stderr
        refused = kit.run(tmp_path, *command, "--model", "demo")
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"{served.url}: answered 401: No API key was given")
        unset = kit.run(tmp_path, *command, "--model", "demo", "--key-env", "ITS_KEY")
        assert (unset.returncode, unset.stderr) == (1, "the environment variable ITS_KEY is not set\n")
        done = kit.run(tmp_path, *command, "--model", "demo", "--key-env", "ITS_KEY", ITS_KEY="master-key-of-the-tests")
        assert done.returncode == 0, done.stderr
        by_config = at_a_terminal(tmp_path, *command, "--model", "demo", "--config", "config.yaml")
    rows = json.loads(done.stdout)["rows"]
    assert [(row["path"], row["stream"], row["errors"], row["ratio"]) for row in rows] == [
        (served.url, False, 0, None),
        (served.url, True, 0, None),
    ]
    assert by_config[0] == 0
    assert "REQ/S" in by_config[1]
    assert "master-key" not in done.stdout + by_config[1]


@pytest.mark.e2e
@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:4000", "http://"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    done = kit.run(tmp_path, "bench", "--against", url, "--model", "m")
    assert (done.returncode, done.stderr) == (
        1,
        "--against must be a URL that starts with http:// or https:// and names a host\n",
    )


def descendants(pid: int) -> list[int]:
    """The children of a process that run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has ended meanwhile
        if parent == str(pid) and state != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_everything_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(  # noqa: S603
        kit.command("bench", "--seconds", "60"), cwd=tmp_path, env=kit.environment(), stdout=-1, stderr=-1, text=True
    ) as popen:
        kit.until("its three servers", lambda: len(descendants(popen.pid)) == 3)
        started = descendants(popen.pid)
        popen.send_signal(number)
        said, told = popen.communicate(timeout=kit.SECONDS)
    assert (popen.returncode, said, told) == (130, "", "stopped\n")
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
