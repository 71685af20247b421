"""Who is told that a budget comes to its end: signed, tried again, once for all processes, and never waited for."""

import asyncio
import hmac
import threading
from collections.abc import Mapping
from typing import Any

from gateway.config.limits import BudgetWebhook
from gateway.config.secret import Secret
from gateway.ledger.allowances import Rule
from gateway.ledger.notices import PAUSES, Notices, identifier
from gateway.ledger.thresholds import Crossing
from gateway.wire import json

SECRET = "a-secret-of-the-tests"
WEBHOOK = BudgetWebhook(url="https://hooks.example.com/budgets", secret=Secret(SECRET))
RULE = Rule("key", "key_1", "budget", "picodollars", 5_000_000_000_000, "1d")
CROSSING = Crossing(RULE, 80, 4_100_000_000_000, 1_800_058_000.5, 1_800_057_600.0, 1_800_144_000.0)


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def note(self, event: str, **attributes: Any) -> None:
        self.said.append((event, attributes))

    info = warning = error = note


class Receiver:
    """A webhook that answers with these statuses, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes, _seconds: float) -> int:
        self.got.append((url, headers, body))
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


def told(receiver: Receiver, *crossings: Crossing, first=None) -> tuple[Log, list[float], list[Crossing]]:
    log, pauses, counted = Log(), [], []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def run() -> None:
        notices = Notices(log, receiver, counted.append, first, sleep)
        notices.use(WEBHOOK)
        for crossing in crossings:
            notices.tell(crossing)
        await notices.close(5)

    asyncio.run(run())
    return log, pauses, counted


def test_a_notice_is_logged_counted_and_sent_with_a_signature_its_receiver_can_check():
    receiver = Receiver(204)
    log, pauses, counted = told(receiver, CROSSING)
    ((url, headers, body),) = receiver.got
    assert url == WEBHOOK.url
    signed = headers["x-gateway-timestamp"].encode() + b"." + body
    assert headers["x-gateway-signature"] == "v1=" + hmac.new(SECRET.encode(), signed, "sha256").hexdigest()
    expected = {
        "event": "budget.reached",
        "id": identifier(CROSSING),
        "at": "2027-01-16T00:06:40Z",
        "percent": 80,
        "scope": "key",
        "subject": "key_1",
        "unit": "usd",
        "budget": 5.0,
        "used": 4.1,
        "period": "1d",
        "resets_at": "2027-01-17T00:00:00Z",
    }
    assert json.loads(body) == expected
    del expected["event"]
    assert log.said == [("budget_reached", expected)]
    assert (pauses, counted) == ([], [CROSSING])


def test_a_receiver_that_is_away_is_asked_again_with_the_same_id_and_then_given_up():
    back, gone = Receiver(0, 503, 200), Receiver(500)
    assert told(back, CROSSING)[1] == list(PAUSES[:2])
    assert len({json.loads(body)["id"] for _, _, body in back.got}) == 1
    log, pauses, _ = told(gone, CROSSING)
    assert pauses == list(PAUSES)
    assert len(gone.got) == 4
    assert [event for event, _ in log.said] == ["budget_reached", "budget_notice_lost"]


def test_of_several_processes_the_one_that_claims_it_tells():
    claimed: dict[str, float] = {}

    async def first(name: str, seconds: float) -> bool:
        return claimed.setdefault(name, seconds) == seconds and len(claimed) == 1

    async def never(_name: str, _seconds: float) -> bool:
        return False

    receiver = Receiver(200)
    told(receiver, CROSSING, first=first)
    assert list(claimed) == [f"told:{identifier(CROSSING)}"]
    assert "key_1" not in str(claimed)
    log, _, counted = told(receiver, CROSSING, first=never)
    assert (len(receiver.got), log.said, counted) == (1, [], [])


def test_an_id_differs_by_budget_window_and_threshold():
    later = Crossing(RULE, 80, 1, 0.0, 1_800_144_000.0, 1_800_230_400.0)
    ended = Crossing(RULE, 100, 1, 0.0, CROSSING.start, CROSSING.end)
    same = Crossing(RULE, 80, 7, 1.0, CROSSING.start, CROSSING.end)
    assert len({identifier(each) for each in (CROSSING, later, ended)}) == 3
    assert identifier(same) == identifier(CROSSING)


def test_notices_of_an_application_that_is_closed_on_another_loop_are_given_up_there():
    """In process, an application may run on one event loop and be closed on another."""
    begun, given_up = threading.Event(), threading.Event()

    async def never(*_: Any) -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return 200

    notices = Notices(Log(), never)
    notices.use(WEBHOOK)

    async def living() -> None:
        notices.tell(CROSSING)
        while not given_up.is_set():  # noqa: ASYNC110 - it is looked at from a thread too
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(living(),))
    thread.start()
    assert begun.wait(60)
    asyncio.run(asyncio.wait_for(notices.close(1_000), 60))
    assert given_up.wait(60)
    thread.join(60)
