"""Policy documents in, policies or every fault at once out: `file:line: path: message`, as for the configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from gateway.config import environment
from gateway.config.document import MAX_BYTES, parse
from gateway.config.reader import Reader
from gateway.config.references import References
from gateway.config.source import Source, closest
from gateway.errors import ConfigError
from gateway.guards import packs, reading, registry
from gateway.guards.base import Guard, SpanGuard
from gateway.guards.conditions import Condition
from gateway.guards.document import Policy
from gateway.guards.ports import Ports
from gateway.guards.registry import Built


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with its compiled condition and where it stands.

    `digest` is the SHA-256 of the document's bytes: two documents of one name and version are still told apart.
    """

    policy: Policy
    condition: Condition | None
    digest: bytes = field(repr=False)
    source: Source = field(repr=False)


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies in the order they were named. `files` are what a watcher should watch; shipped packs are not in
    it."""

    policies: tuple[LoadedPolicy, ...]
    files: tuple[Path, ...] = ()


def load(
    named: Sequence[str],
    *,
    folder: Path = Path(),
    source: Source | None = None,
    environ: Mapping[str, str] | None = None,
) -> Policies:
    """The policies that a configuration names.

    Args:
        named: names of shipped packs, or paths to documents (they have a slash or end in .yaml or .yml).
        folder: what a relative path starts from: the configuration's folder.
        source: the configuration, so that faults in `policies` have its line.
        environ: what `os.environ/NAME` refers to in a guard's secrets; the process's environment when None.

    Raises:
        ConfigError: everything that is wrong with all of them.
    """
    source = source or Source()
    faults: list[str] = []
    loaded: list[LoadedPolicy] = []
    read: list[Path] = []
    for index, name in enumerate(named):
        place = ("policies", index)
        if name in named[:index]:
            faults.append(source.fault(place, f"names {name[:100]!r} a second time"))
            continue
        try:
            data, shown, file = _bytes(name, folder)
        except ValueError as error:
            faults.append(source.fault(place, str(error)))
            continue
        if file:
            read.append(file)
        try:
            found = loads(data, shown, folder=file.parent if file else folder, environ=environ)
        except ConfigError as error:
            faults += error.faults
            continue
        if same := next((other for other in loaded if other.policy.policy == found.policy.policy), None):
            faults.append(found.source.fault(("policy",), f"is also the name of the policy in {same.source.name}"))
        loaded.append(found)
        read += found.source.files
    if faults:
        raise ConfigError(faults)
    return Policies(tuple(loaded), tuple(dict.fromkeys(read)))


def loads(
    data: bytes | str, name: str = "policy", *, folder: Path = Path(), environ: Mapping[str, str] | None = None
) -> LoadedPolicy:
    """The policy in one document; `name` is what faults begin with. See `load`.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    raw = data.encode() if isinstance(data, str) else data
    try:
        document = parse(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{name}: is not UTF-8 text"]) from error
    source = Source(name, document.lines)
    faults = [(line, Source(name, {(): line} if line else {}).fault(at, said)) for line, at, said in document.faults]
    reader, read = Reader(), list[Path]()
    policy, condition = None, None
    if document.value is not None or not document.faults:
        reader.references = References(
            environment.snapshot() if environ is None else environ, folder, reader.fault, read
        )
        policy, condition = reading.policy(reader, document.value)
    faults += [(source.line(at), source.fault(at, said)) for at, said in reading.merged(reader.faults, document.value)]
    if faults or policy is None:
        ordered = sorted(faults, key=lambda fault: fault[0] or 0)
        raise ConfigError(list(dict.fromkeys(said for _, said in ordered)))
    return LoadedPolicy(policy, condition, sha256(raw).digest(), Source(name, document.lines, tuple(read)))


def build(loaded: LoadedPolicy, ports: Ports) -> tuple[Guard | SpanGuard, ...]:
    """The guards of a policy, in the order of the document. See `built`."""
    return tuple(guard for guards in built(loaded, ports) for guard in guards)


def built(loaded: LoadedPolicy, ports: Ports) -> tuple[Built, ...]:
    """What each entry of a policy's `guards` becomes, in the order of the document.

    Raises:
        ConfigError: guards that cannot be had here, each with its line.
    """
    guards: list[Built] = []
    faults: list[str] = []
    ports = replace(ports, seconds=loaded.policy.timeout_ms / 1_000)
    for index, entry in enumerate(loaded.policy.guards):
        row = registry.find(entry.name)
        try:
            if row is None:
                raise ValueError("is no longer installed")
            guards.append(row.build(entry.config, ports))
        except ValueError as error:
            faults.append(loaded.source.fault(("guards", index, entry.name), str(error)))
    if faults:
        raise ConfigError(faults)
    return tuple(guards)


def _bytes(name: str, folder: Path) -> tuple[bytes, str, Path | None]:
    """A document, the name its faults begin with, and its file when it is not a shipped pack.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    is_path = "/" in name or name.endswith((".yaml", ".yml"))
    if not is_path:
        if name not in (known := packs.names()):
            hint = closest(name, known) or f"; the shipped ones are {', '.join(known)}"
            raise ValueError(f"no policy has the name {name[:100]!r}{hint}")
        return packs.pack(name).read_bytes(), f"policies/{name}{packs.SUFFIX}", None
    file = folder / name
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise ValueError(
            f"{name[:200]!r} cannot be read: {getattr(error, 'strerror', None) or 'not a path'}"
        ) from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name[:200]!r} is larger than {MAX_BYTES} bytes")
    return data, str(file), file
