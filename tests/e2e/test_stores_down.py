"""Redis and PostgreSQL down, hanging, slow, and back, behind a real gateway: every request is answered, as configured,
and what was answered is in the ledger exactly once when the store is back.

Times are asserted against `kit.SECONDS` only, which is far more than any of them takes.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from gateway.ledger import queries
from gateway.ledger.store import Store
from tests.e2e import kit
from tests.e2e.relay import Relay, State, relay
from tests.ledger import postgres, redis

pytestmark = pytest.mark.e2e

KEY = "master-key-of-the-tests"
MASTER = {"authorization": f"Bearer {KEY}"}
TROUBLES: tuple[State, ...] = ("cut", "hangs", "slow")
AT_A_TIME = 8

CONFIG = """
model_list: [{{model_name: m, litellm_params: {{model: demo/demo}}}}]
policies: []
general_settings: {{master_key: {key}, database_url: "{database}"{redis}}}
limits: {{all: {{rpm: 100000}}, when_counters_fail: {chosen}}}
ledger: {{folder: "{folder}/journal", max_bytes: {most}, when_full: {chosen}}}
"""


Answer = tuple[int, str | None]
"""Status, and the code of the error."""

SERVED: Answer = (200, None)
REFUSED: Answer = (401, "invalid_api_key")
UNKNOWN = f"gk-{'a' * 43}"


@dataclass
class Seen:
    """What clients were answered, by the ids of their requests."""

    answers: dict[str, Answer] = field(default_factory=dict)

    def ask(self, url: str, count: int = 40, key: str = KEY) -> Counter[Answer]:
        """So many requests, some at a time: what was answered. One that is not answered fails the test."""

        async def run() -> list[Answer]:
            places = asyncio.Semaphore(AT_A_TIME)
            async with httpx.AsyncClient(timeout=kit.SECONDS, trust_env=False) as client:
                names = [f"request-{len(self.answers) + number}" for number in range(count)]
                return await asyncio.gather(*(one(client, places, name) for name in names))

        async def one(client: httpx.AsyncClient, places: asyncio.Semaphore, request_id: str) -> Answer:
            body = {"model": "m", "prompt": "Say hello", "max_tokens": 2, "user": "bob"}
            headers = {"authorization": f"Bearer {key}", "x-request-id": request_id}
            async with places:
                answer = await client.post(f"{url}/v1/completions", json=body, headers=headers)
            code = answer.json()["error"]["code"] if answer.status_code != 200 else None
            self.answers[request_id] = found = answer.status_code, code
            return found

        return Counter(asyncio.run(run()))

    def is_served(self, url: str) -> None:
        """Wait until requests are answered well."""
        kit.until("a request is served", lambda: SERVED in self.ask(url, 1))

    def is_recorded(self, database: str, lost: int = 0) -> None:
        """Each answer is in the ledger once, with its status, and nothing else is; but for those that were refused
        because they could not be recorded, or because it is not known who asks, and so many that are said to be lost.
        """
        found: Counter[str] = Counter()
        statuses: dict[str, int] = {}
        cursor = None
        with closing(Store(database)) as store:
            while True:
                page = queries.records(store.engine, limit=1_000, cursor=cursor)
                for record in page.records:
                    found[record.request_id] += 1
                    statuses[record.request_id] = record.status
                cursor = page.cursor
                if cursor is None:
                    break
        unrecorded = ("ledger_full", "invalid_api_key", "keys_unavailable")
        expected = {name: status for name, (status, code) in self.answers.items() if code not in unrecorded}
        assert set(found.values()) <= {1}
        assert statuses.items() <= expected.items()
        assert len(expected) - len(statuses) == lost


def ready(url: str, line: str) -> tuple[int, str]:
    """The status of readiness, and what it says of one dependency."""
    status, told = kit.fetch(f"{url}/health/ready")
    return status, str(told.get(line))


def total(url: str) -> int:
    """Requests in the ledger."""
    return int(kit.fetch(f"{url}/admin/usage?by=day", headers=MASTER)[1]["total"]["requests"])


@contextmanager
def gateway(
    folder: Path, chosen: str, database: str, redis_url: str = "", most: int = 1 << 30
) -> Iterator[kit.Process]:
    folder.mkdir(exist_ok=True)
    shared = f', redis_url: "{redis_url}"' if redis_url else ""
    text = CONFIG.format(key=KEY, database=database, redis=shared, chosen=chosen, folder=folder, most=most)
    with kit.gateway(folder, text) as process:
        yield process
    assert not process.lines("internal_error")


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    if why := redis.missing():
        pytest.skip(why)
    with redis.server() as running:
        yield running.port


@pytest.mark.parametrize(("chosen", "while_away"), [("refuse", (503, "counters_unavailable")), ("go_on", (200, None))])
def test_while_redis_is_away_every_request_is_answered_as_configured_and_recorded(
    chosen: str, while_away: tuple[int, str | None], redis_port: int, tmp_path: Path
):
    database, seen = f"sqlite:///{tmp_path}/gateway.db", Seen()
    with relay(redis_port) as link, gateway(tmp_path, chosen, database, f"redis://127.0.0.1:{link.port}/0") as served:
        for trouble in TROUBLES:
            seen.is_served(served.url)
            kit.until("readiness says so", lambda: ready(served.url, "counters") == (200, "ok"))
            link.become(trouble)
            came = seen.ask(served.url)
            if trouble == "slow":
                assert came.keys() <= {SERVED, while_away}
                seen.is_served(served.url)
            else:
                assert set(came) == {while_away}, trouble
                status, said = ready(served.url, "counters")
                assert status == 200, "no other replica could do better"
                assert "cannot be reached" in said or "does not answer" in said
            link.become("open")
    seen.is_recorded(database)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.server() as url:
        yield url


def made(server: str, name: str) -> tuple[str, int]:
    """The URL of a new database, and the port in it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = server.removesuffix("postgres") + name
    return url, urlsplit(url).port or 0


def through(url: str, link: Relay) -> str:
    """The same database by way of a relay."""
    return url.replace(f":{urlsplit(url).port}/", f":{link.port}/")


ADMINISTRATION: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/admin/usage", None), ("GET", "/admin/usage/records", None), ("GET", "/admin/keys", None),
    ("POST", "/admin/keys", {"alias": "while-away"}), ("GET", "/admin/end-users", None),
    ("PATCH", "/admin/end-users/carol", {"blocked": True}), ("DELETE", "/admin/end-users/carol", None),
    ("GET", "/v1/models", None), ("GET", "/health/ready", None),
]  # fmt: skip


def administered(url: str) -> dict[str, int]:
    """Everything that asks the database, asked: status by path. One that is not answered fails the test."""

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=kit.SECONDS, trust_env=False, headers=MASTER) as client:
            return await asyncio.gather(
                *(client.request(method, url + path, json=body) for method, path, body in ADMINISTRATION)
            )

    answers = asyncio.run(run())
    return {f"{one[0]} {one[1]}": answer.status_code for one, answer in zip(ADMINISTRATION, answers, strict=True)}


def test_while_postgresql_is_away_requests_go_on_and_are_recorded_when_it_is_back(postgres_url: str, tmp_path: Path):
    direct, port = made(postgres_url, "away")
    seen = Seen()
    with relay(port) as link, gateway(tmp_path, "refuse", through(direct, link)) as served:
        status, theirs = kit.fetch(f"{served.url}/admin/keys", {"alias": "team"}, MASTER)
        assert status == 201
        for trouble in TROUBLES:
            for key in (KEY, theirs["key"]):
                assert set(seen.ask(served.url, 5, key)) == {SERVED}
            kit.until("readiness says so", lambda: ready(served.url, "ledger")[1].startswith("ok"))
            link.become(trouble)
            for key in (KEY, theirs["key"]):
                assert set(seen.ask(served.url, key=key)) == {SERVED}, "who is known is served on"
            unknown = seen.ask(served.url, 3, UNKNOWN)
            told = administered(served.url)
            assert told.pop("GET /v1/models") == 200
            if trouble == "slow":
                assert unknown.keys() <= {REFUSED, (503, "keys_unavailable")}, "on a busy machine it may be too slow"
                kit.until("an unknown key is told so", lambda: REFUSED in seen.ask(served.url, 1, UNKNOWN))
            else:
                assert set(unknown) == {(503, "keys_unavailable")}, "it is not said of it that it is wrong"
                assert told.pop("GET /health/ready") == 200, "it serves all the same"
                assert set(told.values()) == {503}
                assert not ready(served.url, "ledger")[1].startswith("ok")
                assert ready(served.url, "keys")[1] != "ok"
            link.become("open")
    seen.is_recorded(direct)


def test_a_gateway_that_ends_while_postgresql_hangs_leaves_its_records_for_the_next(postgres_url: str, tmp_path: Path):
    direct, port = made(postgres_url, "ended")
    seen = Seen()
    with relay(port) as link:
        for _ in range(2):
            with gateway(tmp_path, "refuse", through(direct, link)) as served:
                seen.is_served(served.url)
                link.become("hangs")
                assert set(seen.ask(served.url)) == {SERVED}
            link.become("open")
        with gateway(tmp_path, "refuse", through(direct, link)) as served:
            kit.until("all is shipped", lambda: total(served.url) == len(seen.answers))
    seen.is_recorded(direct)


@pytest.mark.parametrize("trouble", ["cut", "hangs"])
def test_a_journal_at_its_bound_refuses_requests_until_postgresql_is_back(
    trouble: State, postgres_url: str, tmp_path: Path
):
    direct, port = made(postgres_url, f"full_{trouble}")
    seen = Seen()
    with relay(port) as link, gateway(tmp_path, "refuse", through(direct, link), most=1 << 16) as served:
        seen.is_served(served.url)
        link.become(trouble)
        came: Counter[Answer] = Counter()
        while (503, "ledger_full") not in came:
            came = seen.ask(served.url)
            assert came.keys() <= {SERVED, (503, "ledger_full")}
        assert set(seen.ask(served.url, 3)) == {(503, "ledger_full")}
        status, said = ready(served.url, "ledger")
        assert (status, said.endswith("requests are refused")) == (503, True)
        link.become("open")
        seen.is_served(served.url)
        kit.until("readiness says so", lambda: ready(served.url, "ledger")[1].startswith("ok, "))
    seen.is_recorded(direct)


def test_a_journal_at_its_bound_lets_requests_go_on_and_says_how_many_it_has_lost(postgres_url: str, tmp_path: Path):
    direct, port = made(postgres_url, "lost")
    seen = Seen()
    with relay(port) as link, gateway(tmp_path, "go_on", through(direct, link), most=1 << 16) as served:
        seen.is_served(served.url)
        kit.until("keys have been read, for a minute to go by", lambda: REFUSED in seen.ask(served.url, 1, UNKNOWN))
        link.become("cut")
        said = None
        while said is None:
            assert set(seen.ask(served.url)) == {SERVED}
            status, told = ready(served.url, "ledger")
            assert status == 200
            said = re.search(r"(\d+) records lost", told)
        link.become("open")
        kit.until("readiness says so", lambda: ready(served.url, "ledger")[1].startswith("ok, 0 bytes"))
        seen.is_served(served.url)
    seen.is_recorded(direct, lost=int(said[1]))
