"""Change detection without threads."""

import os

from gateway.config.watch import Watcher


def test_a_write_is_seen_once(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("a")
    watcher = Watcher([file])
    assert not watcher.changed()
    file.write_text("ab")
    assert watcher.changed()
    assert not watcher.changed()


def test_a_write_of_the_same_size_is_seen_by_its_time(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("a")
    watcher = Watcher([str(file)])
    file.write_text("b")
    os.utime(file, ns=(1, 1))
    assert watcher.changed()


def test_a_file_replaced_by_a_rename_is_seen_by_its_inode(tmp_path):
    file, other = tmp_path / "config.yaml", tmp_path / "other"
    file.write_text("a")
    watcher = Watcher([file])
    other.write_text("b")
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert watcher.changed()


def test_a_link_that_moves_is_seen(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "config.yaml"
    link.symlink_to("one")
    watcher = Watcher([link])
    link.unlink()
    link.symlink_to("two")
    assert watcher.changed()


def test_a_file_may_go_and_come_back(tmp_path):
    file = tmp_path / "config.yaml"
    watcher = Watcher([file])
    assert not watcher.changed()
    file.write_text("a")
    assert watcher.changed()
    file.unlink()
    assert watcher.changed()
    assert not watcher.changed()
    assert str(file) in repr(watcher)
