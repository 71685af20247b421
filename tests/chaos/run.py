"""One chaos run: a real `gateway serve`, three upstreams that fall ill by turns, clients, and everything they saw."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import books, served
from tests.chaos.books import Books
from tests.chaos.clients import Clients, Outcome
from tests.chaos.rotation import MISHAPS, WELLNESS, Turn, play, put, rotation
from tests.chaos.watching import Look, Watch, resting
from tests.e2e import kit
from tests.faults.upstream import Upstream, serving

NAMES = ("a", "b", "c")
LANGUAGES = {"a": "text-completion-openai", "b": "openai", "c": "openai"}
WARM_SECONDS = 3.0
MOST_MEMORY = 16.0
"""MB that the gateway may have grown by from the second quarter of the run to the last."""

_DATABASE = "usage.db"
_FAULTS = ("internal_error", "Traceback", "was never retrieved", "was never awaited", '"exception"')

_DEPLOYMENT = """
  - model_name: chaos
    litellm_params:
      {{model: {language}/it, api_base: "{url}/v1", api_key: sk-of-a-test, timeout: 3, stream_timeout: 1,
       input_cost_per_token: 0.000001, output_cost_per_token: 0.000002}}
    model_info: {{id: {name}}}"""
_CONFIG = """model_list:{deployments}
router_settings: {{num_retries: {retries}, timeout: 10, allowed_fails: 3, cooldown_time: 1}}
general_settings: {{database_url: "sqlite:///{database}"}}
policies: []
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `retries` leaves room for a request that meets a deployment just before and just after its turn."""

    seconds: float
    seed: int = 1
    workers: int = 1
    clients: int = 64
    retries: int = 5


@dataclass(frozen=True, slots=True)
class Stand:
    """What the gateway's processes hold while nothing is under way: descriptors by kind, and tasks where one process
    can be asked for them."""

    descriptors: Counter[str]
    tasks: tuple[str, ...] | None


@dataclass(slots=True)
class Report:
    """What came of a run."""

    plan: Plan
    turns: list[Turn]
    upstreams: Mapping[str, Upstream] = field(repr=False)
    outcomes: list[Outcome] = field(repr=False)
    looks: list[Look] = field(repr=False)
    before: Stand
    after: Stand
    exit_status: int
    log_faults: list[str]
    books: Books

    def grown(self) -> float:
        """MB by which memory grew: the median of the last quarter less that of the second."""
        memory = [look.memory for look in self.looks]
        quarter = max(1, len(memory) // 4)
        return _median(memory[-quarter:]) - _median(memory[quarter : 2 * quarter])

    def ends(self) -> Counter[str]:
        """How many requests ended in which way."""
        return Counter(outcome.end for outcome in self.outcomes)

    def cut_streams(self) -> int:
        """Streams that an upstream broke off after their first text, as far as it knows."""
        return sum(
            call.completion_tokens > 0 and (call.state != "answered" or call.fault.name not in ("none", "slow"))
            for upstream in self.upstreams.values()
            for call in upstream.asked
            if call.body.get("stream")
        )

    def broken_promises(self) -> list[str]:
        """Everything that must not have happened, in words; empty when all is well."""
        ends = self.ends()
        bad = [outcome for outcome in self.outcomes if outcome.end in ("refused", "broken", "wrong")]
        checks = (
            (not bad, f"{len(bad)} requests were not served though a deployment was well: {_few(bad)}"),
            (ends["in band"] <= self.cut_streams(), f"{ends['in band']} streams failed, and fewer were cut"),
            (ends["whole"] > 0, "no request was served"),
            (not self.books.lost, f"{len(self.books.lost)} ledger rows lost: {self.books.lost[:5]}"),
            (not self.books.doubled, f"{len(self.books.doubled)} ledger rows doubled: {self.books.doubled[:5]}"),
            (not self.books.strangers, f"{len(self.books.strangers)} ledger rows of nobody"),
            (not self.books.differing, f"{len(self.books.differing)} bills differ: {self.books.differing[:5]}"),
            (not self.books.miscounted, f"{len(self.books.miscounted)} rows name too few attempts"),
            (self.books.compared > 0, "no bill could be compared"),
            (self.before.descriptors == self.after.descriptors, f"descriptors: {self._descriptors()}"),
            (self.before.tasks == self.after.tasks, f"tasks: {self.before.tasks} became {self.after.tasks}"),
            (self.grown() <= MOST_MEMORY, f"memory grew by {self.grown():.1f} MB"),
            (self.exit_status == 0, f"the gateway ended with status {self.exit_status}"),
            (not self.log_faults, f"the log has faults: {self.log_faults[:3]}"),
        )
        return [said for kept, said in checks if not kept]

    def _descriptors(self) -> str:
        return f"{dict(self.before.descriptors)} became {dict(self.after.descriptors)}"


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def _few(outcomes: Sequence[Outcome]) -> str:
    kinds = Counter((one.end, one.status, one.code) for one in outcomes)
    return f"{kinds.most_common(4)}, first {outcomes[:2]}"


def run(plan: Plan, folder: Path) -> Report:
    """Run it in `folder`, which then has the gateway's log and ledger."""
    return asyncio.run(_run(plan, folder))


@asynccontextmanager
async def _running(plan: Plan, folder: Path) -> AsyncIterator[tuple[kit.Process, Mapping[str, Upstream]]]:
    """A gateway that is ready, and its upstreams, which are well."""
    async with AsyncExitStack() as stack:
        upstreams = {
            name: await stack.enter_async_context(serving(name=name, seed=plan.seed, words=100)) for name in NAMES
        }
        process = stack.enter_context(kit.started(folder, _command(folder, upstreams, plan), kit.environment()))
        process.url = await asyncio.to_thread(kit.until, "its address", lambda: kit.address(process, process.err))
        ready = f"{process.url}/health/ready"
        await asyncio.to_thread(kit.until, "readiness", lambda: kit.status(ready) == 200)
        await _put_all(upstreams, WELLNESS, plan.seed)
        yield process, upstreams


async def _put_all(upstreams: Mapping[str, Upstream], state: str, seed: int) -> None:
    for number, upstream in enumerate(upstreams.values()):
        await put(upstream, MISHAPS[state], seed + number)


async def _run(plan: Plan, folder: Path) -> Report:
    turns = rotation(NAMES, plan.seconds, plan.seed)
    async with _running(plan, folder) as (process, upstreams):
        pids = kit.children(process.pid) if plan.workers > 1 else [process.pid]
        await Clients(process.url, plan.seed, leaving=0.0, prefix="warm-").run(plan.clients, WARM_SECONDS)
        before = await _stand(process, pids, upstreams, plan)
        clients, watch = Clients(process.url, plan.seed), Watch(process.url, pids)
        await asyncio.gather(
            play(turns, upstreams, plan.seed),
            clients.run(plan.clients, plan.seconds),
            watch.run(plan.seconds),
        )
        await _put_all(upstreams, WELLNESS, plan.seed)
        after = await _stand(process, pids, upstreams, plan)
        exit_status = await asyncio.to_thread(process.stop)
    told = (process.out + process.err).splitlines()
    return Report(
        plan,
        turns,
        upstreams,
        clients.outcomes,
        watch.looks,
        before,
        after,
        exit_status,
        [line for line in told if any(fault in line for fault in _FAULTS)],
        books.compare(books.rows(folder / _DATABASE), clients.outcomes, upstreams),
    )


async def outage(plan: Plan, mishap: str, folder: Path, requests: int) -> tuple[int, int]:
    """About so many requests, and calls that reached a provider, while every deployment has the same mishap."""
    async with _running(plan, folder) as (process, upstreams):
        await _put_all(upstreams, mishap, plan.seed)
        connections = sum(upstream.accepted for upstream in upstreams.values())
        clients = Clients(process.url, plan.seed, leaving=0.0, thinking=0.01, most=requests)
        await clients.run(plan.clients, plan.seconds)
        calls = sum(upstream.counts.asked for upstream in upstreams.values())
        if MISHAPS[mishap].port == "slams":  # nothing is read there: a call is a connection
            calls = sum(upstream.accepted for upstream in upstreams.values()) - connections
        return len(clients.outcomes), calls


def _command(folder: Path, upstreams: Mapping[str, Upstream], plan: Plan) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    deployments = "".join(
        _DEPLOYMENT.format(language=LANGUAGES[name], url=upstream.url, name=name)
        for name, upstream in upstreams.items()
    )
    config = _CONFIG.format(deployments=deployments, retries=plan.retries, database=_DATABASE)
    (folder / "config.yaml").write_text(config)
    arguments = ("serve", "--config", "config.yaml", "--port", "0")
    several = ("--workers", str(plan.workers)) if plan.workers > 1 else ()
    return [sys.executable, "-m", "tests.chaos.served", *arguments, *several]


async def _stand(process: kit.Process, pids: Sequence[int], upstreams: Mapping[str, Upstream], plan: Plan) -> Stand:
    """Wait until nothing is under way, close what is only kept for later, and look."""
    for upstream in upstreams.values():
        async with asyncio.timeout(kit.SECONDS):
            await upstream.idle.wait()
        upstream.shut()
        await upstream.reopen()
    descriptors = await resting(pids)
    if plan.workers > 1:
        return Stand(descriptors, None)
    file = process.folder / served.TASKS
    file.unlink(missing_ok=True)
    process.signal(signal.SIGUSR1)
    await asyncio.to_thread(kit.until, "the names of its tasks", file.exists)
    return Stand(descriptors, tuple(file.read_text().splitlines()))
