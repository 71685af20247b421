"""The guard `pii`: what it finds, what it leaves alone, and what its settings mean."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.guards.base import SpanGuard
from gateway.guards.pii.custom import CHECKSUMS, CustomConfig
from gateway.guards.pii.defaults import KNOWN
from gateway.guards.pii.guard import EntityConfig, PiiConfig, build
from gateway.guards.policy import Policy
from gateway.guards.vault import Vault
from gateway.guards.window import Window
from tests import timing
from tests.guards import kit

GUARD = build(PiiConfig())


def found(text: str, guard: SpanGuard = GUARD) -> list[tuple[str, str]]:
    return [(one.rule, text[one.start : one.end]) for one in guard.find(text, "prompt[0]") if one.action != "flag"]


@pytest.mark.parametrize(
    ("text", "entity", "value"),
    [
        ("Mail bob@corp.example.com about it", "EMAIL_ADDRESS", "bob@corp.example.com"),
        ("Card 4111 1111 1111 1111", "CREDIT_CARD", "4111 1111 1111 1111"),
        ("Call (212) 555-0142 now", "PHONE_NUMBER", "(212) 555-0142"),
        ("My SSN is 219-09-9999.", "US_SSN", "219-09-9999"),
        ("pay to GB82 WEST 1234 5698 7654 32 today", "IBAN_CODE", "GB82 WEST 1234 5698 7654 32"),
        ("pay to gb82 west 1234 5698 7654 32 today", "IBAN_CODE", "gb82 west 1234 5698 7654 32"),
        ("from 192.168.10.1 at noon", "IP_ADDRESS", "192.168.10.1"),
        ("mac 00:1A:2B:3C:4D:5E", "MAC_ADDRESS", "00:1A:2B:3C:4D:5E"),
        ("send 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("my bank account is 12345678", "US_BANK_NUMBER", "12345678"),
        ("passport A12345678", "US_PASSPORT", "A12345678"),
        ("driver's license D1234567", "US_DRIVER_LICENSE", "D1234567"),
        ("itin 911-70-1234", "US_ITIN", "911-70-1234"),
        ("nhs 943 476 5919", "UK_NHS", "943 476 5919"),
        ("DEA BB1388568", "MEDICAL_LICENSE", "BB1388568"),
    ],
)
def test_personal_data_is_found(text: str, entity: str, value: str) -> None:
    assert (entity, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Order 4111 shipped",
        "The card 4111 1111 1111 1112 has a wrong check digit",
        "Invoice 12345678 is due",
        "Flight A12345678 left",
        "Public notice B1234567",
        "Version 1.2.3 of 2024",
        "bob@localhost is no address",
        "DE00 3704 0044 0532 0130 00 has a wrong check digit",
        "Mention @bob or see fig. 3",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb is spoilt",
        "000-12-3456 was never issued",
        "The ratio is 0.1234 to 1.",
    ],
)
def test_near_misses_pass(text: str) -> None:
    assert found(text) == []


def test_links_dates_and_uuids_are_only_flagged() -> None:
    text = "see www.example.com on 2024-01-15, 550e8400-e29b-41d4-a716-446655440000"
    assert {(one.rule, one.action) for one in GUARD.find(text, "p")} == {
        ("URL", "flag"), ("DATE_TIME", "flag"), ("UUID", "flag"),
    }  # fmt: skip


def test_context_words_are_whole_and_stand_before_the_number() -> None:
    assert found("the bank account 12345678")
    assert found("embankment 12345678") == []
    assert found("12345678 is my bank account") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("b\u200bob@corp.example.com", "b\u200bob@corp.example.com"),
        ("mail bob\uff20corp\uff0eexample\uff0ecom", "bob\uff20corp\uff0eexample\uff0ecom"),
        ("card \uff14\uff11\uff11\uff11 1111 1111 1111", "\uff14\uff11\uff11\uff11 1111 1111 1111"),
        ("ssn 219\u201309\u20139999", "219\u201309\u20139999"),
        ("4111\u200b1111\u200b1111\u200b1111", "4111\u200b1111\u200b1111\u200b1111"),
    ],
)
def test_invisible_and_wide_characters_hide_nothing(text: str, value: str) -> None:
    assert value in [value for _, value in found(text)]
    assert value not in [value for _, value in found(text, build(PiiConfig(obfuscated=False)))] or "\uff14" in value


def test_what_is_spelled_out_is_not_read() -> None:
    assert found("bob [at] corp [dot] example [dot] com") == []


def test_allowed_values_are_no_findings() -> None:
    guard = build(PiiConfig(allow_list=("support@example.com",)))
    assert found("support@example.com or bob@example.com", guard) == [("EMAIL_ADDRESS", "bob@example.com")]


def test_an_entity_can_have_its_own_action_score_and_regions() -> None:
    phone = EntityConfig(action="block", regions=("FR",))
    guard = build(PiiConfig(entities={"PHONE_NUMBER": phone, "US_SSN": EntityConfig(score=0.9)}))
    assert [one.action for one in guard.find("01 23 45 67 89", "p")] == ["block"]
    assert found("212-555-0142", guard) == []
    assert found("ssn 219-09-9999", guard) == []


def test_custom_entities_have_context_and_checksums() -> None:
    own = CustomConfig(name="IMEI", regex=r"\b\d{15}\b", checksum="luhn", action="redact")
    ticket = CustomConfig(name="TICKET", regex=r"T\d{4}", score=0.1, context=("ticket",))
    guard = build(PiiConfig(entities={"US_SSN": "mask"}, custom=(own, ticket)))
    assert found("490154203237518 T1234", guard) == [("IMEI", "490154203237518")]
    assert found("490154203237519 ticket T1234", guard) == [("TICKET", "T1234")]


@pytest.mark.parametrize(
    ("checksum", "right", "wrong"),
    [
        ("luhn", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("mod97", "680", "681"),
        ("iban", "DE89370400440532013000", "DE88370400440532013000"),
        ("mod11", "0-306-40615-2", "0-306-40615-3"),
        ("mod11", "097522980X", "0975229801"),
    ],
)
def test_checksums(checksum: str, right: str, wrong: str) -> None:
    assert CHECKSUMS[checksum](right)
    assert not CHECKSUMS[checksum](wrong)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"entities": {"EMAIL": "mask"}}, "is not known"),
        ({"entities": {"PERSON": {"action": "mask"}}}, "engine: ner"),
        ({"entities": {"US_SSN": {"action": "mask", "regions": ("US",)}}}, "has no regions"),
        ({"entities": {"US_SSN": "hide"}}, "hash"),
        ({"entities": {}}, "at least one"),
        ({"placeholder": "X"}, "must hold {n}"),
        ({"custom": ({"name": "A", "regex": "a+"},)}, "without an end"),
        ({"custom": ({"name": "A", "regex": "a{1,2000}"},)}, "characters"),
        ({"custom": ({"name": "A", "regex": "a{0,3}"},)}, "empty"),
        ({"custom": ({"name": "A", "regex": r"(?=a)a"},)}, "look-around"),
        ({"custom": ({"name": "A", "regex": "^a$"},)}, "^ or $"),
        ({"custom": ({"name": "URL", "regex": "a"},)}, "another entity"),
        ({"entitys": {}}, "extra"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PiiConfig.model_validate(settings)
    assert said.lower() in str(caught.value).lower()


def test_a_region_nobody_knows_is_refused_when_the_guard_is_built() -> None:
    with pytest.raises(ValueError, match="XX"):
        build(PiiConfig(entities={"PHONE_NUMBER": EntityConfig(regions=("XX",))}))


def test_no_socket_is_opened_and_nothing_matched_is_shown(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    guard = build(PiiConfig())
    with caplog.at_level(0):
        findings = guard.find("bob@corp.example.com 4111 1111 1111 1111 DE89 3704 0044 0532 0130 00", "p")
    assert len(findings) > 2
    assert "bob" not in repr((guard, findings)) + caplog.text
    assert "4111" not in repr((guard, findings)) + caplog.text


def test_a_pattern_that_takes_too_long_is_an_error_and_not_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.guards.pii.recognizers.SECONDS", 0.0)
    with pytest.raises(TimeoutError):
        GUARD.find("4111 1111 1111 1111 " * 20_000, "p")


@pytest.mark.parametrize(
    "unit", ["a", "1", "@", "a@", ".", "a.", "9-", "::", "AB12 ", "(+", "\u00e9", "\u200b", "\ud800"]
)
def test_long_texts_of_one_kind_end(unit: str) -> None:
    text = unit * (60_000 // len(unit))
    GUARD.find(text, "p")
    assert 0 <= GUARD.settled(text) <= len(text)


HOSTILE = {
    "ats": "a@", "addresses": "a@b.co@", "plus": "a@b.co+", "digits": "9", "ones": "1", "groups": "4111 ",
    "cards": "4444444444444444 ", "dashes": "1-", "brackets": "(", "opened": "<", "links": "http://", "paths": "a.co/",
    "hosts": "a.co.", "quoted": '"a.co"', "colons": "::", "macs": "00:", "ibans": "AB12 ", "base58": "1A",
    "dots": "1.", "spaced": "9 ", "unseen": "1\u200b", "wide": "\uff11", "dates": "2024-01-01T10:20:30.",
    "letters": "a", "stops": ".",
}  # fmt: skip
DENSE = (
    "Ticket #48{0}: alex.{0}@example.com called from (212) 555-0{0} about card 4242424242424242; identity confirmed "
    "against SSN 219-09-9{0}. Escalated to j.chen{0}@support.example.com, callback at 415-555-1{0}. A retry with card "
    "4111-1111-1111-1111 was declined. The review covered onboarding latency and retention. "
)


def dense(size: int) -> str:
    return "".join(DENSE.format(number % 900 + 100) for number in range(size // len(DENSE)))


def per_kilobyte(work: Callable[[str], object], text: str) -> float:
    return timing.seconds(lambda: work(text), runs=3) / len(text) * 1_024


def streamed(text: str) -> None:
    window = Window(kit.runs([Policy("pii", guards=(GUARD,))]), "choices[0].text", Vault().branch())
    for start in range(0, len(text), 1_024):
        window.feed(text[start : start + 1_024])
    window.close()


@pytest.mark.slow
@pytest.mark.parametrize("work", [lambda text: GUARD.find(text, "p"), streamed], ids=["whole", "streamed"])
def test_hostile_texts_cost_no_more_than_three_times_as_much_as_dense_ones(work: Callable[[str], object]) -> None:
    dear = {}
    for name, unit in HOSTILE.items():

        def over(unit: str = unit) -> float:
            """The larger of both shares of what is allowed: against dense text, and of a long text against a short."""
            usual = per_kilobyte(work, dense(40_000))
            short, long = (per_kilobyte(work, unit * (size // len(unit))) / usual for size in (20_000, 80_000))
            return max(short / 3, long / 3, long / (2 * short + 0.2))

        if (found := timing.lowest(over, 1)) > 1:
            dear[name] = round(found, 2)
    assert dear == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ats", "digits", "dashes", "brackets", "opened", "links"])
def test_ten_megabytes_of_what_means_nothing_are_looked_at_to_their_end(name: str) -> None:
    unit = HOSTILE[name]
    text = unit * (10_000_000 // len(unit))
    streamed(text)
    assert GUARD.find(text, "p") == []


def test_more_digits_than_can_be_looked_at_are_an_error() -> None:
    with pytest.raises(ValueError, match="digits"):
        GUARD.find("".join(f"212 555 {number:04}, " for number in range(10_000)), "p")


def test_every_known_entity_can_be_looked_for_alone() -> None:
    for name in KNOWN:
        guard = build(PiiConfig(entities={name: "block"}))
        assert guard.find("nothing here", "p") == []
        assert guard.settled("nothing, ") == 9
