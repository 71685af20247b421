"""A configuration in, settings or every fault at once out, each with file, line and path."""

import pytest

from gateway.config.load import from_mapping, load, loads
from gateway.config.model import Settings, default_settings
from gateway.config.secret import Secret
from gateway.errors import ConfigError

MODEL = "model_list: [{model_name: a, params: {model: openai/x}}]\n"


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "{}", "model_list:\n", "model_list: []\ngeneral_settings:\n", "---\n"]
)
def test_an_empty_configuration_is_the_defaults(text):
    assert loads(text).settings == default_settings() == Settings()


def test_the_contract_s_own_example_loads():
    text = """
model_list:
  - model_name: gpt-3.5-turbo-instruct
    litellm_params:
      model: text-completion-openai/gpt-3.5-turbo-instruct
      api_key: os.environ/OPENAI_API_KEY
      api_base: https://api.example.com/v1/
      timeout: 60
      stream_timeout: 60
      weight: 1
      extra_params: allow
      tokenizer: cl100k_base
      translation: continuation
      continuation_prompt: Go on.
      suffix: emulate
      input_cost_per_token: 0.0000015
      output_cost_per_token: 0.000002
    model_info: {id: openai-1, base_model: gpt-3.5-turbo-instruct, max_input_tokens: 4096}
router_settings: {routing_strategy: simple-shuffle, num_retries: 2, timeout: 60, allowed_fails: 3, cooldown_time: 5,
  fallbacks: [{gpt-3.5-turbo-instruct: [openai-1b]}], context_window_fallbacks: [], content_policy_fallbacks: [],
  default_fallbacks: [], model_group_alias: {openai-1b: gpt-3.5-turbo-instruct}}
litellm_settings: {drop_params: false, fallbacks: [], request_timeout: 600}
general_settings: {master_key: os.environ/GATEWAY_MASTER_KEY, database_url: sqlite:///gateway.db, redis_url: null,
  max_request_bytes: 8388608}
policies: [default]
end_users: {sources: [header, user, metadata.user_id, safety_identifier], require: false,
  default_budget: {max_usd: 5, period: 1d}, pseudonymize: false}
telemetry: {service_name: gateway, otlp_endpoint: null, otlp_protocol: auto, sample_ratio: 1.0, capture_content: none,
  log_format: json, compat: []}
environment_variables: {}
"""
    loaded = loads(text, environ={"OPENAI_API_KEY": "sk-1", "GATEWAY_MASTER_KEY": "12345678"})
    (deployment,) = loaded.settings.deployments
    assert deployment.id == "openai-1"
    assert deployment.api_key == Secret("sk-1")
    assert deployment.path == ("model_list", 0)
    assert deployment.api_base == "https://api.example.com/v1"
    assert loaded.settings.router.timeout == 60
    assert loaded.settings.end_users.default_budget.max_usd == 5
    assert loaded.settings.policies == ("default",)


@pytest.mark.parametrize(("text", "policies"), [("", None), ("policies: []", ()), ("policies:", None)])
def test_absent_policies_are_not_no_policies(text, policies):
    assert loads(text).settings.policies == policies


def test_ids_are_unique_and_stable():
    def ids(*entries):
        return [d.id for d in from_mapping({"model_list": list(entries)}).settings.deployments]

    a, b = {"model_name": "a", "params": {"model": "x"}}, {"model_name": "b", "params": {"model": "x"}}
    named = {**a, "model_info": {"id": "a-2"}}
    assert ids(a, b, a) == ["a-1", "b-1", "a-2"]
    assert ids(b, b, a, b, a) == ["b-1", "b-2", "a-1", "b-3", "a-2"]
    assert ids(a, a, named) == ["a-1", "a-3", "a-2"]


def test_a_mapping_is_read_like_a_file_and_its_faults_have_no_lines():
    value = {
        "model_list": [{"model_name": "a", "params": {"model": "groq/x", "tags": ["t"], "rpm": 3}}],
        "policies": [],
    }
    (deployment,) = from_mapping(value).settings.deployments
    assert (deployment.provider, deployment.tags, deployment.rpm) == ("groq", ("t",), 3)
    with pytest.raises(ConfigError) as caught:
        from_mapping({"model_list": [{"model_name": "a", "params": {"model": "x", "rpm": "3"}}]}, "in code")
    assert caught.value.faults == ("in code: model_list[0].params.rpm: must be a whole number, without quotes",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "config.yaml: cannot be read: No such file or directory"),
        (b"a: \xff", "config.yaml: is not UTF-8 text"),
        (b"#" * 1_048_577, "config.yaml: is larger than 1048576 bytes"),
        ("ü".encode() * 600_000, "config.yaml: is larger than 1048576 bytes"),
    ],
    ids=["absent", "latin-1", "large", "large-utf8"],
)
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    if data is not None:
        (tmp_path / "config.yaml").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load("config.yaml")
    assert caught.value.faults == (message,)


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + MODEL.encode())
    assert load(tmp_path / "c.yaml").settings.deployments


def test_a_later_check_adds_faults_of_the_same_form():
    source = loads("\n" + MODEL, "config.yaml").source
    path = ("model_list", 0, "litellm_params", "model")
    assert (
        source.fault(path, "unknown provider") == "config.yaml:2: model_list[0].litellm_params.model: unknown provider"
    )
    assert source.fault((), "said") == "config.yaml:2: said"
    assert source.fault(("a.b", "c d", 3), "said") == "config.yaml:2: 'a.b'.'c d'[3]: said"
