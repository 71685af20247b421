"""A process in which nothing may be reached: run as a script by `test_no_network.py`, with what to do as its argument.

Two seals. The kernel kills the process when it connects a socket at all, and, once texts are judged, when it asks for
an Internet socket (seccomp filters, which processes it starts inherit): that holds for compiled libraries too. Python's
audit events tell what was tried, and which files were opened while texts were judged.
"""

import asyncio
import ctypes
import os
import platform
import socket
import struct
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_MACHINES = {"x86_64": (0xC000003E, 42, 41), "aarch64": (0xC00000B7, 203, 198)}
"""How seccomp names the machine, and the numbers of the system calls `connect` and `socket` there."""
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06

can_seal = sys.platform == "linux" and platform.machine() in _MACHINES
_REACHING = (
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo",
    "socket.sendto", "socket.sendmsg", "urllib.Request", "http.client.connect", "ftplib.connect",
    "smtplib.connect", "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "webbrowser.open",
)  # fmt: skip


def seal(*, sockets: bool) -> None:
    """From here on the kernel kills this process, and those it starts, for `connect`; with `sockets`, for asking for an
    Internet socket. (At its import, urllib3 makes one to learn whether there is IPv6; it connects it to nothing.)

    https://docs.kernel.org/userspace-api/seccomp_filter.html; the offsets are those of `struct seccomp_data`.
    """
    machine, connect, socket_ = _MACHINES[platform.machine()]
    inet = ((_LOAD, 0, 0, 16), (_EQUAL, 2, 0, socket.AF_INET), (_EQUAL, 1, 0, socket.AF_INET6)) if sockets else ()
    program = (
        (_LOAD, 0, 0, 4), (_EQUAL, 0, 2 + len(inet), machine),
        (_LOAD, 0, 0, 0), (_EQUAL, 0 if sockets else 1, len(inet), socket_ if sockets else connect), *inet,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL),
    )  # fmt: skip
    code = b"".join(struct.pack("HBBI", *one) for one in program)
    held = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HxxxxxxP", len(program), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, described, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


class Watch:
    """What is tried: addresses that are reached for, always; files outside the installation, while `judging`."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.judging = False
        self.opened: set[str] = set()
        paths = sysconfig.get_paths()
        inside = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], sys.prefix, str(ROOT)}
        self._inside = tuple(os.path.realpath(one) + os.sep for one in inside)
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _REACHING and not _is_local(event, arguments):
            self.tried.append(f"{event} {arguments[:2]!r}")
            raise PermissionError(event)
        if self.judging and event == "open" and isinstance(arguments[0], str | bytes):
            name = os.path.realpath(os.fsdecode(arguments[0]))
            if not name.startswith(self._inside):
                self.opened.add(name)


def _is_local(event: str, arguments: tuple[Any, ...]) -> bool:
    """A pipe between processes of this machine, which the pool of processes may use."""
    return event == "socket.connect" and getattr(arguments[0], "family", None) == socket.AF_UNIX


def texts() -> list[str]:
    """Everything at hand in which something is found, or nearly."""
    from gateway.config.document import parse
    from gateway.guards import packs
    from tests.guards import injection_cases, pii_texts, secrets_table

    found = ["a@b.co.uk, see https://sub.example.co.uk/x and 203.0.113.7, or mail bob@new.tld.invalid"]
    for name in packs.names():
        tests = parse(packs.pack(name).read_text("utf-8")).value["tests"]
        found += [test.get("input") or test["output"] for test in tests]
    found += pii_texts.VALUES
    found += [secrets_table.text_of(template)[0] for row in secrets_table.ROWS for template in row[1:]]
    found += [*injection_cases.ATTACKS, *injection_cases.BENIGN]
    return found


async def judged(watch: Watch) -> int:
    """Judge every text by every shipped pack, at both stages, whole and in pieces; how much was found."""
    from gateway.guards import engine, load, packs
    from gateway.guards.assemble import assembled
    from gateway.guards.base import Context, Text
    from gateway.guards.policy import Run
    from gateway.guards.ports import Pool, Ports
    from gateway.guards.vault import Vault
    from gateway.guards.window import Window

    ports = Ports(count=len, pool=Pool())
    policies = [assembled(one, ports) for one in load.load(packs.names(), environ={}).policies]
    corpus = texts()
    if can_seal:
        seal(sockets=True)
    watch.judging = True
    count = 0
    for text in corpus:
        for stage in ("input", "output"):
            outcome = await engine.judge(policies, [Text("text", text)], Context(stage))
            assert {verdict.status for verdict in outcome.verdicts} <= {"ok", "skipped"}, outcome.verdicts
            count += sum(len(verdict.findings) for verdict in outcome.verdicts)
        one = Window([Run(policy) for policy in policies if policy.spans], "text", Vault())
        for at in range(0, len(text), 9):
            one.feed(text[at : at + 9])
        one.close()
    watch.judging = False
    return count


async def named(watch: Watch) -> int:
    """Names, by the model in its own process, which is sealed as this one is."""
    from gateway.guards import ner
    from gateway.guards.base import Context, Text
    from gateway.guards.pii.guard import EntityConfig, PiiConfig

    guard = ner.build(PiiConfig(entities={"PERSON": EntityConfig(engine="ner")}))
    assert guard is not None
    found = await guard.check([Text("text", "Hello. John Smith met Mary Jones in Paris.")], Context("input"))
    guard.processes.close()
    return len(found)


async def caught(watch: Watch) -> int:
    """What Python's seal is there for; how often it was tried."""
    try:
        socket.create_connection(("192.0.2.1", 9), timeout=0.1)
    except PermissionError:
        return len(watch.tried)
    return 0


async def connects(watch: Watch) -> int:
    """What the kernel's first seal is there for: a library that does not ask Python."""
    libc = ctypes.CDLL(None)
    made = libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    libc.connect(made, struct.pack("=HHI8x", socket.AF_INET, 0, 0), 16)
    return 0


async def asks(watch: Watch) -> int:
    """What the second is there for."""
    seal(sockets=True)
    ctypes.CDLL(None).socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    return 0


TASKS = {task.__name__: task for task in (judged, named, caught, connects, asks)}

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    seen = Watch()
    if can_seal:
        seal(sockets=False)
    done = asyncio.run(TASKS[sys.argv[1]](seen))
    print(f"{done} {sorted(seen.tried)} {sorted(seen.opened)}")
