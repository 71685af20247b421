"""The table of providers in the documentation says what the providers declare."""

from gateway.providers.base import Level, Provider
from gateway.providers.compatible import ROWS
from gateway.providers.openai_chat.language import OpenAIChat
from gateway.providers.row import takes
from gateway.providers.table import LEGEND, markdown


def provider(name, support):
    return Provider(name, OpenAIChat, support)


def lines(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_every_provider_is_in_the_table_once():
    names = [name for first, *_ in lines(markdown(ROWS))[2:] for name in first.split(", ")]
    assert sorted(names) == sorted(row.name for row in ROWS)


def test_a_line_has_a_cell_for_every_column():
    header, rule, *body = lines(markdown(ROWS))
    assert header[0] == "provider"
    assert header[-2:] == ["token prompts", "extra"]
    assert {len(line) for line in (header, rule, *body)} == {len(header)} == {18}


def test_providers_that_take_the_same_share_a_line():
    same, other = takes("n", "seed"), takes("seed")
    found = lines(markdown([provider("a", same), provider("b", other), provider("c", same)]))[2:]
    assert [line[0] for line in found] == ["a, c", "b"]


def test_a_cell_says_level_bound_and_range():
    support = takes("n", logprobs=2, stop=1, extra=True, ranges={"temperature": (0, 1.5)}).but(seed=Level.MAPPED)
    header, _, line = lines(markdown([provider("a", support)]))
    cells = dict(zip(header, line, strict=True))
    assert cells == {
        "provider": "a", "max_tokens": "N", "n": "N", "best_of": "E", "echo": "E", "suffix": "-", "logprobs": "M ≤2",
        "temperature": "N 0 to 1.5", "top_p": "N", "presence_penalty": "-", "frequency_penalty": "-", "seed": "M",
        "stop": "N ≤1, E", "logit_bias": "-", "user": "-", "stream": "M", "token prompts": "E", "extra": "N",
    }  # fmt: skip


def test_the_legend_stands_above_the_table():
    assert markdown([]).startswith(LEGEND)
