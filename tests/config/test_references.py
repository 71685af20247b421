"""`os.environ/NAME` and `file:/path`: values that are elsewhere."""

import pytest

from gateway.config.load import load, loads
from gateway.config.secret import Secret
from gateway.errors import ConfigError


def fault(text, environ=None):
    with pytest.raises(ConfigError) as caught:
        loads(text, environ=environ or {})
    (said,) = caught.value.faults
    return said


def model(**params):
    lines = "\n".join(f"      {name}: {value}" for name, value in {"model": "openai/x", **params}.items())
    return f"model_list:\n  - model_name: a\n    params:\n{lines}\n"


def test_a_variable_may_stand_wherever_a_value_does():
    environ = {
        "KEY": "sk-1",
        "BASE": "http://h/v1/",
        "HEAD": "h",
        "RPM": "60",
        "DROP": "true",
        "M": "groq/llama",
        "T": "2.5",
        "URL": "postgresql://u:p@h/d",
        "POLICY": "pii",
        "ALIAS": "a",
        "ID": "one",
    }
    text = """
model_list:
  - model_name: os.environ/ALIAS
    params: {model: os.environ/M, api_key: os.environ/KEY, api_base: os.environ/BASE, rpm: os.environ/RPM,
      drop_params: os.environ/DROP, timeout: os.environ/T, extra_headers: {x-h: os.environ/HEAD},
      tags: [os.environ/HEAD], organization: os.environ/HEAD, temperature: 0.5, num_ctx: os.environ/RPM}
    model_info: {id: os.environ/ID}
general_settings: {database_url: os.environ/URL, max_parallel_prompts: os.environ/RPM}
policies: [os.environ/POLICY]
"""
    settings = loads(text, environ=environ).settings
    (d,) = settings.deployments
    assert (d.alias, d.id, d.provider, d.model) == ("a", "one", "groq", "llama")
    assert (d.api_key, d.api_base, d.rpm, d.drop_params, d.timeout) == (Secret("sk-1"), "http://h/v1", 60, True, 2.5)
    assert (d.extra_headers, d.tags) == ({"x-h": "h"}, ("h",))
    assert d.options == {"organization": "h", "num_ctx": 60}
    assert settings.general.database_url == "postgresql://u:p@h/d"
    assert settings.general.max_parallel_prompts == 60
    assert settings.policies == ("pii",)
    assert {type(value) for value in (d.alias, d.model, d.api_base, d.tags[0], d.options["organization"])} == {str}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("os.environ/NOPE", "the environment variable NOPE is not set"),
        ("os.environ/EMPTY", "the environment variable EMPTY is empty"),
        ("os.environ/", "os.environ/ must be followed by the name of an environment variable"),
        ("'os.environ/sk-live 1'", "os.environ/ must be followed by the name of an environment variable"),
        ("'file:'", "file: must be followed by a path"),
        ("file:/no/such/file", "the file /no/such/file cannot be read: No such file or directory"),
        ("file:/", "the file / cannot be read: Is a directory"),
    ],
)
def test_a_reference_to_nothing_is_one_fault(value, message):
    assert fault(model(api_key=value), {"EMPTY": ""}) == f"config:5: model_list[0].params.api_key: {message}"


def test_a_number_from_a_variable_is_checked_like_a_number():
    assert fault(model(rpm="os.environ/N"), {"N": "many"}).endswith("rpm: must be a whole number, without quotes")
    assert fault(model(timeout="os.environ/N"), {"N": "inf"}).endswith("timeout: must be a finite number")


def test_a_file_s_text_is_read_without_its_last_line_end_and_is_watched(tmp_path):
    (tmp_path / "key").write_text("sk-from-file\r\n")
    (tmp_path / "config.yaml").write_text(model(api_key="file:key", organization=f"file://{tmp_path}/key"))
    loaded = load(tmp_path / "config.yaml")
    (deployment,) = loaded.settings.deployments
    assert deployment.api_key == Secret("sk-from-file")
    assert deployment.options["organization"] == "sk-from-file"
    assert loaded.source.files == (tmp_path / "config.yaml", tmp_path / "key")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"x" * 65_537, "is larger than 65536 bytes"),
        (b"\xff", "is not UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_value_is_a_fault(tmp_path, data, message):
    (tmp_path / "key").write_bytes(data)
    assert fault(model(api_key=f"file:{tmp_path}/key")).endswith(f"the file {tmp_path}/key {message}")


def test_what_a_reference_leads_to_is_not_read_as_a_reference(tmp_path):
    (tmp_path / "key").write_text("os.environ/KEY")
    environ = {"KEY": "file:/etc/hostname", "M": "openai/file:/etc/hostname"}
    text = model(
        model="os.environ/M", api_key="os.environ/KEY", user="os.environ/KEY", organization=f"file:{tmp_path}/key"
    )
    (deployment,) = loads(text, environ=environ).settings.deployments
    assert deployment.api_key == Secret("file:/etc/hostname")
    assert deployment.defaults.user == "file:/etc/hostname"
    assert deployment.model == "file:/etc/hostname"
    assert deployment.options["organization"] == "os.environ/KEY"


def test_the_file_s_own_variables_come_before_the_process_s():
    text = "environment_variables: {A: inner-1, B: os.environ/A, N: 3, T: true}\n" + model(
        api_key="os.environ/A", organization="os.environ/B", rpm="os.environ/N", tokenizer="os.environ/C"
    )
    settings = loads(text, environ={"A": "outer-1", "C": "cl100k_base"}).settings
    (deployment,) = settings.deployments
    assert deployment.api_key == Secret("inner-1")
    assert deployment.options["organization"] == "outer-1"
    assert (deployment.rpm, deployment.tokenizer) == (3, "cl100k_base")
    assert settings.environment_variables == {"A": "inner-1", "B": "outer-1", "N": "3", "T": "true"}
    assert "inner-1" not in repr(settings) + str(settings.model_dump())


def test_references_in_settings_without_use_are_not_followed():
    text = "litellm_settings: {cache_params: {host: os.environ/NOPE}}\ncallback_settings: {x: file:/no/such/file}"
    assert len(loads(text, environ={}).settings.warnings) == 1
