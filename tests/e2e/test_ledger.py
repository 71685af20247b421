"""Exactly once, through a real server: `gateway serve` is killed under load again and again, and no record of an answer
that a client saw the end of is lost or doubled.

`python -m tests.e2e.test_ledger` kills it 100 times, in some minutes.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.ledger import journal
from gateway.ledger.store import Store
from gateway.wire import json
from tests.e2e.process import SECONDS, _port, serving
from tests.ledger.kit import queries

ROUNDS = 20
"""How often it is killed in the suite; run as a program, five times as often."""

CLIENTS = 12
_ROOT = Path(__file__).parents[2]

CONFIG = """
model_list:
  - {{model_name: demo, litellm_params: {{model: demo/demo, demo_chunk_delay_ms: 1, output_cost_per_token: 0.001}}}}
policies: []
general_settings: {{master_key: master-key-of-the-tests, database_url: "{url}"}}
ledger: {{folder: "{folder}/journal"}}
"""


@dataclass
class Seen:
    """What clients saw complete: the tokens of each request by its id."""

    tokens: dict[str, int] = field(default_factory=dict)
    begun: int = 0


class Server:
    """One `gateway serve`, in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        serve = ("serve", "--port", "0", "--config", str(folder / "config.yaml"))
        command = [sys.executable, "-m", "gateway", *serve, *options]
        environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
        with (folder / "log.jsonl").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - it is this Python
                command, cwd=folder, env=environ, stdout=log, stderr=subprocess.PIPE
            )
        self.port = _port(self.process)

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()


async def asking(port: int, name: str, seen: Seen, count: int = 100_000) -> None:
    """One client, request after request on one connection, so many times or until the server is gone."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    try:
        for number in range(count):
            stream = number % 2 == 0
            seen.begun += 1
            tokens = await _asked(reader, writer, f"{name}-{number}", stream)
            seen.tokens[f"{name}-{number}"] = tokens
    except (OSError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, stream: bool) -> int:
    """The completion tokens of one answer, read to its last byte.

    Raises:
        OSError, asyncio.IncompleteReadError: it broke off.
    """
    asked = {"model": "demo", "prompt": "Tell a story", "max_tokens": 6, "user": name.partition("-")[0]}
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    body = json.dumps({**asked, **options})
    head = (
        f"POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer master-key-of-the-tests\r\n"
        f"x-request-id: {name}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert answer.startswith(b"http/1.1 200"), answer
    if not stream:
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(json.loads(await reader.readexactly(length))["usage"]["completion_tokens"])
    said = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        said += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    assert said.endswith(b"data: [DONE]\n\n")
    return int(json.loads(said.split(b"data: ")[-2])["usage"]["completion_tokens"])


def killed(folder: Path, round_: int, dice: random.Random, seen: Seen) -> None:
    """Start a server, load it, and kill it."""
    server = Server(folder)

    async def load() -> None:
        clients = [asyncio.create_task(asking(server.port, f"r{round_}c{one}", seen)) for one in range(CLIENTS)]
        before = len(seen.tokens)
        wanted = before + dice.randrange(400)
        while len(seen.tokens) < wanted:  # noqa: ASYNC110 - a moment told by work done, not by a clock
            await asyncio.sleep(0.001)
        os.kill(server.process.pid, signal.SIGKILL)
        await asyncio.wait_for(asyncio.gather(*clients), SECONDS)

    asyncio.run(load())
    server.end(signal.SIGKILL)


def check(folder: Path, url: str, rounds: int, seed: int = 5) -> tuple[int, int]:
    """Kill a server `rounds` times, start one more, and compare; how many answers were seen, and how many recorded."""
    (folder / "config.yaml").write_text(CONFIG.format(url=url, folder=folder))
    dice, seen = random.Random(seed), Seen()  # noqa: S311 - moments, not secrets
    for round_ in range(rounds):
        killed(folder, round_, dice, seen)
    last = Server(folder)
    asyncio.run(asyncio.wait_for(_adopted(folder), 10 * SECONDS))
    last.end(signal.SIGTERM)
    assert list((folder / "journal").glob(f"*{journal.SUFFIX}")) == []
    store = Store(url)
    found: dict[str, int] = {}
    times: Counter[str] = Counter()
    cursor = None
    while True:
        page = queries.records(store.engine, limit=1000, cursor=cursor)
        for record in page.records:
            times[record.request_id] += 1
            found[record.request_id] = record.output_tokens
        cursor = page.cursor
        if cursor is None:
            break
    total = queries.usage(store.engine, "day").total
    store.close()
    assert set(times.values()) == {1}
    missing = seen.tokens.keys() - found.keys()
    assert not missing, f"{len(missing)} of {len(seen.tokens)} are lost: {sorted(missing)[:5]}"
    assert {name: found[name] for name in seen.tokens} == seen.tokens
    assert len(found) <= seen.begun
    assert (total.requests, total.output_tokens) == (len(found), sum(found.values()))
    return len(seen.tokens), len(found)


async def _adopted(folder: Path) -> None:
    """Until the last server has shipped and deleted what the others have left: its own segment is there alone."""
    while len(list((folder / "journal").glob(f"*{journal.SUFFIX}"))) > 1:  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.e2e
def test_a_server_killed_under_load_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seen, found = check(tmp_path, f"sqlite:///{tmp_path}/gateway.db", ROUNDS)
    assert seen > ROUNDS
    assert found - seen <= ROUNDS * CLIENTS, "of each client, one at the most that was recorded and did not arrive"


def in_database(file: Path) -> list[str]:
    store = Store(f"sqlite:///{file}")
    found = [record.request_id for record in queries.records(store.engine).records]
    store.close()
    return found


@pytest.mark.e2e
def test_without_a_configuration_usage_is_in_a_file_beside_it_and_the_command_reads_it(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        status, _ = served.post(b'{"model": "demo", "prompt": "p", "user": "bob"}', {"x-request-id": "mine"})
        assert status == 200
        ready = json.loads(urllib.request.urlopen(f"{served.url}/health/ready").read())  # noqa: S310 - loopback
        assert ready["ledger"].startswith("ok")
    assert in_database(tmp_path / "gateway.db") == ["mine"]
    assert list((tmp_path / "gateway.db-ledger").iterdir()) == []
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "usage"], cwd=tmp_path, env=environ, capture_output=True, check=True
    )
    assert [line["user"] for line in json.loads(done.stdout)["data"]] == ["bob"]


@pytest.mark.e2e
def test_several_workers_share_one_journal_and_answer_for_each_other(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(url=f"sqlite:///{tmp_path}/gateway.db", folder=tmp_path))
    server = Server(tmp_path, "--workers", "2")
    seen = Seen()

    async def load() -> None:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(asking(server.port, f"c{one}", seen, 10) for one in range(8)))

    asyncio.run(load())
    server.end(signal.SIGTERM)
    found = in_database(tmp_path / "gateway.db")
    assert sorted(found) == sorted(seen.tokens)
    assert len(found) == 80


@pytest.mark.e2e
def test_checking_a_configuration_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(url="sqlite:///gateway.db", folder=tmp_path))
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    for command in (("check",), ("explain", "--model", "demo", "hi")):
        whole = [sys.executable, "-m", "gateway", *command, "--config", "config.yaml"]
        subprocess.run(whole, cwd=tmp_path, env=environ, capture_output=True, check=True)  # noqa: S603 - this Python
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(check(Path(made), f"sqlite:///{made}/gateway.db", 5 * ROUNDS, random.randrange(10**9)))  # noqa: S311
