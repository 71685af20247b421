"""Aliases, groups and wildcards; and what only a provider can find wrong with a deployment."""

import pytest

from gateway.config.load import from_mapping, loads
from gateway.errors import ConfigError, ModelNotFound
from gateway.providers.base import Level
from gateway.routing import builtin
from gateway.routing.deployments import Catalogue, within
from gateway.routing.upstream import Timeouts
from gateway.types import Call, Message

CALL = Call((Message("user", "p"),), "p")


def entry(alias: str, model: str, **params: object) -> dict[str, object]:
    return {"model_name": alias, "litellm_params": {"model": model, "api_key": "sk-12345678", **params}}


def catalogue(*entries: dict[str, object], **sections: object) -> Catalogue:
    found = from_mapping({"model_list": list(entries), "policies": [], **sections})
    return Catalogue(found.settings, found.source)


def test_equal_names_are_one_group_in_the_order_of_the_configuration():
    made = catalogue(entry("m", "openai/a"), entry("other", "openai/b"), entry("m", "anthropic/c"))
    assert [(bound.provider, bound.model) for bound in made.find("m")] == [("openai", "a"), ("anthropic", "c")]
    assert made.names() == ["m", "other"]


@pytest.mark.parametrize(
    ("asked", "provider", "model"),
    [
        ("groq/llama-3", "groq", "llama-3"),
        ("groq/special", "openai", "special"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("anthropic/claude", "anthropic", "claude"),
        ("team/x/y", "openai", "x/y"),
    ],
)
def test_a_wildcard_serves_what_no_plain_alias_has_and_the_longest_one_wins(asked, provider, model):
    made = catalogue(
        entry("*", "*"),
        entry("groq/*", "groq/*"),
        entry("groq/special", "openai/special"),
        entry("team/*", "openai/*"),
    )
    bound = made.find(asked)[0]
    assert (bound.provider, bound.model) == (provider, model)


def test_the_star_fills_in_the_providers_model():
    bound = catalogue(entry("eu-*", "openai/gpt-*-eu")).find("eu-4o")[0]
    assert bound.model == "gpt-4o-eu"


@pytest.mark.parametrize("asked", ["groq/", "groq", "nothing", ""])
def test_an_unknown_name_is_not_found_and_the_closest_one_is_told(asked):
    with pytest.raises(ModelNotFound) as refused:
        catalogue(entry("groq/*", "groq/*")).find(asked)
    assert (refused.value.status, refused.value.param) == (404, "model")


def test_an_alias_may_have_another_name():
    made = catalogue(entry("gpt", "openai/a"), router_settings={"model_group_alias": {"davinci": "gpt"}})
    assert made.find("davinci") == made.find("gpt")


def test_every_fault_is_listed_with_its_line():
    found = loads(
        """
model_list:
  - model_name: a
    litellm_params: {model: opennai/x, api_key: k}
  - model_name: b
    litellm_params: {model: groq/x, api_version: v1}
  - model_name: c
    litellm_params: {model: hosted_vllm/x}
  - model_name: d
    litellm_params: {model: openai/x, api_key: k, tokenizer: gpt2}
  - model_name: e
    litellm_params: {model: openai/*, api_key: k}
policies: []
""",
        "config.yaml",
        {},
    )
    with pytest.raises(ConfigError) as refused:
        Catalogue(found.settings, found.source)
    faults = refused.value.faults
    assert [fault.split(": ", 1)[0] for fault in faults] == [f"config.yaml:{line}" for line in (4, 6, 6, 8, 10, 12)]
    for said, fault in zip(
        (
            "did you mean",
            "set api_key or GROQ_API_KEY",
            "no setting api_version",
            "set api_base",
            "tokenizer",
            "a star",
        ),
        faults,
        strict=True,
    ):
        assert said in fault


def test_a_key_may_come_from_the_environment_of_the_configuration():
    made = catalogue(
        {"model_name": "m", "litellm_params": {"model": "groq/x"}}, environment_variables={"GROQ_API_KEY": "gsk-1234"}
    )
    assert made.find("m")[0].translator.request(CALL).headers["authorization"] == "Bearer gsk-1234"
    assert "gsk-1234" not in repr(made) + repr(made.find("m"))


def test_the_most_particular_time_limit_wins():
    made = catalogue(
        entry("own", "openai/a", timeout=7, stream_timeout=3),
        entry("common", "openai/a"),
        router_settings={"timeout": 50},
    )
    assert (made.find("own")[0].whole.total, made.find("own")[0].stream.read) == (7, 3)
    assert (made.find("common")[0].whole.total, made.find("common")[0].stream.read) == (50, 50)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, Timeouts(5, 60, 600)), (700, Timeouts(5, 60, 600)), (30, Timeouts(5, 30, 30)), (1, Timeouts(1, 1, 1))],
)
def test_a_client_may_only_shorten_the_limits(seconds, expected):
    assert within(Timeouts(5, 60, 600), seconds) == expected


def test_without_a_configuration_the_demo_and_every_provider_with_a_key_are_served(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1234")
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    aliases = [deployment.alias for deployment in builtin.settings().deployments]
    assert aliases[0] == "demo"
    assert "anthropic/*" in aliases
    assert "groq/*" not in aliases


def test_with_openais_key_its_models_are_served_under_their_plain_names(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345678")
    found = builtin.settings()
    made = Catalogue(found, from_mapping({"model_list": []}).source)
    assert made.find("gpt-3.5-turbo-instruct")[0].provider == "text-completion-openai"
    assert made.find("davinci-002")[0].provider == "text-completion-openai"
    assert (made.find("gpt-4o")[0].provider, made.find("gpt-4o")[0].model) == ("openai", "gpt-4o")
    assert made.find("openai/o3")[0].model == "o3"


def test_another_server_in_openais_language_is_not_believed_to_do_all_that_openai_does():
    model = "text-completion-openai/x"
    made = catalogue(entry("own", model), entry("other", model, api_base="http://127.0.0.1:9/v1"))
    own, other = made.find("own")[0].shape.support, made.find("other")[0].shape.support
    assert (own.level("suffix"), own.level("best_of")) == (Level.NATIVE, Level.NATIVE)
    assert (other.level("suffix"), other.level("best_of")) == (Level.REFUSED, Level.EMULATED)


def test_a_setting_with_a_value_its_provider_cannot_take_is_a_fault_among_the_others():
    with pytest.raises(ConfigError) as refused:
        catalogue(entry("a", "demo/demo", demo_fault="no such"), entry("b", "nobody/x"))
    assert len(refused.value.faults) == 2
    assert refused.value.faults[0].startswith("config: model_list[0].litellm_params")


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("hosted_vllm/llama", {"api_base": "http://127.0.0.1:1", "input_cost_per_token": 1e-6}),
        ("openai/unheard-of", {"cache_read_input_token_cost": 1e-6}),
    ],
)
def test_a_price_of_a_part_of_a_call_that_nothing_completes_is_a_fault(model, params):
    with pytest.raises(ConfigError, match=r"input_cost_per_token and output_cost_per_token"):
        catalogue(entry("m", model, **params))


@pytest.mark.parametrize(
    ("alias", "model", "params"),
    [
        ("m", "openai/gpt-4o", {"input_cost_per_token": 1e-6}),  # the catalogue has the rest
        ("m", "openai/unheard-of", {"input_cost_per_token": 0, "output_cost_per_token": 0}),
        ("*", "openai/*", {"input_cost_per_token": 1e-6}),  # known once a request names the model
    ],
)
def test_a_price_that_is_whole_or_completed_is_no_fault(alias, model, params):
    assert catalogue(entry(alias, model, **params)).find("m")


def test_a_deployments_price_and_vocabulary_are_found_once_by_its_settings():
    first, second = catalogue(
        {**entry("m", "azure/mine", api_base="https://x.test"), "model_info": {"base_model": "azure/gpt-4.1"}},
        entry("m", "azure/mine", api_base="https://x.test"),
    ).find("m")
    assert (first.price and first.price.source, first.encoding) == ("catalogue", "o200k_base")
    assert (second.price, second.encoding) == (None, None)


def test_the_models_of_a_wildcard_have_their_own_prices():
    served = catalogue(entry("*", "*"))
    mini, full = served.find("gpt-4o-mini")[0].price, served.find("gpt-4o")[0].price
    assert mini is not None
    assert full is not None
    assert mini.rates(1).input < full.rates(1).input
