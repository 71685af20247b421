"""The house rules, enforced: floors, cycles, sizes, and who may import what."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gateway"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}

FLOORS = {
    "version": 0, "types": 0, "errors": 0, "judgement": 0, "hashing": 0, "principal": 0, "usage": 0.25, "exchange": 0.5,
    "config": 1, "wire": 1,
    "guards": 2, "identity": 2, "ledger": 2, "telemetry": 2,
    "providers": 3,
    "routing": 4,
    "middleware": 5,
    "endpoints": 6,
    "assembly": 6.5,
    "app": 7,
    "sdk": 8, "embed": 8, "serving": 8,
    "cli": 9,
    "__main__": 10,
}  # fmt: skip
"""Every room, and the floor it stands on. `exchange` and `usage` are made of words; `assembly` holds the parts that
`app` and `embed` are put together from; `serving` and `sdk` run the assembled application, and `cli` runs those."""

MIDDLEWARE_NEVER = {"providers", "routing", "endpoints"}

MAX_FILE = 300
MAX_FUNCTION = 60
TABLES = {
    "gateway/providers/compatible.py",
    "gateway/providers/registry.py",
    "gateway/guards/injection_words.py",
    "gateway/guards/secrets_rules.py",
}
"""Files that are a literal table and may be longer."""

OUTSIDE = {
    "ahocorasick_rs": {"guards/keywords.py"},
    "alembic": {"ledger/database.py", "ledger/migrations/"},
    "cel_expr_python": {"guards/conditions.py"},
    "jsonschema_rs": {"guards/json_schema.py"},
    "phonenumbers": {"guards/pii/phone.py"},
    "presidio_analyzer": {"guards/pii/presidio.py"},
    "re2": {"guards/linear.py"},
    "redis": {"ledger/remote.py"},
    "regex": {"guards/pii/recognizers.py"},
    "spacy": {"guards/ner.py"},
    "tldextract": {"guards/pii/recognizers.py"},
    "genai_prices": {"ledger/catalogue.py"},
    "jwt": {"identity/signatures.py"},
    "cryptography": {"identity/signatures.py"},
    "botocore": {"providers/bedrock/signing.py"},
    "grpc": {"telemetry/export/official_terms.py"},
    "opentelemetry": {
        f"telemetry/export/{name}.py"
        for name in ("ambient", "host", "official", "official_metrics", "official_terms", "readable")
    },
    "google": {"providers/vertex/auth.py"},
    "h2": {"routing/engines/pooled/http2/"},
    "httptools": {"routing/engines/pooled/connection.py", "serving/protocol.py"},
    "httpx": {"routing/engines/httpx_transport.py"},
    "orjson": {"wire/json.py"},
    "psycopg": {"ledger/postgresql.py"},
    "pydantic": {"config/", "guards/", "identity/requests.py"},
    "pydantic_core": {"config/", "guards/"},
    "rich": {"cli/output.py"},
    "sqlalchemy": {
        *(f"ledger/{name}.py" for name in ("database", "keys_schema", "keys_sql", "queries", "schema", "spent")),
        "ledger/store.py",
        "ledger/migrations/",
    },
    "starlette": {"app.py", "middleware/", "endpoints/", "serving/worker.py"},
    "structlog": {"telemetry/logs.py"},
    "typer": {"cli/"},
    "uvicorn": {"serving/"},
    "yaml": {"config/document.py"},
}
"""Each outside library, and the one file or room that knows it."""


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def room(module: str) -> str:
    """`gateway.providers.base` is in the room `providers`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def own(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_file_imports_only_from_floors_below_its_own(module):
    here = room(module)
    if not here:
        return  # the package's own doors open on first use
    for other in imports(MODULES[module]):
        there = room(other)
        if not other.startswith("gateway") or not there or there == here:
            continue
        assert FLOORS[there] < FLOORS[here], f"{module} ({FLOORS[here]}) imports {other} ({FLOORS[there]})"
        if here == "middleware":
            assert there not in MIDDLEWARE_NEVER, f"{module} imports {other}"


def test_no_import_cycle():
    graph = {module: {o for o in imports(path) if o in MODULES and o != module} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module not in done:
            for other in graph[module]:
                visit(other, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=own)
def test_files_and_functions_stay_small(path):
    source = path.read_text()
    if str(path.relative_to(ROOT)) not in TABLES:
        assert len(source.splitlines()) <= MAX_FILE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=own)
def test_no_global_and_the_environment_is_read_only_in_config(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Global), "a global statement"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
            assert own(path) == "config/environment.py"


@pytest.mark.parametrize("path", FILES, ids=own)
def test_each_outside_library_is_imported_in_one_place(path):
    for module in imports(path):
        allowed = OUTSIDE.get(module.split(".")[0])
        if allowed is not None:
            assert any(own(path).startswith(place) for place in allowed), f"{module} in {own(path)}"


@pytest.mark.parametrize("path", FILES, ids=own)
def test_public_things_have_docstrings(path):
    tree = ast.parse(path.read_text())
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), "the module has none"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
                continue
            assert ast.get_docstring(node), node.name


def test_every_room_has_its_floor():
    rooms = {room(module) for module in MODULES} - {""}
    assert rooms <= set(FLOORS), rooms - set(FLOORS)
