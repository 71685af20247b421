"""Everything that is wrong with a configuration, each fault with its line and path, and no value in any of them."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import from_mapping, loads
from gateway.errors import ConfigError

MODEL = "model_list: [{model_name: a, params: {model: openai/x}}]\n"


def faults(text, environ=None):
    with pytest.raises(ConfigError) as caught:
        loads(text, "config.yaml", environ or {})
    return list(caught.value.faults)


def one(text, environ=None):
    (fault,) = faults(text, environ)
    return fault


def in_params(text):
    return one(f"model_list:\n  - model_name: a\n    litellm_params:\n      model: openai/x\n      {text}")


def test_every_fault_is_told_at_once_in_the_order_of_the_file():
    assert faults(
        """
model_lst: []
model_list:
  - model_name: a
    params:
      model: openai/x
      api_key: os.environ/NOPE
      timeout: -1
      temprature: 2
  - litellm_params: {model: groq/y}
    model_info: {id: a-1, base_modle: z}
  - model_name: c
    litellm_params: {}
    model_info: {id: a-1}
router_settings:
  fallbacks: [{a: [b]}]
  num_retries: true
general_settings: {master_key: short}
end_users: {sources: [header, bogus], default_budget: {max_use: 3, period: day}}
telemetry: {log_format: jsn}
policies: default
"""
    ) == [
        'config.yaml:2: model_lst: unknown key; did you mean "model_list"?',
        "config.yaml:7: model_list[0].params.api_key: the environment variable NOPE is not set",
        "config.yaml:8: model_list[0].params.timeout: must be more than 0",
        'config.yaml:9: model_list[0].params.temprature: unknown key; did you mean "temperature"?',
        "config.yaml:10: model_list[1].model_name: is required",
        'config.yaml:11: model_list[1].model_info.base_modle: unknown key; did you mean "base_model"?',
        "config.yaml:13: model_list[2].litellm_params.model: is required: provider/model",
        "config.yaml:14: model_list[2].model_info.id: is also the id of model_list[1]",
        "config.yaml:17: router_settings.num_retries: must be a whole number, without quotes",
        "config.yaml:18: general_settings.master_key: must be at least 8 characters long",
        "config.yaml:19: end_users.sources[1]: must be 'header', 'user', 'metadata.user_id' or 'safety_identifier'",
        "config.yaml:19: end_users.default_budget.period: must be a number and a unit: s, m, h, d, w or mo, such as 1d",
        'config.yaml:19: end_users.default_budget.max_use: unknown key; did you mean "max_usd"?',
        "config.yaml:20: telemetry.log_format: must be 'json' or 'console'",
        "config.yaml:21: policies: must be a list",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rpm: 0", "rpm: must be at least 1"),
        ("tpm: -5", "tpm: must be at least 1"),
        ("rpm: '6'", "rpm: must be a whole number, without quotes"),
        ("rpm: 6.5", "rpm: must be a whole number, without quotes"),
        ("weight: -1", "weight: must be at least 0"),
        ("weight: .inf", "weight: must be a finite number"),
        ("timeout: 0", "timeout: must be more than 0"),
        ("timeout: .nan", "timeout: must be a finite number"),
        ("timeout: soon", "timeout: must be a number, without quotes"),
        ("timeout: 100000", "timeout: must be at most 86400"),
        ("input_cost_per_token: -1e-6", "input_cost_per_token: must be at least 0"),
        ("drop_params: 'yes'", "drop_params: must be true or false, without quotes"),
        ("api_key: 12345", "api_key: must be text; put it in quotes"),
        ("api_key: ''", "api_key: must not be empty"),
        ("api_key: [a]", "api_key: must be text; put it in quotes"),
        ("api_base: example.com/v1", "api_base: must be a URL that starts with http:// or https:// and names a host"),
        ("api_base: 'http://'", "api_base: must be a URL that starts with http:// or https:// and names a host"),
        ("extra_headers: [a]", "extra_headers: must be a mapping"),
        ("extra_headers: {x: 1}", "extra_headers.x: must be text; put it in quotes"),
        ("extra_headers: {'a b': x}", "extra_headers: has a name that is not an HTTP header name"),
        ('extra_headers: {a: "x\\ny: z"}', "extra_headers: has a value that cannot stand in an HTTP header"),
        ("extra_params: yes", "extra_params: must be 'allow'"),
        ("translation: chatty", "translation: must be 'chat' or 'continuation'"),
        ("suffix: native", "suffix: must be 'emulate'"),
        ("temperature: 3", "temperature: must be at most 2"),
        ("organization: [org-1, org-2]", "organization: must be text; put it in quotes"),
        ("num_ctx: many", "num_ctx: must be a whole number, without quotes"),
        ("aws_secret_access_key: 5", "aws_secret_access_key: must be text; put it in quotes"),
        ("aws_region: us-east-1", 'aws_region: unknown key; did you mean "aws_region_name"?'),
        ("api_kye: x", 'api_kye: unknown key; did you mean "api_key"?'),
        ("zzzzzz: x", "zzzzzz: unknown key"),
        ("tags: paid", "tags: must be a list"),
        ("litellm_credential_name: none", "litellm_credential_name: names no entry of credential_list"),
    ],
)
def test_a_wrong_setting_of_a_model_is_told_with_its_line(line, message):
    assert in_params(line) == f"config.yaml:5: model_list[0].litellm_params.{message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be a mapping"),
        ("just text", "must be a mapping"),
        ("model_list: {}", "model_list: must be a list"),
        ("model_list: [3]", "model_list[0]: must be a mapping with model_name and litellm_params"),
        ("general_settings: on", "general_settings: must be a mapping"),
        ("general_settings: {max_request_bytes: 5}", "general_settings.max_request_bytes: must be at least 1024"),
        (
            "general_settings: {database_url: 'mysql://x'}",
            "general_settings.database_url: must start with sqlite:/// or postgresql://",
        ),
        (
            "general_settings: {redis_url: localhost}",
            "general_settings.redis_url: must start with redis://, rediss:// or unix://",
        ),
        ("general_settings: {log_format: json}", "general_settings.log_format: unknown key"),
        ("telemetry: {sample_ratio: 1.5}", "telemetry.sample_ratio: must be at most 1"),
        ("policies: [1]", "policies[0]: must be text; put it in quotes"),
        ("environment_variables: {A: [b]}", "environment_variables.A: must be text or a number"),
        ("credential_list: [{}]", "credential_list[0].credential_name: must be a name that no other credential has"),
        ("router_settings: {fallbacks: [{a: [x]}, {a: [y]}]}", "router_settings.fallbacks: names 'a' twice"),
        ("router_settings: {fallbacks: {a: b}}", "router_settings.fallbacks.a: must be a list"),
        (
            "router_settings: {fallbacks: a}",
            "router_settings.fallbacks: must be a list of mappings such as [{alias: [another, a-third]}]",
        ),
        (
            "router_settings: {routing_strategy: random}",
            "router_settings.routing_strategy: must be 'simple-shuffle', 'least-busy', 'latency-based-routing', "
            "'usage-based-routing' or 'cost-based-routing'",
        ),
        (
            "model_list: [{model_name: a, params: {model: openai/}}]",
            "model_list[0].params.model: must name a provider before the slash and a model after it",
        ),
        (
            "model_list: [{model_name: a, params: {model: 3}}]",
            "model_list[0].params.model: must be text: provider/model",
        ),
    ],
)
def test_a_wrong_section_is_told_with_its_line(text, message):
    assert one(text) == f"config.yaml:1: {message}"


def test_fallbacks_must_lead_somewhere():
    text = (
        MODEL
        + """router_settings:
  fallbacks:
    - a: [a-1]
    - b: ["c"]
  default_fallbacks: [z]
  model_group_alias: {d: aa}
"""
    )
    assert faults(text) == [
        "config.yaml:5: router_settings.fallbacks[1].b: no model has the name 'b'",
        "config.yaml:5: router_settings.fallbacks[1].b[0]: no model has the name 'c'",
        "config.yaml:6: router_settings.default_fallbacks[0]: no model has the name 'z'",
        "config.yaml:7: router_settings.model_group_alias.d: no model has the name 'aa'; did you mean \"a\"?",
    ]


def test_a_further_name_stands_for_an_alias_itself():
    text = "model_list: [{model_name: g/*, params: {model: groq/*}}]\nrouter_settings: {model_group_alias: {x: g/y}}"
    assert one(text).startswith("config.yaml:2: router_settings.model_group_alias.x: no model has the name 'g/y'")
    assert one(text.replace("g/y", "g/*")) == (
        "config.yaml:2: router_settings.model_group_alias.x: 'g/*' is a wildcard, which has no text for its star here; "
        "give the name an entry of its own in model_list"
    )


def test_a_fallback_to_a_model_with_faults_of_its_own_is_not_a_second_fault():
    text = "model_list: [{model_name: a, params: {model: x}}, {model_name: b, params: {model: x, rpm: 0}}]\n"
    assert one(text + "router_settings: {fallbacks: [{a: [b]}]}").endswith("rpm: must be at least 1")


@pytest.mark.parametrize(
    ("chains", "circle"),
    [
        ("[{a: [a]}]", "a -> a"),
        ("[{a: [b]}, {b: [a]}]", "a -> b -> a"),
        ("[{a: [b, c]}, {c: [b]}, {b: [c]}]", "b -> c -> b"),
    ],
)
@pytest.mark.parametrize("kind", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
def test_fallbacks_must_not_go_in_a_circle(kind, chains, circle):
    text = "model_list:\n" + "".join(f"  - {{model_name: {name}, params: {{model: x}}}}\n" for name in "abc")
    assert one(f"{text}litellm_settings: {{{kind}: {chains}}}").endswith(f"goes in a circle: {circle}")


def test_fallbacks_that_meet_are_no_circle():
    text = "model_list:\n" + "".join(f"  - {{model_name: {name}, params: {{model: x}}}}\n" for name in "abc")
    chains = loads(
        f"{text}router_settings: {{fallbacks: [{{a: [b, c]}}, {{b: [c]}}, {{'*': [a]}}]}}"
    ).settings.router.fallbacks
    assert chains == {"a": ("b", "c"), "b": ("c",), "*": ("a",)}


SECRET = "correct-horse-battery-staple"
_PLACES = ["api_key", "api_base", "timeout", "extra_headers", "rpm", "translation", "azure_password", "num_ctx", "tags"]


@pytest.mark.parametrize("place", [*_PLACES, "unknown", "model"])
@pytest.mark.parametrize("form", ["{0}", "[{0}]", "{{a: {0}}}", "!{0}", "*{0}", "'{0}", "os.environ/{0}", "{0}: {0}"])
def test_a_value_never_appears_in_a_fault(place, form):
    text = f"model_list:\n- model_name: a\n  params:\n    {place}: {form.format(SECRET)}\n    rpm: -1\n"
    assert SECRET not in "\n".join(faults(text))


def test_a_value_from_the_environment_never_appears_in_a_fault():
    names = ("master_key", "database_url", "redis_url", "max_request_bytes")
    text = f"general_settings: {{{', '.join(f'{name}: os.environ/K' for name in names)}}}"
    found = faults(text, {"K": "hunter2"})
    assert len(found) == len(names)
    assert "hunter2" not in "".join(found)


_WORDS = """model_list params model_name model openai/x a * os.environ/X file:/nope fallbacks end_users id stop rpm
    router_settings litellm_settings general_settings policies telemetry model_info"""
_words = st.sampled_from(_WORDS.split())
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_words, _values, max_size=5))
def test_no_mapping_raises_anything_but_a_config_error(value):
    with suppress(ConfigError):
        from_mapping(value, environ={})
