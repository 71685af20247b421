"""Exactly once: what was appended is in the database once, whenever and however often workers end."""

import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import entry, journal
from gateway.ledger.journal import Journal
from gateway.ledger.shipper import Shipper
from gateway.ledger.store import Batch, Store
from tests.ledger import kit
from tests.ledger.records import made

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "ship", "rotate", "adopt", "end", "torn", "stored", "deleted"]), st.integers(1, 4)
    ),
    max_size=25,
)


class Workers:
    """Workers one after another in one folder. Each may end between any two of the things it does."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.appended = 0
        self.start()

    def start(self) -> None:
        self.journal = Journal(self.folder)
        self.shipper = Shipper(self.store, self.journal, kit.Log(), lambda: True)

    def end(self) -> None:
        """As after `kill -9`: files and their bytes stay, locks go, and memory is lost."""
        for segment in self.journal.own():
            os.close(segment.descriptor)
        self.start()

    def do(self, step: str, number: int) -> None:
        if step == "append":
            for _ in range(number):
                self.journal.append(entry.line(made(self.appended)))
                self.appended += 1
        elif step == "ship":
            self.shipper.own()
        elif step == "rotate":
            self.shipper.own(rotate=True)
        elif step == "adopt":
            self.shipper.adopt()
        elif step == "end":
            self.end()
        elif step == "torn":  # killed while a line was being written
            self.journal.append(entry.line(made(10**6))[: number * 100])
            self.end()
        elif step == "stored":  # killed when the database had stored a batch and nobody knew
            self.store.ship(self.journal.active.name, self._some(number), kit.never)
            self.end()
        else:  # killed when a file was deleted, and the database still knew it
            self.shipper.own()
            self.journal.remove(self.journal.active)
            self.end()

    def _some(self, number: int):
        segment = self.journal.active

        def read(start: int) -> Batch:
            lines, at = journal.read(segment, start, number)
            return Batch(at, *entry.lines(lines))

        return read


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_each_record_is_stored_once(steps):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/gateway.db")
        store.prepare()
        workers = Workers(store, Path(folder) / "journal")
        for step, number in steps:
            workers.do(step, number)
        workers.end()
        workers.shipper.adopt()
        assert sorted(kit.stored(store)) == sorted(f"req_{number}" for number in range(workers.appended))
        assert kit.queries.usage(store.engine, "day").total.requests == workers.appended
        assert kit.segments(Path(folder)) == [workers.journal.active.path]
        workers.journal.close()
        store.close()


WORKER = """
import asyncio, itertools, os, sys
from pathlib import Path
from gateway.ledger import writer
from tests.ledger import kit
from tests.ledger.records import made

writer.FIRST_SECONDS = 0.0
writer.TICK_SECONDS = 0.01
folder, url, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
ledger = kit.ledger(folder, kit.Log(), url)

async def work():
    for number in itertools.count():
        ledger.append(made(request_id=f"{name}-{number}"))
        os.write(1, f"{name}-{number}\\n".encode())  # the last byte of the answer
        if number % 20 == 0:
            await asyncio.sleep(0.001)

asyncio.run(work())
"""


def killed(folder, url, name, lines) -> list[str]:
    """What the client of one worker saw complete before the worker was killed; `lines` answers in, at the soonest."""
    command = [sys.executable, "-c", WORKER, str(folder), url, name]
    with Popen(command, stdout=PIPE, cwd=Path(__file__).parent.parent.parent) as child:  # noqa: S603 - it is this Python
        seen = [child.stdout.readline() for _ in range(lines)]
        os.kill(child.pid, signal.SIGKILL)
        seen += child.stdout.read().splitlines(keepends=True)
    return [line.decode().strip() for line in seen if line.endswith(b"\n")]


@pytest.mark.slow
def test_workers_killed_at_random_moments_lose_nothing_and_store_nothing_twice(database_url, tmp_path):
    dice = random.Random(7)  # noqa: S311 - moments, not secrets
    seen: list[str] = []
    for round_ in range(15):
        seen += killed(tmp_path, database_url, f"worker-{round_}", dice.randrange(1, 8000))
    store = Store(database_url)
    store.prepare()
    assert kit.stored(store)  # they were shipping when they were killed
    last = Journal(tmp_path / "journal")
    Shipper(store, last, kit.Log(), lambda: True).adopt()
    found = Counter(kit.stored(store))
    assert set(found.values()) == {1}
    assert set(seen) <= set(found)
    assert len(found) - len(seen) <= 15  # of each worker, one at the most that was written and not yet answered
    assert kit.queries.usage(store.engine, "day").total.requests == len(found)
    assert kit.segments(tmp_path) == [last.active.path]
    store.close()
