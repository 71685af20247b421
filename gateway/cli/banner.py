"""What `gateway serve` says when it listens: where, what, for whom, and one line to try it with."""

import shlex

from gateway.cli.output import err
from gateway.config.load import Loaded
from gateway.routing import builtin, guarding
from gateway.version import __version__
from gateway.wire import json


def show(found: Loaded, host: str, port: int, workers: int, *, builtin_config: bool) -> None:
    """Print the banner on standard error, so that standard output holds log lines only."""
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    aliases = list(dict.fromkeys(deployment.alias for deployment in found.settings.deployments))
    keyed = found.settings.general.master_key is not None
    err.print(f"guardrail-gateway {__version__} listens on {address}", style="bold", markup=False, highlight=False)
    _line("config", "none: built-in" if builtin_config else found.source.name)
    _line("models", _models(aliases))
    if builtin_config and not builtin.providers():
        _line("", "set a provider's key (OPENAI_API_KEY, ANTHROPIC_API_KEY, …) to serve it as openai/*, anthropic/*, …")
    _line("clients", "the master key is asked for" if keyed else "no master key: this machine only, any key accepted")
    _line("policies", ", ".join(guarding.named(found.settings)) or "none: prompts and answers pass unjudged")
    if workers > 1:
        _line("workers", str(workers))
    _line("try", "")
    err.print(f"  {curl(address, aliases, keyed)}\n", markup=False, highlight=False)


def curl(address: str, aliases: list[str], keyed: bool) -> str:
    """A line that can be pasted into a shell as it is; with a master key, once the key is in its place."""
    model = next((alias for alias in aliases if "*" not in alias), "demo")
    key = "-H 'authorization: Bearer <master key>' " if keyed else ""
    name = json.dumps(model).decode()
    body = shlex.quote(f'{{"model": {name}, "prompt": "Say this is a test", "max_tokens": 7}}')
    return f"curl {address}/v1/completions {key}-H 'content-type: application/json' -d {body}"


def _models(aliases: list[str]) -> str:
    shown = ", ".join(aliases[:8])
    return f"{shown}, and {len(aliases) - 8} more" if len(aliases) > 8 else shown


def _line(name: str, value: str) -> None:
    err.print(f"  [dim]{name:<9}[/dim]", end="")
    err.print(value, markup=False, highlight=False)
