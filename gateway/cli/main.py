"""The command line (contract §7)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.cli import banner, checking, judging, labelled, output, shown
from gateway.cli import bench as benchmark
from gateway.cli.end_users import end_users_app
from gateway.cli.explain import explain as explanation
from gateway.cli.judging import Labels
from gateway.cli.keys import keys_app
from gateway.cli.options import ConfigOption, FormatOption, JsonOption
from gateway.cli.usage import usage
from gateway.config.load import Loaded
from gateway.errors import ConfigError, GatewayError
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

HostOption = Annotated[str, typer.Option(help="Address to listen on; others than loopback need a master key.")]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")]
WorkersOption = Annotated[int, typer.Option(min=1, max=256, help="Processes that serve.")]

PoliciesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[POLICY]...", help="Packs or documents; the configuration's when left out."),
]

policies_app = typer.Typer(help="Work on policies.", no_args_is_help=True)
app.add_typer(policies_app, name="policies")
app.add_typer(keys_app, name="keys")
app.add_typer(end_users_app, name="end-users")
app.command()(usage)

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
    found = _found(checking.servable, config)
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
        found = checking.checked(config)
        tested = judging.tested(found, policies or (), None)
        if faults := [fault for each in tested for fault in each.faults]:
            raise ConfigError(faults)
    except ConfigError as error:
        if output.wants_json(as_json):
            output.as_json({"ok": False, "config": str(config or "built-in"), "faults": list(error.faults)})
        _fail(error)
    if output.wants_json(as_json):
        output.as_json(shown.checked_json(found, tested))
    else:
        output.warnings(found.settings.warnings)
        shown.show_checked(found, tested)


@policies_app.command("test")
def policies_test(
    policies: PoliciesArgument = None,
    config: ConfigOption = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled text to measure the policies on: JSON Lines, or a list."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Only findings with the very positions of a label count; see above.")
    ] = False,
    rename: Annotated[
        list[str], typer.Option(metavar="LABEL=ENTITY", help="A label of the data that has another name here.")
    ] = [],  # noqa: B006
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the tests that policies carry; with --data, measure precision, recall, F2 and latency. Exit status 1 for
    a test that fails, a text that could not be judged, or a line of the data that is none.

    Each line of the data is one text with what is in it; positions are characters, the end not included:

    \b
    {"text": "Mail bob@corp.example.com", "entities": [{"type": "EMAIL_ADDRESS", "start": 5, "end": 25}]}
    {"text": "Say this is a test", "entities": []}

    "stage" may be "input" (a prompt) or "output" (an answer). A type is an entity or rule, as findings name it, or a
    category such as secrets or prompt_injection; without start and end it is about the whole text. Data of
    presidio-research (full_text, spans) is read as it is, a JSON list too.

    A finding is right when it shares a character with a label of its entity, or, with --exact, has its positions. Each
    policy judges every text as if it held for all of them, and enforces nothing. F2 weighs recall twice as much as
    precision.

    \b
    gateway policies test pii --data labelled.jsonl
    gateway policies test ./mine.yaml --data labelled.jsonl --exact --format json
    """
    try:
        found = checking.checked(config) if not policies else loaded(config)
        if data is None:
            tested = judging.tested(found, policies or (), None)
        else:
            rows = labelled.read(data, dict(map(_renamed, rename)))
            count = len(rows) * len(policies or judging.documents(found, ()))
            with output.progress("judging", count) as done:
                tested = judging.tested(found, policies or (), Labels(rows, exact, done))
    except ConfigError as error:
        _fail(error)
    if output.in_json(form, as_json):
        output.as_json(shown.tested_json(tested))
    else:
        shown.show_tested(tested)
    if faults := [fault for each in tested for fault in each.faults]:
        _fail(ConfigError(faults))


def _renamed(text: str) -> tuple[str, str]:
    label, equals, entity = text.partition("=")
    if not (label and equals and entity):
        raise typer.BadParameter("write LABEL=ENTITY, such as ADDRESS=LOCATION", param_hint="--rename")
    return label, entity


@app.command()
def explain(
    text: Annotated[str, typer.Argument(help="The prompt.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The alias a client would ask for.")],
    config: ConfigOption = None,
    stage: Annotated[str, typer.Option(help="input: TEXT is a prompt; output: TEXT is an answer.")] = "input",
    param: Annotated[list[str], typer.Option("--param", "-p", metavar="NAME=JSON", help="A parameter, n=2.")] = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Show what the policies would decide, and which route and translation a request would get, calling nobody: guards
    that would ask somebody else are left out and named."""
    if stage not in ("input", "output"):
        raise typer.BadParameter("must be input or output", param_hint="--stage")
    found = _found(checking.checked, config)
    try:
        if stage == "output":
            said = judging.judged(found, model, text, "output")
        else:
            said = explanation(found, model, text, dict(map(_parameter, param)))
    except ConfigError as error:
        _fail(error)
    except GatewayError as error:
        if output.wants_json(as_json):
            output.as_json({"status": error.status, **error.body()})
        else:
            output.err.print(f"refused with {error.status} {error.code}: {error.message}", markup=False)
        raise typer.Exit(1) from error
    if output.wants_json(as_json):
        output.as_json(said)
    else:
        shown.show_explained(said)


@app.command()
def bench(
    config: ConfigOption = None,
    against: Annotated[
        str | None, typer.Option(metavar="URL", help="Measure this running server instead; it gets real requests.")
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="The alias asked for; needed with --against.")] = "",
    key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Variable with the key for --against; else the master key.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Seconds of load, everything together.")] = 30,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="Requests at a time, for throughput.")] = 32,
    form: FormatOption = None,
) -> None:
    """Measure what the gateway costs on this machine, with its policies and without.

    Starts an upstream that answers at once and gateways in front of it, all on loopback and gone at the end, and gives
    each the same load by turns: straight to the upstream, through a gateway without policies, and through one with the
    policies of the configuration (the default ones without it; its models are not called).

    \b
    gateway bench
    gateway bench --config config.yaml --seconds 60 --format json
    gateway bench --against http://127.0.0.1:4000 --model demo --key-env GATEWAY_MASTER_KEY
    """
    if against and not model:
        raise typer.BadParameter("name a model that the server serves", param_hint="--model")
    if key_env and not against:
        raise typer.BadParameter("goes with --against", param_hint="--key-env")
    found = _found(checking.checked, config)
    plan = benchmark.Plan(seconds, connections, model or "bench")
    try:
        with output.progress("measuring", plan.turns(found, alone=bool(against))) as done:
            if against:
                said = benchmark.against(against, checking.key(found, key_env), plan, done)
            else:
                said = benchmark.here(found, plan, done)
    except ConfigError as error:
        _fail(error)
    except KeyboardInterrupt:
        output.err.print("stopped", highlight=False)
        raise typer.Exit(130) from None
    if output.in_json(form):
        output.as_json(said)
    else:
        shown.show_bench(said)


def _parameter(text: str) -> tuple[str, Any]:
    """`n=2` as a name and a JSON value; what is not JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter("write NAME=VALUE", param_hint="--param")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _found(find: Callable[[Path | None], Loaded], config: Path | None) -> Loaded:
    """The configuration; when it has faults they are listed, and the command ends with status 1."""
    try:
        return find(config)
    except ConfigError as error:
        _fail(error)


def _fail(error: ConfigError) -> NoReturn:
    output.faults(error)
    raise typer.Exit(1) from error


def main() -> None:
    """The console script."""
    app()
