"""Documents by name and by path, every fault of all of them at once, and guards built from them."""

import json
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.source import Source
from gateway.errors import ConfigError
from gateway.guards import packs, registry
from gateway.guards.load import build, load, loads
from gateway.guards.ports import Ports

GUARD = "stages: [output]\nguards: [{schema: {json_schema: {}}}]\n"
GOOD = "policy: {name}\nversion: 1\nstages: [output]\nguards: [{{schema: {{json_schema: {{}}}}}}]\n"


def faults(text):
    with pytest.raises(ConfigError) as caught:
        loads(text, "p.yaml", environ={})
    return list(caught.value.faults)


def written(folder: Path, file: str, text: str | None = None) -> Path:
    path = folder / file
    path.write_text(text if text is not None else GOOD.format(name=path.stem))
    return path


def test_every_fault_is_told_at_once_in_the_order_of_the_file():
    assert faults(
        """\
policy: Foo
versoin: 3
match: {models: ["*"], end_user: ["*"]}
when: 'request.modl == "x"'
stages: [input, input]
mode: enforced
guards:
  - schema: {json_schema: {type: objekt}}
  - webhook: {url: "ftp://x", secret: os.environ/NOPE}
  - modration: {}
  - ponies: {}
  - judge: {model: x, tone: kind}
  - moderation:
      categories:
        violence: blok
        hate: {action: flag, score: 3}
  - python
  - {python: {function: "a:b"}, judge: {}}
  - python: {function: foo}
tests:
  - {input: a, expect: blok}
"""
    ) == [
        "p.yaml:1: policy: must be at most 64 lower-case letters, digits, - and _, a letter or digit first",
        "p.yaml:1: version: is required",
        'p.yaml:2: versoin: unknown key; did you mean "version"?',
        'p.yaml:3: match.end_user: unknown key; did you mean "end_users"?',
        'p.yaml:4: when: unknown name "request.modl"; did you mean "request.model"? (character 8)',
        "p.yaml:5: stages: must name input, output or both, each once",
        "p.yaml:6: mode: must be 'enforce', 'shadow' or 'off'",
        'p.yaml:8: guards[0].schema.json_schema: is not a JSON Schema that can be used: "objekt" is not valid under '
        "any of the schemas listed in the 'anyOf' keyword",
        "p.yaml:9: guards[1].webhook.secret: the environment variable NOPE is not set",
        "p.yaml:9: guards[1].webhook.url: must be a URL that starts with http:// or https:// and names a host",
        'p.yaml:10: guards[2].modration: no guard has this name; did you mean "moderation"?',
        f"p.yaml:11: guards[3].ponies: no guard has this name; there are {', '.join(registry.names())}",
        'p.yaml:12: guards[4].judge.tone: unknown key; did you mean "action"?',
        "p.yaml:12: guards[4].judge.instructions: is required",
        "p.yaml:15: guards[5].moderation.categories.violence: must be 'allow', 'flag' or 'block' or must be a mapping",
        "p.yaml:16: guards[5].moderation.categories.hate.score: must be at most 1",
        "p.yaml:17: guards[6]: must be a mapping with one key, the guard's name",
        "p.yaml:18: guards[7]: must be a mapping with one key, the guard's name",
        "p.yaml:19: guards[8].python.function: must be module:function, such as my_guards:no_ponies",
        "p.yaml:21: tests[0].expect: must be 'allow', 'flag', 'hash', 'mask', 'redact' or 'block'",
    ]  # fmt: skip


def test_an_unknown_guard_with_no_name_like_it_is_told_which_there_are():
    (fault,) = faults("policy: p\nversion: 1\nguards: [{ponies: {}}]")
    assert fault.startswith("p.yaml:3: guards[0].ponies: no guard has this name; there are ")
    assert "webhook" in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "p.yaml: policy: is required"),
        ("- a", "p.yaml:1: must be a mapping"),
        ("policy: [", "p.yaml:2: is not YAML: "),
        (f"policy: p\nversion: 1\npolicy: q\n{GUARD}", "p.yaml:3: policy: is given twice; the first is on line 1"),
        ("policy: p\nversion: 1\nguards: []", "p.yaml:3: guards: must name at least one guard"),
        ("policy: p\nversion: 1\nguards: {schema: {}}", "p.yaml:3: guards: must be a list"),
        ("policy: !!python/object:os.system x", "p.yaml:1: is not YAML: tags are not read"),
        ("policy: p\nversion: 1\nguards: [{schema: 5}]", "p.yaml:3: guards[0].schema: must be a mapping"),
    ],
)
def test_what_is_no_policy_at_all_is_said_so(text, fault):
    assert faults(text)[0].startswith(fault)


def test_a_reference_is_resolved_in_a_secret_and_nowhere_else():
    read = loads(
        "policy: p\nversion: 1\n"
        "guards: [{judge: {model: m, instructions: os.environ/HOME}}, "
        "{webhook: {url: 'https://x.example', secret: os.environ/S}}]\n"
        "tests: [{input: 'file:/etc/hostname', expect: allow}]",
        environ={"S": "0123456789abcdef", "HOME": "/root"},
    )
    assert read.policy.guards[0].config.instructions == "os.environ/HOME"
    assert read.policy.guards[1].config.secret.reveal() == "0123456789abcdef"
    assert read.policy.tests[0].text == "file:/etc/hostname"


def test_a_secret_from_a_file_is_watched_with_the_document(tmp_path):
    key = written(tmp_path, "key", "0123456789abcdef\n")
    path = written(
        tmp_path,
        "p.yaml",
        "policy: p\nversion: 1\nguards: [{webhook: {url: 'https://x.example', secret: 'file:key'}}]",
    )
    assert load(["p.yaml"], folder=tmp_path, environ={}).files == (path, key)


def test_paths_start_at_the_folder_of_the_configuration(tmp_path):
    (tmp_path / "sub").mkdir()
    one, two = written(tmp_path, "one.yaml"), written(tmp_path / "sub", "two")
    read = load(["one.yaml", "sub/two"], folder=tmp_path, environ={})
    assert [loaded.policy.policy for loaded in read.policies] == ["one", "two"]
    assert read.files == (one, two)
    assert load([str(one)], environ={}).files == (one,)


def test_two_documents_of_one_name_are_a_fault_of_the_second(tmp_path):
    one = written(tmp_path, "one.yaml")
    two = written(tmp_path, "two.yaml", "description: x\n" + GOOD.format(name="one"))
    with pytest.raises(ConfigError) as caught:
        load([str(one), str(two)], environ={})
    assert caught.value.faults == (f"{two}:2: policy: is also the name of the policy in {one}",)


def test_names_that_lead_nowhere_are_faults_of_the_configuration_with_its_lines(tmp_path):
    config = Source("config.yaml", {("policies",): 3, ("policies", 0): 4, ("policies", 1): 5})
    bad = written(tmp_path, "bad.yaml", "policy: p")
    with pytest.raises(ConfigError) as caught:
        load(["no-such-pack", "gone.yaml", "a\0.yaml", str(bad), str(bad)], folder=tmp_path, source=config, environ={})
    one, two, three, *rest = caught.value.faults
    assert one.startswith("config.yaml:4: policies[0]: no policy has the name 'no-such-pack'")
    assert two == "config.yaml:5: policies[1]: 'gone.yaml' cannot be read: No such file or directory"
    assert three == "config.yaml:3: policies[2]: 'a\\x00.yaml' cannot be read: not a path"
    assert rest[-1] == f"config.yaml:3: policies[4]: names {str(bad)!r} a second time"
    assert f"{bad}:1: version: is required" in rest


def test_a_document_that_is_too_large_or_no_text_is_refused(tmp_path):
    large = written(tmp_path, "large.yaml", "#" * 1_048_577)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"policy: caf\xe9")
    with pytest.raises(ConfigError) as caught:
        load([str(large), str(latin)], environ={})
    assert [fault.partition(" ")[2] for fault in caught.value.faults] == [
        f"policies[0]: {str(large)!r} is larger than 1048576 bytes",
        "is not UTF-8 text",
    ]


def test_the_same_name_and_version_with_another_content_has_another_digest():
    one, two = (loads(GOOD.format(name="p") + more, environ={}) for more in ("", "# x"))
    assert one.digest != two.digest
    assert one.digest == loads(GOOD.format(name="p"), environ={}).digest


def test_the_packs_are_found_in_an_installed_package_before_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "site" / "gateway"
    (package / "_policies").mkdir(parents=True)
    (tmp_path / "site" / "policies").mkdir()
    written(package / "_policies", "installed.yaml")
    written(tmp_path / "site" / "policies", "checkout.yaml")
    monkeypatch.setattr(packs, "files", lambda name: files("gateway").joinpath(str(package)))
    assert packs.names() == ["installed"]
    assert packs.pack("installed").read_text() == GOOD.format(name="installed")
    (package / "_policies" / "installed.yaml").unlink()
    (package / "_policies").rmdir()
    assert packs.names() == ["checkout"]


def test_a_guard_that_cannot_be_had_here_is_a_fault_with_its_line():
    loaded = loads(
        "policy: p\nversion: 1\nguards:\n"
        "  - webhook: {url: 'https://x.example', secret: 0123456789abcdef}\n"
        "  - judge: {model: m, instructions: be kind}\n"
        "  - python: {function: 'no_such_module_at_all:f'}\n"
        "  - python: {function: 'os:no_such_function'}\n",
        "p.yaml",
        environ={},
    )
    with pytest.raises(ConfigError) as caught:
        build(loaded, Ports())
    assert caught.value.faults == (
        "p.yaml:4: guards[0].webhook: needs a way to call out, which is not to be had here",
        "p.yaml:5: guards[1].judge: needs a way to ask a model, which is not to be had here",
        "p.yaml:6: guards[2].python: the module no_such_module_at_all cannot be imported (ModuleNotFoundError)",
        "p.yaml:7: guards[3].python: the module os has no no_such_function",
    )


def test_guards_are_built_in_the_order_of_the_document_with_the_time_of_their_policy():
    async def call(request, seconds):
        raise AssertionError

    loaded = loads(
        "policy: p\nversion: 1\ntimeout_ms: 1500\nstages: [output]\nguards:\n"
        "  - schema: {json_schema: {}}\n"
        "  - webhook: {url: 'https://x.example', secret: 0123456789abcdef}\n",
        environ={},
    )
    schema, webhook = build(loaded, Ports(call=call))
    assert (schema.name, schema.scope, webhook.name, webhook.scope) == ("schema", "whole", "webhook", "whole")
    assert webhook.ports.seconds == 1.5


def test_settings_that_are_wrong_as_a_whole_are_a_fault_at_the_guard_s_name():
    assert faults("policy: p\nversion: 1\nguards:\n  - pii:\n      entities: {PERSON: {action: mask}}") == [
        "p.yaml:4: guards[0].pii: entities: PERSON is only found by engine: ner"
    ]


def test_a_key_may_have_the_name_of_a_word_of_the_language():
    rule = "{name: r, words: [a], with: [b], except: [c], excpt: [d]}"
    text = f"policy: p\nversion: 1\nguards:\n  - phrases: {{rules: [{rule}]}}"
    (fault,) = faults(text)
    assert fault.startswith("p.yaml:4: guards[0].phrases.rules[0].excpt: unknown key")


def test_two_guards_of_one_name_cannot_have_placeholders_of_their_own():
    text = "policy: p\nversion: 1\nguards:\n  - pii: {restore: true}\n  - pii: {restore: %s}"
    assert faults(text % "false") == [
        "p.yaml:5: guards[1].pii: must have the same restore as the first guard of this name"
    ]
    assert len(loads(text % "true", environ={}).policy.guards) == 2


def test_a_guard_for_answers_is_a_fault_in_a_policy_for_prompts():
    assert faults("policy: p\nversion: 1\nguards: [{schema: {json_schema: {}}}]") == [
        "p.yaml:3: guards[0].schema: cannot judge input; set stages: [output]"
    ]


def test_an_installed_package_brings_a_guard_and_cannot_replace_one(tmp_path, monkeypatch):
    written(tmp_path, "ponies.py", (
        "from gateway.config.fields import Strict\nfrom gateway.guards.registry import Row\n"
        "class Config(Strict):\n    colour: str = 'pink'\nROW = Row(Config, lambda c, p: (), 'whole')\nOTHER = 5\n"
    ))  # fmt: skip
    (tmp_path / "ponies-1.dist-info").mkdir()
    written(tmp_path / "ponies-1.dist-info", "METADATA", "Metadata-Version: 2.1\nName: ponies\nVersion: 1\n")
    written(
        tmp_path / "ponies-1.dist-info",
        "entry_points.txt",
        "[gateway.guards]\nponies = ponies:ROW\nschema = ponies:ROW\nbad = ponies:OTHER\nworse = no_such_module:ROW\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        read = loads("policy: p\nversion: 1\nguards: [{ponies: {colour: red}}]", environ={})
        assert read.policy.guards[0].config.colour == "red"
        assert faults("policy: p\nversion: 1\nguards: [{poniez: {}}, {bad: {}}, {worse: {}}]") == [
            'p.yaml:3: guards[0].poniez: no guard has this name; did you mean "ponies"?',
            "p.yaml:3: guards[1].bad: the package that brings it names something that is no guard",
            "p.yaml:3: guards[2].worse: the package that brings it cannot be imported (ModuleNotFoundError)",
        ]
        assert "unknown key" in faults("policy: p\nversion: 1\nguards: [{schema: {colour: red}}]")[0]
    finally:
        sys.modules.pop("ponies", None)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from(["match", "guards", "tests", "when", "on_block", "stages", "hold", "policy"]),
)
def test_no_value_anywhere_is_worse_than_a_fault(value, key):
    document = {"policy": "p", "version": 1, "stages": ["output"], "guards": [{"schema": value}], key: value}
    told: tuple[str, ...] = ()
    try:
        loads(json.dumps(document), "p.yaml", environ={})
    except ConfigError as error:
        told = error.faults
    assert all(fault.startswith("p.yaml") and "\n" not in fault for fault in told)
