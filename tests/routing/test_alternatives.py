"""An answer has no more alternatives per token than were asked for, whatever the provider sent."""

import orjson
import pytest

from gateway.types import TokenLogprob
from tests.routing.test_call import Provider, Response, asking, run

TOP = (("b", -1.5), ("a", -2.0), ("c", -0.5))


def given_out(wanted: int, **asked: object) -> list[TokenLogprob]:
    token = {"token": "a", "logprob": -2.0, "top_logprobs": [{"token": name, "logprob": at} for name, at in TOP]}
    choice = {"message": {"content": "a"}, "finish_reason": "stop", "logprobs": {"content": [token]}}

    def answer(body: dict[str, object]) -> Response:
        count = body.get("n", 1)
        assert isinstance(count, int)
        return Response([orjson.dumps({"choices": [{**choice, "index": index} for index in range(count)]})])

    found = run(Provider(answer), asking("p", logprobs=wanted, **asked))
    return [token for delta in found for token in delta.logprobs or ()]


@pytest.mark.parametrize("asked", [{}, {"best_of": 2}])
def test_the_likeliest_alternatives_are_kept_and_no_more_than_asked_for(asked):
    assert {token.top for token in given_out(0, **asked)} == {()}
    assert {token.top for token in given_out(2, **asked)} == {(("c", -0.5), ("b", -1.5))}
    assert {token.top for token in given_out(3, **asked)} == {TOP}
