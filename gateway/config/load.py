"""Reads a configuration (contract §6): a file, a text or a mapping in, frozen settings or every fault at once out.

A LiteLLM proxy configuration of this form is read unchanged; its keys without use here are named in one warning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import check, entries, environment, litellm, litellm_limits, pending, protection
from gateway.config.document import MAX_BYTES, Document, frozen, parse
from gateway.config.fields import Strict
from gateway.config.ledger import LedgerSettings
from gateway.config.limits import LimitSettings
from gateway.config.model import EndUserSettings, GeneralSettings, RouterSettings, Settings
from gateway.config.reader import Given, Reader
from gateway.config.references import References
from gateway.config.source import Path_, Source, dotted
from gateway.config.telemetry import TelemetrySettings
from gateway.errors import ConfigError

SECTIONS: Mapping[str, tuple[str, type[Strict]]] = {
    "general_settings": ("general", GeneralSettings),
    "end_users": ("end_users", EndUserSettings),
    "limits": ("limits", LimitSettings),
    "ledger": ("ledger", LedgerSettings),
    "protection": ("protection", protection.ProtectionSettings),
    "telemetry": ("telemetry", TelemetrySettings),
}
"""Sections that are one settings class each: its name in `Settings`, and the class."""

TOP = (
    "model_list",
    "router_settings",
    "litellm_settings",
    "policies",
    "environment_variables",
    "credential_list",
    *SECTIONS,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and where they come from."""

    settings: Settings
    source: Source


def load(path: str | Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """The configuration in the file `path`.

    Args:
        path: a YAML file of at most 1 MiB.
        environ: what `os.environ/NAME` refers to; the process's environment when None.

    Raises:
        ConfigError: everything that is wrong with it, each with file, line and path.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{name}: cannot be read: {error.strerror or 'unknown reason'}"]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{name}: is larger than {MAX_BYTES} bytes"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{name}: is not UTF-8 text"]) from error
    return _loaded(parse(text), name, (Path(path),), environ)


def loads(text: str, name: str = "config", environ: Mapping[str, str] | None = None) -> Loaded:
    """The configuration in `text`, as YAML; `name` is what faults begin with. See `load`."""
    return _loaded(parse(text), name, (), environ)


def from_mapping(value: Mapping[str, Any], name: str = "config", environ: Mapping[str, str] | None = None) -> Loaded:
    """The configuration in `value`, as a YAML file would hold it; faults have no lines. See `load`."""
    return _loaded(Document(frozen(dict(value)), {}, []), name, (), environ)


def _loaded(document: Document, name: str, files: tuple[Path, ...], environ: Mapping[str, str] | None) -> Loaded:
    source = Source(name, _both_names(document.lines))
    reader = Reader()
    read: list[Path] = []
    settings: Settings | None = None
    if not document.faults or document.value is not None:
        folder = files[0].parent if files else Path()
        outside = environment.snapshot() if environ is None else environ

        def references(variables: Mapping[str, str]) -> References:
            return References({**outside, **variables}, folder, reader.fault, read)

        settings = _settings(reader, document.value, references)
    faults = [(line, Source(name, {(): line} if line else {}).fault(at, said)) for line, at, said in document.faults]
    faults += [(source.line(at), source.fault(at, said)) for at, said in reader.faults]
    if faults or settings is None:
        ordered = sorted(faults, key=lambda fault: fault[0] or 0)
        raise ConfigError(list(dict.fromkeys(said for _, said in ordered)))
    warned = (*_unused(reader, source), *settings.warnings)
    return Loaded(
        settings.model_copy(update={"warnings": warned}), Source(name, source.lines, (*files, *dict.fromkeys(read)))
    )


def _both_names(lines: Mapping[Path_, int]) -> Mapping[Path_, int]:
    """`lines` with every place below `params` under `litellm_params` too, whichever the file says."""
    twins = {
        (*path[:2], entries.PARAMS, *path[3:]): line
        for path, line in lines.items()
        if path[0:1] == ("model_list",) and path[2:3] == (entries.PARAMS_TOO,)
    }
    return {**lines, **twins}


def _settings(reader: Reader, document: Any, references: Callable[[Mapping[str, str]], References]) -> Settings | None:
    """The settings in `document`; None when there are faults, which `reader` keeps."""
    if isinstance(document, Mapping) and "include" in document:
        reader.fault(("include",), "is not supported; put all sections in one file")
        document = {key: value for key, value in document.items() if key != "include"}
    top = reader.known("", document, (), TOP)
    reader.references = references({})
    variables = _variables(reader, *top.get("environment_variables", (None, ("environment_variables",))))
    reader.references = references(variables)

    shared = entries.credentials(reader, top.get("credential_list", (None, ()))[0])
    deployments, named = entries.deployments(reader, top.get("model_list", (None, ()))[0], shared)
    for at, said in (*check.duplicate_ids(named), *protection.disagreements(deployments, entries.PARAMS)):
        reader.fault(at, said)

    given = _sections(reader, top)
    router_given = _router(given)
    router = reader.make(RouterSettings, router_given, ("router_settings",))
    if router:
        for at, said in check.routes(router, named, router_given):
            reader.fault(at, said)
    rest: Given = {name: (reader.make(model, given[key], (key,)), (key,)) for key, (name, model) in SECTIONS.items()}
    for at, said in check.bounded(rest["limits"][0], router, named):
        reader.fault(at, said)
    rest["router"] = (router, ("router_settings",))
    rest["deployments"] = (deployments, ("model_list",))
    rest["environment_variables"] = (variables, ("environment_variables",))
    done = frozenset(rest)
    if "drop_params" in given["litellm_settings"]:
        rest["drop_params"] = given["litellm_settings"]["drop_params"]
    if "policies" in top:
        rest["policies"] = top["policies"]
    settings = reader.make(Settings, rest, (), done)
    if settings is None or reader.faults:
        return None
    return settings.model_copy(update={"warnings": tuple(pending.warnings(settings))})


def _variables(reader: Reader, value: Any, path: Path_) -> dict[str, str]:
    """`environment_variables`: names and scalars, or references to the environment outside."""
    variables: dict[str, str] = {}
    for name, item in reader.mapping(value, path).items():
        found = reader.resolve(item, (*path, name))
        if isinstance(found, Mapping | tuple):
            reader.fault((*path, name), "must be text or a number")
        elif found is not None:
            variables[name] = str(found).lower() if isinstance(found, bool) else str(found)
    return variables


def _sections(reader: Reader, top: Given) -> dict[str, Given]:
    """What each section gives, with LiteLLM's keys moved to where they belong here."""
    router = set(RouterSettings.model_fields)
    names: dict[str, set[str]] = {key: set(model.model_fields) for key, (_, model) in SECTIONS.items()}
    names["router_settings"] = router
    names["litellm_settings"] = router | {"drop_params", *litellm.ROUTER_NAMES}
    for section, key in (*litellm.MOVED, *litellm_limits.PLACES):
        names[section].add(key)
    given = {
        section: reader.known(section, *top.get(section, (None, (section,))), keys) for section, keys in names.items()
    }
    for (section, key), ((target, name), factor) in litellm.MOVED.items():
        if key not in given[section]:
            continue
        value, path = given[section].pop(key)
        value = reader.resolve(value, path)
        if isinstance(factor, Mapping):
            value = factor.get(value, value) if isinstance(value, bool) else value
        elif factor is not None:
            value = value * factor if type(value) is int else value
        given[target].setdefault(name, (value, path))
    litellm_limits.move(reader, given)
    return given


def _router(given: Mapping[str, Given]) -> Given:
    """`litellm_settings` read into `router_settings`, which wins, as in LiteLLM."""
    wide = {litellm.ROUTER_NAMES.get(key, key): item for key, item in given["litellm_settings"].items()}
    wide.update({key: item for key, item in given["litellm_settings"].items() if key not in litellm.ROUTER_NAMES})
    router: Given = {key: item for key, item in wide.items() if key in RouterSettings.model_fields}
    router |= {key: item for key, item in given["router_settings"].items() if item[0] is not None}
    if "routing_strategy" in router:
        value, path = router["routing_strategy"]
        router["routing_strategy"] = (litellm.STRATEGIES.get(value, value) if isinstance(value, str) else value, path)
    return router


def _unused(reader: Reader, source: Source) -> list[str]:
    """One sentence that names every key of LiteLLM's without use here, in the order of the file."""
    names = [dotted(path) for path in sorted(reader.unused, key=lambda path: source.line(path) or 0)]
    return [f"LiteLLM settings that have no effect here: {', '.join(dict.fromkeys(names))}"] if names else []
