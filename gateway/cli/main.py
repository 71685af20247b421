"""The command line (contract §7)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.app import default_upstream
from gateway.cli import banner, judging, output
from gateway.cli.explain import explain as explanation
from gateway.cli.judging import Tested
from gateway.config.load import Loaded
from gateway.errors import ConfigError, GatewayError
from gateway.routing.deployments import Catalogue
from gateway.serving import run as serving
from gateway.serving.worker import loaded
from gateway.version import __version__
from gateway.wire import json

app = typer.Typer(
    name="gateway",
    help="A guardrail and logging gateway for LLM completions.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration (YAML); without one, the built-in demo model."),
]
HostOption = Annotated[str, typer.Option(help="Address to listen on; others than loopback need a master key.")]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")]
WorkersOption = Annotated[int, typer.Option(min=1, max=256, help="Processes that serve.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, also at a terminal.")]

PoliciesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[POLICY]...", help="Packs or documents; the configuration's when left out."),
]

policies_app = typer.Typer(help="Work on policies.", no_args_is_help=True)
app.add_typer(policies_app, name="policies")

_SERVE_OPTIONS: Mapping[str, Any] = {"config": None, "host": "127.0.0.1", "port": 4000, "workers": 1}
"""The options of `serve` with their defaults; they may stand before the command too."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def default(
    context: typer.Context,
    config: ConfigOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 4000,
    workers: WorkersOption = 1,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Without a command: serve."""
    command = context.invoked_subcommand
    if command is None:
        serve(config, host, port, workers)
    else:
        _hand_on(context, command)


def _hand_on(context: typer.Context, command: str) -> None:
    """Options given before a command count as if they stood after it: `gateway --config FILE check`."""
    given = {name: context.params[name] for name, unset in _SERVE_OPTIONS.items() if context.params[name] != unset}
    for name in given:
        if name != "config" and command != "serve":
            raise typer.BadParameter(f"{command} does not take it", param_hint=f"--{name}")
    context.default_map = {command: {name: str(value) for name, value in given.items()}}


@app.command()
def serve(
    config: ConfigOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 4000,
    workers: WorkersOption = 1,
) -> None:
    """Serve the gateway until SIGTERM; SIGHUP and changes of the file reload the configuration."""
    found = _loaded(config)
    output.warnings(found.settings.warnings)
    try:
        bound = serving.bind(found, host, port)
    except ConfigError as error:
        _fail(error)
    real_port = bound.getsockname()[1]
    builtin = config is None
    status = serving.run(
        config, found, bound, workers, lambda: banner.show(found, host, real_port, workers, builtin_config=builtin)
    )
    raise typer.Exit(status)


@app.command()
def check(policies: PoliciesArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Validate a configuration and run its policies' tests: every fault with its line; exit status 1 for one."""
    try:
        found = _checked(config)
        tested = judging.tested(found, policies or ())
        faults = [fault for each in tested for fault in each.faults]
        if faults:
            raise ConfigError(faults)
    except ConfigError as error:
        if output.wants_json(as_json):
            output.as_json({"ok": False, "config": str(config), "faults": list(error.faults)})
        _fail(error)
    rows = [(d.alias, d.provider, d.model, d.id) for d in found.settings.deployments]
    if output.wants_json(as_json):
        keys = ("alias", "provider", "model", "deployment")
        output.as_json(
            {
                "ok": True,
                "config": found.source.name,
                "deployments": [dict(zip(keys, row, strict=True)) for row in rows],
                "policies": [_tested(each) for each in tested],
                "warnings": list(found.settings.warnings),
            }
        )
        return
    output.warnings(found.settings.warnings)
    output.table("", ("ALIAS", "PROVIDER", "MODEL", "DEPLOYMENT"), rows)
    _show_tested(tested)
    output.out.print(f"[green]ok[/green]  {found.source.name}", highlight=False)


@policies_app.command("test")
def policies_test(policies: PoliciesArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Run the tests that policies carry; exit status 1 when one fails."""
    try:
        tested = judging.tested(loaded(config), policies or ())
    except ConfigError as error:
        _fail(error)
    if output.wants_json(as_json):
        output.as_json({"data": [{**_tested(each), "faults": each.faults} for each in tested]})
    else:
        _show_tested(tested)
    faults = [fault for each in tested for fault in each.faults]
    if faults:
        _fail(ConfigError(faults))


def _tested(each: Tested) -> dict[str, Any]:
    policy, passed = each.loaded.policy, sum(result.passed for result in each.results)
    return {"policy": policy.policy, "version": policy.version, "tests": len(each.results), "passed": passed}


def _show_tested(tested: Sequence[Tested]) -> None:
    rows = [tuple(map(str, _tested(each).values())) for each in tested]
    output.table("", ("POLICY", "VERSION", "TESTS", "PASSED"), rows)


@app.command()
def explain(
    text: Annotated[str, typer.Argument(help="The prompt.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The alias a client would ask for.")],
    config: ConfigOption = None,
    stage: Annotated[str, typer.Option(help="input: TEXT is a prompt; output: TEXT is an answer.")] = "input",
    param: Annotated[list[str], typer.Option("--param", "-p", metavar="NAME=JSON", help="A parameter, n=2.")] = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Show what the policies would decide, and which route and translation a request would get, calling nobody."""
    found = _loaded(config)
    try:
        if stage == "output":
            _show(judging.judged(found, model, text, "output"), as_json)
            return
        if stage != "input":
            raise typer.BadParameter("must be input or output", param_hint="--stage")
        said = explanation(found, model, text, dict(map(_parameter, param)))
    except GatewayError as error:
        if output.wants_json(as_json):
            output.as_json({"status": error.status, **error.body()})
        else:
            output.err.print(f"refused with {error.status} {error.code}: {error.message}", markup=False)
        raise typer.Exit(1) from error
    _show(said, as_json)


def _show(said: dict[str, Any], as_json: bool) -> None:
    if output.wants_json(as_json):
        output.as_json(said)
        return
    calls = said.pop("calls", [])
    output.pairs(
        {name: value if isinstance(value, str) else json.dumps(value).decode() for name, value in said.items()}
    )
    for call in calls:
        output.out.print(f"\n{call['method']} {call['url']}", markup=False, highlight=False)
        output.out.print_json(data=call["body"])


def _parameter(text: str) -> tuple[str, Any]:
    """`n=2` as a name and a JSON value; what is not JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter("write NAME=VALUE", param_hint="--param")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _loaded(config: Path | None) -> Loaded:
    """The configuration; when it has faults they are listed, and the command ends with status 1."""
    try:
        return _checked(config)
    except ConfigError as error:
        _fail(error)


def _checked(config: Path | None) -> Loaded:
    """The configuration, with every fault that any floor finds.

    Raises:
        ConfigError: every fault at once.
    """
    found = loaded(config)
    Catalogue(found.settings, found.source)
    default_upstream()
    return found


def _fail(error: ConfigError) -> NoReturn:
    output.faults(error)
    raise typer.Exit(1) from error


def main() -> None:
    """The console script."""
    app()
