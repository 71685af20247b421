"""Google models on Vertex AI: the addresses, and the language they share with the Gemini API."""

import pytest

from gateway.config.secret import Secret
from gateway.errors import ConfigError
from gateway.providers.base import Target
from gateway.providers.vertex.language import OPTIONS, SUPPORT, bind
from gateway.types import Usage
from tests.providers.kit import call, finish_reasons, golden, same_at_every_cut, text, usage

KEY = Secret("AQ.test")
PROJECT = {"vertex_project": "my-project"}


@pytest.mark.parametrize(
    ("options", "model", "expected"),
    [
        ({**PROJECT, "vertex_location": "us-central1"}, "gemini-2.5-pro",
         "https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1"
         "/publishers/google/models/gemini-2.5-pro"),
        ({**PROJECT, "vertex_location": "global"}, "gemini-2.5-pro",
         "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global"
         "/publishers/google/models/gemini-2.5-pro"),
        (PROJECT, "m", "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global"
         "/publishers/google/models/m"),
        ({**PROJECT, "vertex_location": "eu"}, "m",
         "https://aiplatform.eu.rep.googleapis.com/v1/projects/my-project/locations/eu/publishers/google/models/m"),
        ({**PROJECT, "vertex_location": "us-east4"}, "1234567890",
         "https://us-east4-aiplatform.googleapis.com/v1/projects/my-project/locations/us-east4/endpoints/1234567890"),
        (PROJECT, "../../x?y", "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global"
         "/publishers/google/models/..%2F..%2Fx%3Fy"),
    ],
)  # fmt: skip
def test_project_location_and_model_make_the_address(options, model, expected):
    translator = bind(Target("vertex_ai", model, options=options))
    assert translator.request(call()).url == f"{expected}:generateContent"
    assert translator.request(call(stream=True)).url == f"{expected}:streamGenerateContent?alt=sse"


def test_an_operators_own_address_replaces_the_host():
    target = Target("vertex_ai", "m", "https://gcp.example.com", options=PROJECT)
    assert bind(target).request(call()).url == (
        "https://gcp.example.com/v1/projects/my-project/locations/global/publishers/google/models/m:generateContent"
    )
    assert (
        bind(Target("vertex_ai", "m", "https://x/v1beta1", options=PROJECT))
        .request(call())
        .url.startswith("https://x/v1beta1/projects/")
    )


def test_express_mode_has_a_key_in_the_header_and_no_project():
    request = bind(Target("vertex_ai", "gemini-2.5-flash", api_key=KEY)).request(call())
    assert request.url == (
        "https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-2.5-flash:generateContent"
    )
    assert request.headers["x-goog-api-key"] == "AQ.test"


@pytest.mark.parametrize(
    ("options", "word"),
    [({}, "vertex_project"), ({**PROJECT, "vertex_location": "evil.example.com/"}, "vertex_location")],
)
def test_an_address_that_cannot_be_made_is_a_fault_of_the_configuration(options, word):
    with pytest.raises(ConfigError, match=word):
        bind(Target("vertex_ai", "m", options=options))


def test_a_stream_gives_the_same_at_every_cut():
    translator = bind(Target("vertex_ai", "gemini-2.0-flash", options=PROJECT))
    deltas = same_at_every_cut(lambda: translator.stream(call(stream=True)), golden("vertex/stream.sse"))
    assert text(deltas) == "The capital is Brasília.\n"
    assert finish_reasons(deltas) == {0: "stop"}
    assert usage(deltas) == Usage(14, 9)


def test_several_choices_are_several_calls():
    assert SUPPORT.level("n") == "emulated"
    assert SUPPORT.extra


def test_the_options_are_litellms():
    assert OPTIONS == ("vertex_project", "vertex_location", "vertex_credentials")
