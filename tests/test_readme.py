"""The README is part of the product: its tables are generated, its names complete, its code runs.

`python -m tests.test_readme` writes the generated parts anew.
"""

import re
from pathlib import Path

import pytest

from gateway.cli.main import app
from gateway.config.reference import reference
from gateway.errors import ClientDisconnected, ConfigError, GatewayError, error_classes
from gateway.providers.registry import PROVIDERS
from gateway.providers.table import LEGEND, markdown

README = Path(__file__).parent.parent / "README.md"


def providers() -> str:
    return f"{LEGEND}\n\n{markdown(PROVIDERS.values())}".strip()


def errors() -> str:
    unseen = (GatewayError, ClientDisconnected, ConfigError)
    rows = sorted(
        {(cls.status, cls.type, cls.code, cls.__doc__ or "") for cls in error_classes() if cls not in unseen},
        key=lambda row: (row[0], row[1], str(row[2]), row[3]),
    )
    lines = [f"| {status} | `{kind}` | `{code}` | {said.splitlines()[0]} |" for status, kind, code, said in rows]
    return "\n".join(["| status | type | code | when |", "|---|---|---|---|", *lines])


def config() -> str:
    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    lines = [
        f"| `{cell(path)}` | {cell(kind)} | {f'`{cell(default)}`' if default else ''} | {cell(said)} |"
        for path, kind, default, said in reference()
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *lines])


GENERATED = {"providers": providers, "errors": errors, "config": config}


def part(name: str, text: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert found, f"the README has no part {name}"
    return found[1].strip()


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_part_is_up_to_date(name):
    assert part(name, README.read_text()) == GENERATED[name](), "run: python -m tests.test_readme"


def test_every_command_is_in_the_readme():
    for command in app.registered_commands:
        assert command.callback
        assert f"`gateway {command.name or command.callback.__name__}`" in README.read_text()


def test_every_header_the_gateway_reads_or_writes_is_in_the_readme():
    sources = (README.parent / "gateway" / "middleware").rglob("*.py")
    named = {name for path in sources for name in re.findall(r'b"(x-[a-z-]+)"', path.read_text())}
    assert named
    assert not [name for name in named if name not in README.read_text()]


def test_every_code_that_is_set_apart_from_its_class_is_in_the_readme():
    sources = (README.parent / "gateway").rglob("*.py")
    codes = {code for path in sources for code in re.findall(r"\bcode=\"(\w+)\"", path.read_text())}
    assert codes
    assert not [code for code in codes if f"`{code}`" not in README.read_text()]


def test_the_readme_opens_with_the_two_commands():
    opening = README.read_text()[:1500]
    assert "pip install . && gateway\n" in opening
    assert "pip install -e '.[dev]' && pytest\n" in opening


def test_the_in_process_example_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    example = next(block for block in blocks if "text_completion(model" in block)
    exec(example, {})  # noqa: S102 - it is our own README
    assert capsys.readouterr().out.strip()


if __name__ == "__main__":
    readme = README.read_text()
    for name, made in GENERATED.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = readme.partition(start)
        readme = f"{before}{start}\n{made()}\n{end}{rest.partition(end)[2]}"
    README.write_text(readme)
