"""Limits and budgets through the whole gateway: who is bound by what, what a refusal says, what it is settled to."""

import asyncio
import hmac
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.admitting import Admitting
from gateway.wire import asgi, json
from tests.middleware.admission_kit import ELSEWHERE, MASTER, Bounded, bounded

USD = 0.013
"""What one completion costs; it reserves 0.015."""

RATES = [("rpm", 1), ("rph", 1), ("rpd", 1), ("tpm", 20), ("tph", 20), ("tpd", 20)]
BUDGETS = [("max_usd", 0.02), ("max_tokens", 20)]


@pytest.fixture
def free(tmp_path: Path) -> Iterator[Bounded]:
    """A gateway that bounds nobody."""
    with bounded(tmp_path) as made:
        yield made


def configured(scope: str, bound: dict[str, Any]) -> dict[str, Any]:
    """The configuration that binds one scope."""
    if scope == "end_user":
        limits = {name: most for name, most in bound.items() if name != "budget"}
        return {"end_users": {"default_limits": limits, "default_budget": bound.get("budget")}}
    return {"limits": {"all": {"all": bound}, "key": {"keys": bound}}.get(scope, {f"{scope}s": {"demo": bound}})}


def asked(scope: str, keys: list[str], *, other: bool) -> dict[str, Any]:
    """A request that is bound, or one of somebody else."""
    fields: dict[str, Any] = {"user": "eve" if other else "bob", "tags": ["mine" if other else "demo"]}
    return {
        "key": keys[1] if other else keys[0],
        "model": "other" if other and scope == "model" else "demo",
        **fields,
    }


WHOSE = {
    "all": "of this gateway",
    "key": "of this API key",
    "end_user": "of this end user",
    "tag": "of a tag of this request",
    "model": "of this model",
}


@pytest.mark.parametrize("scope", WHOSE)
@pytest.mark.parametrize(("name", "most"), [*RATES, *BUDGETS])
def test_every_scope_is_held_to_every_unit_and_nobody_else_is(scope: str, name: str, most: float, tmp_path: Path):
    money = (name, most) in BUDGETS
    bound = {"budget": {name: most, "period": "1d"}} if money else {name: most}
    with bounded(tmp_path, **configured(scope, bound)) as gateway:
        keys = [gateway.key(alias)[1] for alias in ("one", "two")]
        assert gateway.complete(**asked(scope, keys, other=False)).status == 200
        refused = gateway.complete(**asked(scope, keys, other=False))
        assert refused.status == 429
        kind, code = ("insufficient_quota", "budget_exceeded") if money else ("rate_limit_error", "rate_limit_exceeded")
        assert (refused.error["type"], refused.error["code"]) == (kind, code)
        assert WHOSE[scope] in refused.error["message"]
        assert int(refused.headers["retry-after"]) > 0
        assert gateway.complete(**asked(scope, keys, other=True)).status == (429 if scope == "all" else 200)

        gateway.clock.now += int(refused.headers["retry-after"])
        assert gateway.complete(**asked(scope, keys, other=False)).status == 200, "the wait was long enough"


@pytest.mark.parametrize("scope", WHOSE)
def test_requests_at_a_time_are_bounded_and_the_next_one_passes_when_one_is_over(scope: str, tmp_path: Path):
    with bounded(tmp_path, **configured(scope, {"max_parallel": 2})) as gateway:
        keys = [gateway.key(alias)[1] for alias in ("one", "two")]
        fields = asked(scope, keys, other=False)
        key = fields.pop("key")
        body = {"prompt": "Say hello", "max_tokens": 3, **fields}
        headers = [(b"authorization", f"Bearer {key}".encode())]

        async def run() -> list[int]:
            askings = [gateway.inner.asked(body, headers=headers, scope=ELSEWHERE) for _ in range(5)]
            replies = await asyncio.gather(*askings)
            return [reply.status for reply in replies]

        assert sorted(gateway.inner.run(run())) == [200, 200, 429, 429, 429]
        assert gateway.complete(key, **fields).status == 200


def test_a_key_has_bounds_of_its_own_or_those_of_all_keys(tmp_path: Path):
    with bounded(tmp_path, limits={"keys": {"rpm": 1, "budget": {"max_tokens": 30}}}) as gateway:
        _, plain = gateway.key("plain")
        _, fast = gateway.key("fast", limits={"rpm": 3})
        _, rich = gateway.key("rich", limits={"rpm": 9}, budget={"max_usd": 1})
        assert [gateway.complete(plain).status for _ in range(2)] == [200, 429]
        replies = [gateway.complete(fast) for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429], "its rates are its own, its budget is not"
        assert replies[2].error["code"] == "budget_exceeded"
        assert [gateway.complete(rich).status for _ in range(4)] == [200] * 4


def test_the_master_key_is_bound_by_everything_but_the_bounds_of_keys(tmp_path: Path):
    with bounded(tmp_path, limits={"keys": {"rpm": 1}, "models": {"demo": {"rpm": 3}}}) as gateway:
        assert [gateway.complete(MASTER).status for _ in range(4)] == [200, 200, 200, 429]


def test_an_end_user_has_bounds_of_their_own_or_the_default_ones(tmp_path: Path):
    with bounded(tmp_path, end_users={"default_budget": {"max_usd": 0.02, "period": "1d"}}) as gateway:
        assert [gateway.complete(user="bob").status for _ in range(2)] == [200, 429]
        gateway.admin("/admin/end-users/bob", {"budget": {"max_usd": 1}}, "PATCH")
        assert [gateway.complete(user="bob").status for _ in range(2)] == [200, 200]
        gateway.admin("/admin/end-users/bob", {"limits": {"rpm": 1}}, "PATCH")
        assert [gateway.complete(user="bob").status for _ in range(2)] == [200, 429]
        assert gateway.complete().status == 200, "a request for nobody"


def test_an_end_user_is_counted_under_their_pseudonym(tmp_path: Path):
    config = {"end_users": {"pseudonymize": True, "default_limits": {"rpm": 1}}}
    with bounded(tmp_path, **config) as gateway:
        assert [gateway.complete(user="bob@example.org").status for _ in range(2)] == [200, 429]
        assert gateway.complete(user="eve@example.org").status == 200
        counters = repr(vars(gateway.gateway.admitting._allowances))
        assert "bob@example.org" not in counters
        assert "eu-" in counters


def test_all_names_that_a_wildcard_serves_count_together_and_further_names_as_their_alias(tmp_path: Path):
    config = {
        "limits": {"models": {"many/*": {"rpm": 2}, "many/own": {"rpm": 1}, "demo": {"rpm": 1}}},
        "router_settings": {"model_group_alias": {"also": "demo"}},
    }
    with bounded(tmp_path, **config) as gateway:
        found = [gateway.complete(model=f"many/{name}").status for name in ("a", "b", "c")]
        assert found == [200, 200, 429]
        assert [gateway.complete(model="many/own").status for _ in range(2)] == [200, 429]
        assert [gateway.complete(model=name).status for name in ("also", "demo")] == [200, 429]


def test_a_key_that_is_changed_while_it_is_used_is_held_to_the_new_bound_with_what_it_used_before(free: Bounded):
    key_id, key = free.key("one", limits={"rpm": 3})
    assert [free.complete(key).status for _ in range(2)] == [200, 200]
    free.admin(f"/admin/keys/{key_id}", {"limits": {"rpm": 2}}, "PATCH")
    assert free.complete(key).status == 429
    free.admin(f"/admin/keys/{key_id}", {"limits": {"rpm": 4}}, "PATCH")
    assert [free.complete(key).status for _ in range(3)] == [200, 200, 429]
    free.admin(f"/admin/keys/{key_id}", {"limits": None}, "PATCH")
    assert free.complete(key).status == 200


def test_a_reload_keeps_what_was_counted(tmp_path: Path):
    with bounded(tmp_path, limits={"all": {"rpm": 2}}) as gateway:
        assert gateway.complete().status == 200
        gateway.use(limits={"all": {"rpm": 2}, "keys": {"rpd": 5}})
        assert [gateway.complete().status for _ in range(2)] == [200, 429]
        gateway.use(limits={})
        assert gateway.complete().status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "used"),
    [("demo", 11), ("broken", 0), ("cut", None), ("stall", None)],
)
def test_what_is_settled_is_what_was_used(model: str, used: int | None, stream: bool, tmp_path: Path):
    with bounded(tmp_path, limits={"all": {"budget": {"max_tokens": 1000}}}) as gateway:
        for number in (1, 2):
            gateway.complete(model=model, stream=stream)
            spent = gateway.spent()
            if used is not None:
                assert spent == number * used
            else:
                assert number * 9 <= spent <= number * 11, "the prompt, and what came of the answer"


def test_a_client_that_leaves_pays_for_what_was_worked_for_it_and_no_more(tmp_path: Path):
    with bounded(tmp_path, limits={"all": {"max_parallel": 1, "budget": {"max_usd": 1}}}) as gateway:

        async def leave() -> None:
            body = json.dumps({"model": "stall", "prompt": "Say hello", "stream": True, "max_tokens": 400})
            headers = [(b"authorization", f"Bearer {MASTER}".encode())]
            answer = await asgi.request(
                gateway.gateway, "POST", "/v1/completions", headers, body, extras={"gateway.local": False}
            )
            await anext(answer.chunks())
            await answer.close()

        gateway.inner.run(leave())
        assert 0.009 <= gateway.spent() / 1e12 <= 0.013
        assert gateway.complete().status == 200, "its place is free again"


def test_a_request_that_nobody_is_called_for_counts_as_a_request_and_nothing_else(tmp_path: Path):
    policies = tmp_path / "word.yaml"
    policies.write_text(
        "policy: word\ndescription: d\nversion: 1\nstages: [input]\n"
        "guards:\n  - phrases: {rules: [{name: r, category: c, words: [kumquat]}]}\n"
    )
    limits = {"all": {"rpm": 3, "tpm": 1000}}
    with bounded(tmp_path, limits=limits, policies=[str(policies)]) as gateway:
        assert gateway.complete(prompt="a kumquat").json["error"]["code"] == "policy_blocked"
        assert gateway.complete(echo=True, max_tokens=0).status == 200
        last = gateway.complete()
        assert last.headers["x-ratelimit-remaining-requests"] == "0"
        assert last.headers["x-ratelimit-remaining-tokens"] == "988"


def test_a_model_that_does_not_exist_is_not_found_before_anything_is_counted(tmp_path: Path):
    with bounded(tmp_path, limits={"all": {"rpm": 1, "tpm": 1000}}) as gateway:
        assert gateway.complete(model="nobody").status == 404
        assert gateway.complete().status == 200


def test_a_model_without_a_price_is_held_to_tokens_only(tmp_path: Path):
    with bounded(tmp_path, limits={"all": {"budget": {"max_usd": 0.001}}}) as gateway:
        assert gateway.complete().status == 429
        assert [gateway.complete(model="free").status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    ("fields", "reserved"),
    [
        ({}, 12),
        ({"max_tokens": 100}, 109),
        ({"max_tokens": 100, "n": 3}, 309),
        ({"max_tokens": 100, "best_of": 4}, 409),
        ({"max_tokens": 10, "prompt": ["Say hello", "Say hello"]}, 38),
    ],
)
def test_what_is_reserved_is_the_prompts_and_all_that_may_be_written(fields: dict[str, Any], reserved: int, tmp_path):
    with bounded(tmp_path, limits={"all": {"tpm": reserved}}) as gateway:
        reply = gateway.complete(**fields)
        assert reply.status == 200
        assert reply.headers["x-ratelimit-remaining-tokens"] == "0"
    with bounded(tmp_path, limits={"all": {"tpm": reserved - 1}}) as gateway:
        reply = gateway.complete(**fields)
        assert reply.status == 429
        assert "retry-after" not in reply.headers, "no waiting helps"
        assert "smaller max_tokens" in reply.error["message"]


def test_the_headers_tell_the_tightest_limit_of_each_unit_truthfully_as_time_passes(tmp_path: Path):
    limits = {"all": {"rpm": 3, "rpd": 100, "tpm": 100, "max_parallel": 1}, "keys": {"rph": 2}}
    with bounded(tmp_path, limits=limits) as gateway:
        _, key = gateway.key("one")

        def told(reply: Any) -> dict[str, str]:
            return {
                name.removeprefix("x-ratelimit-"): value
                for name, value in reply.headers.items()
                if name.startswith("x-ratelimit")
            }

        assert told(gateway.complete(key)) == {
            "limit-requests": "2", "remaining-requests": "1", "reset-requests": "1h0m0s",
            "limit-tokens": "100", "remaining-tokens": "88", "reset-tokens": "1m0s",
        }  # fmt: skip
        assert told(gateway.complete()) == {
            "limit-requests": "3", "remaining-requests": "1", "reset-requests": "1m0s",
            "limit-tokens": "100", "remaining-tokens": "77", "reset-tokens": "1m0s",
        }  # fmt: skip
        gateway.clock.now += 90
        assert told(gateway.complete(key))["remaining-requests"] == "0"
        refused = gateway.complete(key)
        assert refused.status == 429
        assert told(refused)["limit-requests"] == "2"
        assert told(refused)["remaining-requests"] == "0"
        assert refused.headers["retry-after"] == str(3600 - 90), "when the first of the two is an hour old"
        gateway.clock.now += 61
        assert told(gateway.complete(stream=True))["remaining-requests"] == "2", "a stream tells it too"


def test_a_request_that_nothing_binds_has_no_such_headers(free: Bounded):
    assert not [name for name in free.complete().headers if "ratelimit" in name]


def test_a_refusal_names_the_callers_own_amounts_and_nobody_elses(tmp_path: Path):
    config = {"limits": {"tags": {"secret-project": {"budget": {"max_usd": 0.001, "period": "1mo"}}}}}
    with bounded(tmp_path, **config) as gateway:
        _, mine = gateway.key("mine", budget={"max_usd": 0.02, "period": "1d"})
        _, tagged = gateway.key("tagged", tags=["secret-project"])
        gateway.complete(mine)
        assert gateway.complete(mine).error["message"] == (
            "The budget of 0.02 USD per day of this API key does not suffice for this request; "
            "it begins anew in 1 d, at " + gateway_tomorrow() + "."
        )
        said = gateway.complete(tagged).error["message"]
        assert said.startswith("The budget of a tag of this request is less than this request alone may cost;")
        assert "secret-project" not in said
        assert "0.001" not in said


def gateway_tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_refused_request_is_recorded_with_its_code_and_costs_nothing(tmp_path: Path, caplog):
    with bounded(tmp_path, limits={"all": {"budget": {"max_usd": 0.001}}}) as gateway:
        with caplog.at_level("INFO", logger="gateway"):
            gateway.complete(user="bob")
        scrape = gateway.ask(MASTER, "/metrics", method="GET").body.decode()
    (line,) = [record for record in caplog.records if record.getMessage() == "request"]
    told = vars(line)
    assert told["gateway.outcome"] == "error"
    assert told["error.type"] == "budget_exceeded"
    assert "gen_ai.usage.cost" not in told
    assert 'gateway_status_class="4xx",error_type="budget_exceeded"} 1' in scrape


def test_a_budget_that_comes_to_its_end_is_told_once_in_each_window_and_shown_by_number(tmp_path: Path, caplog):
    limits = {"all": {"budget": {"max_usd": 5 * USD, "period": "1h"}}}
    end_users = {"default_budget": {"max_tokens": 50}, "pseudonymize": True}

    def told() -> list[tuple[str, int, str]]:
        records = [vars(record) for record in caplog.records if record.getMessage() == "budget_reached"]
        return [(each["scope"], each["percent"], each["subject"]) for each in records]

    with bounded(tmp_path, limits=limits, end_users=end_users) as gateway, caplog.at_level("INFO", logger="gateway"):
        for _ in range(4):
            assert gateway.complete(user="bob@example.org").status == 200
        gateway.inner.run(asyncio.sleep(0))
        assert [each[:2] for each in told()] == [("end_user", 80), ("all", 80)]
        assert told()[0][2].startswith("eu-")
        for _ in range(3):
            assert gateway.complete().status == 429, "what is left is less than one request may cost"
        gateway.inner.run(asyncio.sleep(0))
        assert [each[:2] for each in told()][2:] == [("all", 100)]
        scrape = gateway.ask(MASTER, "/metrics", method="GET").body.decode()
        assert 'gateway_budget_used_ratio{gateway_budget_scope="all",gateway_budget_unit="usd"} 0.8' in scrape
        assert 'gateway_budget_reached_total{gateway_budget_scope="end_user",gateway_budget_percent="80"} 1' in scrape
        assert "bob" not in scrape
        assert "eu-" not in scrape

        gateway.clock.now += 3600
        for _ in range(4):
            gateway.complete()
        gateway.inner.run(asyncio.sleep(0))
        assert [each[:2] for each in told()][3:] == [("all", 80)]
        assert "bob@" not in caplog.text


def test_counters_in_this_process_are_ready(free: Bounded):
    assert json.loads(free.ask(None, "/health/ready", method="GET").body)["counters"] == "ok"


def test_a_webhook_is_told_over_http_what_its_receiver_can_check(tmp_path: Path):
    secret, got = "a-secret-of-the-tests", []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        hook = {"url": f"http://127.0.0.1:{server.server_port}/budgets", "secret": secret}
        limits = {"all": {"budget": {"max_tokens": 13}}, "webhook": hook}
        with bounded(tmp_path, limits=limits) as gateway:
            assert gateway.complete().status == 200
            assert gateway.spent() == 11
            gateway.inner.run(gateway.gateway.admitting._notices.close(10))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    ((headers, body),) = got
    signed = headers["x-gateway-timestamp"].encode() + b"." + body
    assert headers["x-gateway-signature"] == "v1=" + hmac.new(secret.encode(), signed, "sha256").hexdigest()
    assert (json.loads(body)["percent"], json.loads(body)["scope"], json.loads(body)["used"]) == (80, "all", 11)


@pytest.mark.parametrize(("several", "warned"), [(True, 1), (False, 0)])
def test_several_workers_without_redis_are_warned_of(several: bool, warned: int, free: Bounded, caplog):
    gateway = free.gateway
    metrics, log = gateway.observing.metrics, gateway.log
    with caplog.at_level("INFO", logger="gateway"):
        Admitting(gateway.serving.settings, gateway.upstream, metrics, log, several=several)
    assert [record.getMessage() for record in caplog.records].count("limits_count_per_worker") == warned
