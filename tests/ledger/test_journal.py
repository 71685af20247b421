"""The journal's files: what is in them after whatever happens."""

import os
import resource
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import journal
from gateway.ledger.journal import Journal

LINES = [b'{"a":1}\n', b'{"b":22}\n', b'{"c":333}\n']


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


def everything(segment):
    lines, at = [], 0
    while True:
        found, end = journal.read(segment, at, 2)
        if end == at:
            return lines
        lines += found
        at = end


@contextmanager
def disk_of(size):
    """No file may grow beyond so many bytes: as a full disk, the write that passes it is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def abandoned(folder, data):
    """What a worker that was killed has left."""
    one = Journal(folder)
    one.append(data)
    one.close()


def orphans(folder):
    here = Journal(folder)
    found = list(here.orphans())
    lines = [everything(segment) for segment in found]
    for segment in found:
        here.release(segment)
    here.close()
    return lines


def test_lines_are_read_as_they_were_written(folder):
    one = Journal(folder)
    for line in LINES:
        one.append(line)
    assert everything(one.active) == [line.rstrip() for line in LINES]
    assert one.waiting() == sum(map(len, LINES))


def test_a_worker_killed_at_any_byte_leaves_the_lines_before_it(folder):
    whole = b"".join(LINES)
    for cut in range(len(whole) + 1):
        abandoned(folder, whole[:cut] or b"x")
        (path,) = folder.glob("*.jsonl")
        os.truncate(path, cut)
        assert orphans(folder) == [[line.rstrip() for line in whole[:cut].splitlines(True) if line.endswith(b"\n")]]
        path.unlink()


@given(st.lists(st.binary(min_size=1).map(lambda text: text.replace(b"\n", b" ")), max_size=9), st.integers(1, 4))
def test_a_segment_is_read_in_any_number_of_batches(tmp_path_factory, texts, most):
    one = Journal(tmp_path_factory.mktemp("journal"))
    for text in texts:
        one.append(text + b"\n")
    found, at = [], 0
    while at < one.active.size:
        lines, at = journal.read(one.active, at, most)
        assert len(lines) <= most
        found += lines
    assert found == texts
    one.close()


def test_a_line_longer_than_a_read_is_read_whole(folder):
    one = Journal(folder)
    long = b"x" * (3 * journal.READ_BYTES)
    one.append(long + b"\n")
    one.append(LINES[0])
    assert everything(one.active) == [long, LINES[0].rstrip()]


def test_what_a_living_worker_writes_is_its_own(folder):
    alive = Journal(folder)
    alive.append(LINES[0])
    assert orphans(folder) == []
    assert Journal(folder).others() == len(LINES[0])
    alive.close()
    assert orphans(folder) == [[LINES[0].rstrip()]]


def test_one_of_two_workers_gets_an_orphan(folder):
    abandoned(folder, LINES[0])
    one, other = Journal(folder), Journal(folder)
    (found,) = one.orphans()
    assert list(other.orphans()) == []
    one.remove(found)
    one.release(found)
    assert list(other.orphans()) == []


def test_an_orphan_that_is_deleted_while_it_is_being_opened_is_nobodys(folder):
    abandoned(folder, LINES[0])
    one, other = Journal(folder), Journal(folder)
    (found,) = one.orphans()
    second = os.open(found.path, os.O_RDWR)
    one.remove(found)
    one.release(found)
    assert not journal._lock(second)
    os.close(second)
    assert list(other.orphans()) == []


def test_a_segment_that_is_rotated_is_still_this_workers_until_it_is_removed(folder):
    one = Journal(folder)
    one.rotate()
    assert one.sealed == []  # an empty one goes on
    one.append(LINES[0])
    one.rotate()
    one.append(LINES[1])
    (sealed,) = one.sealed
    assert (everything(sealed), everything(one.active)) == ([LINES[0].rstrip()], [LINES[1].rstrip()])
    assert orphans(folder) == []
    one.remove(sealed)
    one.release(sealed)
    assert one.own() == [one.active]
    assert one.waiting() == len(LINES[1])


def test_names_are_never_used_twice(folder):
    names = set()
    for _ in range(50):
        one = Journal(folder)
        names.add(one.active.name)
        one.close()
    assert len(names) == 50
    assert list(folder.iterdir()) == []  # empty ones leave nothing


@pytest.mark.parametrize("room", range(len(LINES[1])))
def test_what_a_full_disk_does_not_take_is_written_later_in_order(folder, room):
    one = Journal(folder)
    one.append(LINES[0])
    with disk_of(len(LINES[0]) + room):
        for line in LINES[1:]:
            with pytest.raises(OSError, match=r"too large|No space"):
                one.append(line)
        assert one.held == 2
        assert everything(one.active) == [LINES[0].rstrip()]
    one.retry()
    assert one.held == 0
    assert everything(one.active) == [line.rstrip() for line in LINES]


def test_the_next_record_takes_those_along_that_are_held(folder):
    one = Journal(folder)
    with disk_of(0), pytest.raises(OSError, match="too large"):
        one.append(LINES[0])
    one.append(LINES[1])
    assert everything(one.active) == [LINES[0].rstrip(), LINES[1].rstrip()]


def test_what_memory_does_not_hold_is_counted(folder, monkeypatch):
    monkeypatch.setattr(journal, "HELD_LINES", 1)
    one = Journal(folder)
    with disk_of(0):
        for line in LINES:
            with pytest.raises(OSError, match="too large"):
                one.append(line)
    assert (one.held, one.lost) == (1, 2)
    assert "1 records held in memory, 2 records lost" in repr(one)


def test_only_this_user_may_read_it(folder):
    one = Journal(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert one.active.path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_stays_torn_harms_no_other(folder, monkeypatch):
    def fails(*_):
        raise OSError("the disk is gone")

    one = Journal(folder)
    one.append(LINES[0])
    monkeypatch.setattr(os, "ftruncate", fails)
    with disk_of(len(LINES[0]) + 3), pytest.raises(OSError, match="No space"):
        one.append(LINES[1])
    one.append(LINES[2])
    torn = LINES[1][:3]
    assert everything(one.active) == [LINES[0].rstrip(), torn, LINES[1].rstrip(), LINES[2].rstrip()]


def test_a_file_of_somebody_elses_in_the_folder_is_left_alone(folder):
    folder.mkdir()
    theirs = [folder / name for name in ("labelled.jsonl", "2026-01-01-export.jsonl", f"{'A' * 16}-{'0' * 16}.jsonl")]
    for path in theirs:
        path.write_bytes(b'{"text": "hello"}\n')
    one = Journal(folder)
    assert list(one.orphans()) == []
    assert one.others() == 0
    one.close()
    assert [path.read_bytes() for path in theirs] == [b'{"text": "hello"}\n'] * 3
