"""Limits and budgets as a configuration has them, LiteLLM's too, and what they come to."""

from decimal import Decimal

import pytest

from gateway.config.load import loads
from gateway.errors import ConfigError
from gateway.ledger.allowances import Rule
from gateway.ledger.rules import bounds, made
from gateway.principal import MASTER_PRINCIPAL, Budget, Principal

MODEL = "model_list: [{model_name: a, params: {model: openai/x}}, {model_name: 'g/*', params: {model: 'groq/*'}}]\n"


def settings(text: str):
    loaded = loads(MODEL + text)
    assert loaded.settings.warnings == ()
    return loaded.settings


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(MODEL + text)
    return list(caught.value.faults)


def test_without_limits_nothing_is_bound():
    made = bounds(settings(""))
    assert made.named() == ()
    assert (made.key_budget, made.key_limits, made.binds_end_users) == (None, None, False)


def test_every_kind_of_bound_is_a_rule():
    text = "limits: {all: {rpm: 1, rph: 2, rpd: 3, tpm: 4, tph: 5, tpd: 6, max_parallel: 7, budget: {max_usd: 0.1}}}"
    assert bounds(settings(text)).all == (
        Rule("all", "", "parallel", "requests", 7),
        Rule("all", "", "rate", "requests", 1, "1m"),
        Rule("all", "", "rate", "requests", 2, "1h"),
        Rule("all", "", "rate", "requests", 3, "1d"),
        Rule("all", "", "rate", "tokens", 4, "1m"),
        Rule("all", "", "rate", "tokens", 5, "1h"),
        Rule("all", "", "rate", "tokens", 6, "1d"),
        Rule("all", "", "budget", "picodollars", 100_000_000_000),
    )


def test_models_tags_keys_and_end_users_have_their_own():
    made = bounds(
        settings(
            """
limits:
  models: {a: {rpm: 5}, g/*: {budget: {max_tokens: 9, period: 1w}}}
  tags: {team one: {max_parallel: 2}}
  keys: {tpm: 100, budget: {max_usd: 2.5, period: 1mo}}
end_users: {default_budget: {max_usd: 5, period: 1d}, default_limits: {rpd: 50}}
"""
        )
    )
    assert made.models == {
        "a": (Rule("model", "a", "rate", "requests", 5, "1m"),),
        "g/*": (Rule("model", "g/*", "budget", "tokens", 9, "1w"),),
    }
    assert made.tags == {"team one": (Rule("tag", "team one", "parallel", "requests", 2),)}
    assert (made.key_limits.tpm, made.key_budget.max_usd, made.key_budget.period) == (100, Decimal("2.5"), "1mo")
    assert (made.end_user_limits.rpd, made.end_user_budget.max_usd) == (50, Decimal(5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: {all: {rpm: 0}}", "limits.all.rpm: must be at least 1"),
        ("limits: {all: {rmp: 1}}", 'limits.all.rmp: unknown key; did you mean "rpm"?'),
        ("limits: {all: {budget: {max_usd: -1}}}", "limits.all.budget.max_usd: must be at least 0"),
        ("limits: {models: {b: {rpm: 1}}}", "limits.models.b: no model has the name 'b'"),
        ("limits: {models: {also: {rpm: 1}}}\nrouter_settings: {model_group_alias: {also: a}}", "further name of 'a'"),
        ("limits: {tags: {' a': {rpm: 1}}}", "limits.tags: has a name that is empty, has spaces at its ends"),
        ("limits: {webhook: {url: 'https://a', secret: short}}", "limits.webhook.secret: must be at least 16"),
        ("limits: {when_counters_fail: shrug}", "limits.when_counters_fail: must be 'refuse' or 'go_on'"),
        ("end_users: {default_budget: {max_usd: 1, period: 0d}}", "must be a number and a unit"),
        ("litellm_settings: {max_budget: lots}", "litellm_settings.max_budget"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, said):
    found = faults(text)
    assert len(found) == 1
    assert said in found[0]
    assert found[0].startswith("config:")


def test_a_name_that_a_wildcard_serves_may_have_limits_of_its_own():
    assert bounds(settings("limits: {models: {g/llama: {rpm: 1}}}")).models["g/llama"]


def test_litellms_budgets_are_ours():
    found = settings(
        """
litellm_settings:
  max_budget: 100
  budget_duration: 30d
  max_end_user_budget: 0.5
  tag_budget_config: {"product:chat": {max_budget: 3, budget_duration: 1d}}
"""
    )
    budget = found.limits.all.budget
    assert (budget.max_usd, budget.period) == (100, "30d")
    assert found.end_users.default_budget.max_usd == 0.5
    assert found.limits.tags["product:chat"].budget.model_dump() == {"max_usd": 3, "max_tokens": None, "period": "1d"}


def test_what_stands_in_limits_counts_before_litellms():
    found = settings(
        """
litellm_settings: {max_budget: 100, budget_duration: 30d, tag_budget_config: {t: {max_budget: 3}, u: {max_budget: 4}}}
limits: {all: {rpm: 3, budget: {max_usd: 7}}, tags: {t: {rpm: 1}}}
"""
    )
    assert (found.limits.all.rpm, found.limits.all.budget.max_usd, found.limits.all.budget.period) == (3, 7, "30d")
    assert (found.limits.tags["t"].rpm, found.limits.tags["t"].budget) == (1, None)
    assert found.limits.tags["u"].budget.max_usd == 4


def test_the_master_key_and_callers_without_a_key_have_no_bounds_of_keys_and_bearers_of_tokens_have():
    bound = bounds(settings("limits: {keys: {rpm: 5}}"))
    assert bound.of_key(None) == bound.of_key(MASTER_PRINCIPAL) == ()
    for kind in ("key", "jwt"):
        (rule,) = bound.of_key(Principal(kind, f"{kind}_1", "team"))
        assert (rule.scope, rule.name, rule.most) == ("key", f"{kind}_1", 5)


def test_a_budget_is_never_rounded_up():
    budget = Budget(max_usd=Decimal("0.0000000000019"))
    assert made("all", "", budget, None) == (Rule("all", "", "budget", "picodollars", 1),)
