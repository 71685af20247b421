"""When a ledger begins and ends: for a server, for calls in process, across forks, and at the end of a script."""

import asyncio
import gc
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from gateway.config.load import from_mapping
from gateway.errors import ConfigError, RequestError, Unavailable
from gateway.ledger.allowances import Amount, Rule
from gateway.ledger.books import Books
from gateway.ledger.options import named, options
from tests.ledger.kit import Log, segments
from tests.ledger.records import made
from tests.ledger.test_ledger import inside, until

ROOT = Path(__file__).parents[2]


def settings(folder: Path | None = None, **sections):
    if folder is not None:
        sections.setdefault("general_settings", {"database_url": f"sqlite:///{folder}/gateway.db"})
        sections.setdefault("ledger", {"folder": str(folder / "journal")})
    return from_mapping(sections).settings


def run(work):
    return asyncio.run(asyncio.wait_for(work, 60))


@pytest.mark.parametrize(
    ("sections", "kept"),
    [
        ({}, False),
        ({"general_settings": {"master_key": "a-master-key"}}, False),
        ({"general_settings": {"database_url": "sqlite:///x.db"}}, True),
        ({"ledger": {"retention_days": 30}}, True),
        ({"ledger": {"enabled": True}}, True),
        ({"ledger": {"enabled": False}}, False),
        ({"ledger": {"enabled": False}, "general_settings": {"database_url": "sqlite:///x.db"}}, False),
    ],
)
def test_in_process_usage_is_recorded_only_where_the_configuration_says_where(sections, kept):
    books = Books(settings(**sections), Log())
    assert books.keeps is kept
    assert named(settings(**sections)) is bool(sections.get("ledger") or "x.db" in str(sections))


def test_options_are_the_configurations():
    found = options(
        settings(ledger={"retention_days": 7, "rollup_days": 30, "max_bytes": 1 << 20, "when_full": "refuse"})
    )
    assert (found.retention_days, found.rollup_days, found.max_bytes, found.when_full) == (7, 30, 1 << 20, "refuse")
    assert found.folder == Path("gateway.db-ledger")
    assert options(settings(ledger={"folder": "/var/x"})).folder == Path("/var/x")


def test_nothing_is_on_the_disk_before_the_first_request_in_process(tmp_path):
    async def work():
        books = Books(settings(tmp_path), Log())
        assert list(tmp_path.iterdir()) == []
        assert books.state == (True, "not begun")
        assert books.admit() is True
        assert len(segments(tmp_path)) == 1
        books.keep(made(1))
        await books.close()

    run(work())
    assert inside(tmp_path) == ["req_1"]


def test_a_closed_one_begins_anew_with_the_next_request(tmp_path):
    async def work():
        books = Books(settings(tmp_path), Log())
        for number in range(3):
            books.keep(made(number))
            await books.close()

    run(work())
    assert inside(tmp_path) == ["req_0", "req_1", "req_2"]


def test_records_from_many_threads_while_it_is_closed_again_and_again(tmp_path):
    log = Log()

    async def work():
        books = Books(settings(tmp_path), log)

        def write(first):
            for number in range(first, first + 200):
                books.keep(made(number))

        threads = [Thread(target=write, args=(first * 200,)) for first in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            await books.close()
        await books.close()
        last = Books(settings(tmp_path), log)
        last.admit()
        await last.asked().flush()
        await until(lambda: len(segments(tmp_path)) == 1)
        await last.close()

    run(work())
    assert sorted(inside(tmp_path)) == sorted(f"req_{number}" for number in range(800))


def test_one_that_nobody_has_any_more_is_ended(tmp_path):
    """A client that is made for one call and dropped leaves no thread and no open file behind."""

    async def work():
        books = Books(settings(tmp_path), Log())
        books.keep(made(1))
        assert len(segments(tmp_path)) == 1
        del books
        gc.collect()
        await until(lambda: segments(tmp_path) == [])

    run(work())
    assert inside(tmp_path) == ["req_1"]


def test_a_server_records_by_default_and_goes_on_where_it_cannot(tmp_path, monkeypatch):
    """A read-only container: nobody has asked for a ledger, and requests are served."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway.db-ledger").write_text("in the way")
    log = Log()
    books = Books(settings(), log)
    books.start()
    assert books.admit() is True
    books.keep(made(1))
    assert books.losses.of("not_begun") == 1
    assert books.state == (True, "nothing is recorded: the folder of its journal cannot be used")
    assert log.names() == ["ledger_not_recording"]
    with pytest.raises(Unavailable) as refused:
        books.asked()
    assert "gateway.db-ledger" not in refused.value.message


def test_a_server_whose_ledger_is_asked_for_and_cannot_be_kept_does_not_start(tmp_path):
    (tmp_path / "journal").write_text("in the way")
    with pytest.raises(ConfigError, match=r"ledger: the journal's folder .*journal cannot be used"):
        Books(settings(tmp_path), Log()).start()


def test_where_it_cannot_be_kept_and_that_is_wanted_requests_are_refused(tmp_path):
    (tmp_path / "journal").write_text("in the way")
    books = Books(settings(tmp_path, ledger={"folder": str(tmp_path / "journal"), "when_full": "refuse"}), Log())
    with pytest.raises(Unavailable, match="cannot be recorded"):
        books.admit()
    assert books.state[0] is False


def test_what_nobody_records_is_asked_in_vain():
    books = Books(settings(), Log())
    assert books.admit() is False
    assert run(books.spent(Rule("all", "", "budget", "tokens", 1), 0)) == Amount()
    with pytest.raises(RequestError) as refused:
        books.asked()
    assert refused.value.status == 404


def test_budgets_are_told_what_was_spent(tmp_path):
    async def work():
        books = Books(settings(tmp_path), Log())
        books.keep(made(1))
        found = await books.spent(Rule("key", "key_1", "budget", "tokens", 1), 0)
        await books.close()
        return found

    assert run(work()).tokens == 120


def script(folder: Path, text: str) -> str:
    """Run a script whose gateway is `gateway`; what it prints."""
    head = f"""
import os, sys, tempfile
from gateway import Client
config = {{
    "model_list": [{{"model_name": "demo", "litellm_params": {{"model": "demo/demo"}}}}],
    "policies": [],
    "general_settings": {{"database_url": "sqlite:///{folder}/gateway.db"}},
    "ledger": {{"folder": "{folder}/journal"}},
}}
"""
    done = subprocess.run(  # noqa: S603 - it is this Python
        [sys.executable, "-c", head + text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_script_that_just_ends_has_its_usage_in_the_database(tmp_path):
    script(
        tmp_path,
        "for number in range(3):\n"
        "    Client(config).completion(model='demo', prompt='hi', max_tokens=1, request_id=f'req_{number}')\n",
    )
    assert inside(tmp_path) == ["req_0", "req_1", "req_2"]
    assert segments(tmp_path) == []


def test_calls_with_text_completion_are_recorded_too_and_nothing_is_made_for_others(tmp_path):
    script(
        tmp_path,
        "from gateway import text_completion\n"
        "os.chdir(tempfile.mkdtemp())\n"
        "text_completion('demo', 'hi', config={'model_list': config['model_list'], 'policies': []}, max_tokens=1)\n"
        "assert os.listdir('.') == [], os.listdir('.')\n"
        "text_completion('demo', 'hi', config=config, max_tokens=1, request_id='req_1')\n"
        "assert os.listdir('.') == [], os.listdir('.')\n",
    )
    assert inside(tmp_path) == ["req_1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_has_a_journal_of_its_own_and_leaves_its_parents_alone(tmp_path):
    script(
        tmp_path,
        """
import asyncio, time
client = Client(config)

async def asked(number):
    await client.acompletion(model='demo', prompt='hi', max_tokens=1, request_id=f'req_{number}')

asyncio.run(asked(0))
child = os.fork()
if child == 0:
    asyncio.run(asked(1))
    os._exit(0)  # as multiprocessing does: nobody ships what it wrote
asyncio.run(asked(2))
os.waitpid(child, 0)
asyncio.run(asked(3))
""",
    )
    left = Books(settings(tmp_path), Log())

    async def ship():
        left.admit()
        await left.asked().flush()
        await until(lambda: len(segments(tmp_path)) == 1)
        await left.close()

    run(ship())
    assert sorted(inside(tmp_path)) == ["req_0", "req_1", "req_2", "req_3"]


def test_a_fault_that_lasts_is_told_once(tmp_path):
    (tmp_path / "journal").write_text("in the way")
    log = Log()
    books = Books(settings(tmp_path), log)
    for number in range(5):
        books.keep(made(number))
        books._begin_at = 0.0
    assert log.names() == ["ledger_not_recording"]
    (tmp_path / "journal").unlink()
    books._begin_at = 0.0
    books.keep(made(9))
    assert books.losses.of("not_begun") == 5
    assert replace(books.options).folder.is_dir()
    run(books.close())
