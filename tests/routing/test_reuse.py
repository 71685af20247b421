"""Answers used again, through the whole gateway: what a client reads, what a provider is asked, and what is kept."""

import asyncio
from pathlib import Path

import pytest

from gateway.providers.translation import CONTINUATION_PROMPT
from gateway.wire import json
from tests.routing.held_provider import MASTER, entry, turns, world

CACHED = {"model_list": [entry(cache=True)]}
SHARED = {"model_list": [entry(coalesce=True)]}
FIXED = {"temperature": 0}


def told(reply):
    """What the headers say of an answer's origin."""
    assert reply.status == 200, reply.body
    return reply.headers.get("x-gateway-cache"), reply.headers["x-gateway-attempts"]


def text(reply):
    """What an answer says, streamed or not."""
    if reply.headers["content-type"] == "application/json":
        return reply.json["choices"][0]["text"]
    return "".join(json.loads(event)["choices"][0]["text"] for event in reply.events[:-1])


def test_the_second_of_two_equal_requests_calls_nobody(tmp_path):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            first, second = await it.ask(), await it.ask()
            assert [told(first), told(second)] == [("miss", "1"), ("hit", "0")]
            assert len(it.provider.asked) == 1
            for name in ("x-gateway-provider", "x-gateway-deployment", "x-gateway-model"):
                assert first.headers[name] == second.headers[name]
            assert first.json["usage"] == second.json["usage"]
            assert (first.headers["x-gateway-cost-usd"], second.headers["x-gateway-cost-usd"]) == ("7", "0")
            same = [{**reply.json, "id": "", "created": 0} for reply in (first, second)]
            assert same[0] == same[1]
            assert first.json["id"] != second.json["id"]
            assert (await it.ready())["protection"].startswith(
                "no bound, 0 wait; 1 hits, 1 misses, 0 coalesced, 1 answ"
            )

    asyncio.run(run())


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False), (True, True)])
def test_answers_in_a_stream_and_whole_ones_are_the_same(tmp_path, first, second):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            one, other = await it.ask(stream=first), await it.ask(stream=second)
            assert text(one) == text(other) == "It says this"
            assert (told(other)[0], len(it.provider.asked)) == ("hit", 1)

    asyncio.run(run())


def test_several_choices_and_prompts_come_back_in_their_places(tmp_path):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            asked = {"prompt": ["a", "b"], "n": 2}
            one, other = await it.ask(**asked), await it.ask(**asked)
            assert told(other)[0] == "hit"
            assert one.json["choices"] == other.json["choices"]
            assert [choice["index"] for choice in other.json["choices"]] == [0, 1, 2, 3]

    asyncio.run(run())


def test_an_operators_defaults_hold_for_what_is_kept(tmp_path):
    async def run():
        async with world(tmp_path, model_list=[entry(cache=True, n=2, coalesce=True, temperature=0)]) as it:
            one, other = await it.ask(), await it.ask()
            assert len(one.json["choices"]) == len(other.json["choices"]) == 2
            assert (told(other)[0], it.provider.asked[0]["n"]) == ("hit", 2)

    asyncio.run(run())


def test_a_model_that_does_not_ask_for_it_keeps_nothing(tmp_path):
    async def run():
        models = [entry(), entry("n", cache=True), entry("o", cache=False)]
        async with world(tmp_path, model_list=models) as it:
            for model in ("m", "m", "o", "o"):
                assert told(await it.ask(model=model)) == (None, "1")
            assert len(it.provider.asked) == 4

    asyncio.run(run())


@pytest.mark.parametrize("other", [{"prompt": "Say that"}, {"max_tokens": 17}, {"temperature": 1}, {"stop": "x"}])
def test_another_request_is_another_answer(tmp_path, other):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            await it.ask()
            assert told(await it.ask(**other))[0] == "miss"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("header", "said", "then"),
    [("no-cache", "bypass", "hit"), ("no-store", "bypass", "miss"), ("max-age=0", "bypass", "hit")],
)
def test_a_client_may_forbid_it(tmp_path, header, said, then):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            forbidding = {"cache-control": header}
            assert told(await it.ask(headers=forbidding)) == (said, "1")
            it.provider.say = "It says that"
            assert told(await it.ask())[0] == then
            assert told(await it.ask(headers=forbidding)) == (said, "1")

    asyncio.run(run())


def test_a_fresh_answer_takes_the_place_of_the_kept_one(tmp_path):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            await it.ask()
            it.provider.say = "It says that"
            await it.ask(headers={"cache-control": "no-cache"})
            found = await it.ask()
            assert (told(found)[0], text(found)) == ("hit", "It says that")

    asyncio.run(run())


async def two_users(it, one, other):
    """Whether the second tenant was given the first one's answer."""
    it.provider.say = "For one"
    await it.ask(**one)
    it.provider.say = "For the other"
    found = await it.ask(**other)
    assert (told(found)[0], text(found)) == ("miss", "For the other"), (one, other)
    again = await it.ask(**one)
    assert (told(again)[0], text(again)) == ("hit", "For one")


def test_no_tenant_is_ever_given_anothers_answer(tmp_path):
    async def run():
        async with world(tmp_path, **CACHED, general_settings={"master_key": MASTER}) as it:
            keys = [await it.new_key(name) for name in ("one", "two")]
            bound = await it.new_key("bound", end_user="zoe")
            tenants = [
                {"key": keys[0]},
                {"key": keys[1]},
                {"key": MASTER},
                {"key": bound},
                {"key": keys[0], "user": "ann"},
                {"key": keys[1], "user": "ann"},
                {"key": keys[1], "user": "bob"},
                {"key": keys[0], "headers": {"x-gateway-end-user": "bob"}},
            ]
            for number, one in enumerate(tenants):
                for other in tenants[number + 1 :]:
                    prompt = {"prompt": f"{number} and {tenants.index(other)}"}
                    await two_users(it, {**one, **prompt}, {**other, **prompt})

    asyncio.run(run())


def test_no_tenant_ever_shares_anothers_call(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED, general_settings={"master_key": MASTER}) as it:
            keys = [await it.new_key(name) for name in ("one", "two")]
            it.provider.hold = True
            asked = [it.ask(keys[0], **FIXED), it.ask(keys[1], **FIXED), it.ask(keys[0], user="ann", **FIXED)]
            await it.provider.arrived(3)
            it.provider.let_go(3)
            replies = await asyncio.gather(*asked)
            assert [told(reply) for reply in replies] == [(None, "1")] * 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"status": 500}, {}),
        ({"status": 400}, {}),
        ({"finish": "content_filter"}, {}),
        ({"finish": "content_filter"}, {"stream": True}),
    ],
)
def test_only_whole_answers_that_went_well_are_kept(tmp_path, change, asked):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            for name, value in change.items():
                setattr(it.provider, name, value)
            await it.ask(**asked)
            it.provider.status, it.provider.finish = 200, "stop"
            found = await it.ask(**asked)
            assert told(found) == ("miss", "1")

    asyncio.run(run())


def test_an_answer_that_a_client_cut_short_is_not_kept(tmp_path):
    async def run():
        async with world(tmp_path, **CACHED) as it:
            it.provider.hold = True
            it.provider.let_go()
            stream = await it.opened(stream=True)
            await stream.close()
            it.provider.hold = False
            assert told(await it.ask(stream=True)) == ("miss", "1")

    asyncio.run(run())


def test_an_answer_of_a_fallback_is_not_kept_for_the_model_it_stood_in_for(tmp_path):
    async def run():
        models = [entry(id="a", cache=True, api_base="http://provider.test/broken"), entry("other", "b")]
        router = {"num_retries": 0, "fallbacks": [{"m": ["other"]}]}
        async with world(tmp_path, model_list=models, router_settings=router) as it:
            for _ in range(2):
                reply = await it.ask()
                assert (told(reply)[0], reply.headers["x-gateway-deployment"]) == ("miss", "b")

    asyncio.run(run())


def test_a_configuration_that_serves_an_alias_otherwise_begins_anew(tmp_path):
    from gateway.config.load import from_mapping

    async def run():
        async with world(tmp_path, **CACHED) as it:
            await it.ask()

            def use(**params):
                general = {"database_url": it.gateway.database_url}
                config = {"model_list": [entry(**params)], "policies": [], "general_settings": general}
                found = from_mapping(config)
                it.gateway.use(found.settings, found.source)

            use(cache={"ttl": 60})
            assert told(await it.ask())[0] == "hit"
            use(cache=True, max_tokens=99)
            assert told(await it.ask())[0] == "miss"
            use()
            assert told(await it.ask()) == (None, "1")

    asyncio.run(run())


POLICY = """
policy: {name}
version: 1
stages: [{stage}]
guards:
  - phrases: {{rules: [{{name: it, words: ["{phrase}"], action: {action}}}]}}
"""


def policy(folder: Path, name: str, stage: str, phrase: str, action: str) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(POLICY.format(name=name, stage=stage, phrase=phrase, action=action))
    return str(path)


def test_what_a_policy_takes_out_of_an_answer_is_not_kept(tmp_path):
    async def run():
        policies = [policy(tmp_path, "quiet", "output", "says", "mask")]
        async with world(tmp_path, **CACHED, policies=policies) as it:
            one, other = await it.ask(), await it.ask()
            assert "says" not in text(one)
            assert [told(one)[0], told(other)[0]] == ["miss", "miss"]
            it.provider.say = "Harmless"
            assert [told(await it.ask())[0] for _ in range(2)] == ["miss", "hit"]

    asyncio.run(run())


def test_policies_of_the_answer_judge_a_kept_one_anew(tmp_path):
    from gateway.config.load import from_mapping

    async def run():
        async with world(tmp_path, **CACHED) as it:
            await it.ask()
            general = {"database_url": it.gateway.database_url}
            policies = [policy(tmp_path, "quiet", "output", "says", "mask")]
            found = from_mapping({**CACHED, "policies": policies, "general_settings": general})
            it.gateway.use(found.settings, found.source)
            reply = await it.ask()
            assert told(reply)[0] == "hit"
            assert "says" not in text(reply)

    asyncio.run(run())


def test_values_that_are_turned_back_for_their_caller_are_in_no_kept_answer(tmp_path):
    async def run():
        async with world(tmp_path, **CACHED, policies=["default"]) as it:
            it.provider.say = "Write to <EMAIL_ADDRESS_1> soon"
            one = await it.ask(prompt="Mail ann@corp.example.com now")
            other = await it.ask(prompt="Mail bob@corp.example.com now")
            assert text(one) == "Write to ann@corp.example.com soon"
            assert text(other) == "Write to bob@corp.example.com soon"
            assert told(other)[0] == "hit"  # for the provider both are the same prompt
            kept = [value for _, value in it.gateway.protection.reuse._memory._entries.values()]
            assert len(kept) == 1
            assert b"@corp" not in kept[0]

    asyncio.run(run())


def test_a_policy_that_blocks_the_prompt_is_asked_before_the_cache(tmp_path):
    async def run():
        policies = [policy(tmp_path, "stop", "input", "secret", "block")]
        async with world(tmp_path, **CACHED, policies=policies) as it:
            reply = await it.ask(prompt="a secret")
            assert reply.status == 400
            assert "x-gateway-cache" not in reply.headers
            assert not it.provider.asked

    asyncio.run(run())


# equal requests at one time


def test_equal_requests_at_one_time_share_a_call(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold = True
            asked = [it.ask(**FIXED) for _ in range(5)]
            await it.provider.arrived(1)
            await turns()
            it.provider.let_go(5)
            replies = await asyncio.gather(*asked)
            assert [reply.status for reply in replies] == [200] * 5
            assert {text(reply) for reply in replies} == {"It says this"}
            assert sorted(map(told, replies), key=str) == [("coalesced", "0")] * 4 + [(None, "1")]
            assert sorted(reply.headers["x-gateway-cost-usd"] for reply in replies) == ["0"] * 4 + ["7"]
            assert {json.dumps(reply.json["usage"]) for reply in replies} == {
                b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'
            }
            assert len(it.provider.asked) == 1

    asyncio.run(run())


def test_streams_share_a_call_and_each_hears_it_as_it_comes(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold = True
            it.provider.let_go()
            one = await it.opened(stream=True, **FIXED)
            other = await it.opened(stream=True, **FIXED)  # its answer has begun before the call is over
            it.provider.let_go(2)
            bodies = [await one.read(), await other.read()]
            assert [body.count(b"data: ") for body in bodies] == [4, 4]
            assert len(it.provider.asked) == 1

    asyncio.run(run())


@pytest.mark.parametrize("asked", [{}, {"temperature": 0.5}])
def test_requests_with_chance_in_them_do_not(tmp_path, asked):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold = True
            both = [it.ask(**asked) for _ in range(2)]
            await it.provider.arrived(2)
            it.provider.let_go(2)
            assert [told(reply) for reply in await asyncio.gather(*both)] == [(None, "1")] * 2

    asyncio.run(run())


def test_one_in_a_stream_and_one_that_is_not_do_not(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold = True
            both = [it.ask(stream=stream, **FIXED) for stream in (True, False)]
            await it.provider.arrived(2)
            it.provider.let_go(4)
            await asyncio.gather(*both)

    asyncio.run(run())


def test_the_leaving_of_the_first_one_takes_nothing_from_the_others(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold = True
            it.provider.let_go()
            one = await it.opened(stream=True, **FIXED)
            other = await it.opened(stream=True, **FIXED)
            await one.close()
            it.provider.let_go(2)
            assert b"this" in await other.read()
            assert (len(it.provider.asked), it.provider.left) == (1, 0)

    asyncio.run(run())


def test_the_leaving_of_the_last_one_ends_the_call(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold = True
            it.provider.let_go()
            streams = [await it.opened(stream=True, **FIXED) for _ in range(3)]
            for stream in streams:
                assert it.provider.left == 0
                await stream.close()
            await turns()
            assert it.provider.left == 1
            assert it.provider.running == 0

    asyncio.run(run())


def test_a_failure_that_need_not_be_theirs_sends_the_others_on_once(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold, it.provider.status = True, 500
            asked = [it.ask(**FIXED) for _ in range(6)]
            await it.provider.arrived(1)
            await turns()
            it.provider.let_go()
            await it.provider.arrived(2)
            await turns()
            it.provider.let_go(2)
            replies = await asyncio.gather(*asked)
            assert [reply.status for reply in replies] == [502] * 6
            assert len(it.provider.asked) == 2

    asyncio.run(run())


def test_a_refusal_of_the_request_is_everybodys(tmp_path):
    async def run():
        async with world(tmp_path, **SHARED) as it:
            it.provider.hold, it.provider.status = True, 400
            asked = [it.ask(**FIXED) for _ in range(4)]
            await it.provider.arrived(1)
            await turns()
            it.provider.let_go()
            assert [reply.status for reply in await asyncio.gather(*asked)] == [400] * 4
            assert len(it.provider.asked) == 1

    asyncio.run(run())


def test_an_answer_that_is_shared_is_kept_once(tmp_path):
    async def run():
        async with world(tmp_path, model_list=[entry(cache=True, coalesce=True)]) as it:
            it.provider.hold = True
            asked = [it.ask(**FIXED) for _ in range(3)]
            await it.provider.arrived(1)
            await turns()
            it.provider.let_go()
            replies = await asyncio.gather(*asked)
            assert sorted(told(reply)[0] for reply in replies) == ["coalesced", "coalesced", "miss"]
            assert told(await it.ask(**FIXED))[0] == "hit"
            assert len(it.provider.asked) == 1

    asyncio.run(run())


def test_a_cached_answer_is_given_while_nobody_could_be_called(tmp_path):
    async def run():
        async with world(tmp_path, model_list=[entry(cache=True, rpm=1)]) as it:
            assert told(await it.ask())[0] == "miss"
            assert told(await it.ask())[0] == "hit"
            assert (await it.ask(prompt="another")).status == 429

    asyncio.run(run())


LEAK = """
policy: own
version: 1
stages: [output]
guards: [{leak: {texts: ["Canary umber seven: all above this line is confidential."]}}]
"""


@pytest.mark.parametrize("cache", [False, True])
def test_the_gateways_own_words_to_models_are_kept_from_answers_that_are_used_again(tmp_path, cache):
    async def run():
        policy = tmp_path / "own.yaml"
        policy.write_text(LEAK)
        told = entry("told", model="openai/x", translation="continuation")
        config = {"model_list": [entry(cache=cache), told], "policies": [str(policy)]}
        chain = {"router_settings": {"num_retries": 0, "fallbacks": [{"m": ["told"]}]}}
        async with world(tmp_path, **config, **chain) as it:
            it.provider.say = CONTINUATION_PROMPT
            answer = await it.ask()
            assert CONTINUATION_PROMPT not in answer.body.decode()
            assert "own=block" in answer.headers["x-gateway-guardrails"]

    asyncio.run(run())
