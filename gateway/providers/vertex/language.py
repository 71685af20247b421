"""Google models on Vertex AI: the `generateContent` language at an address with project and location.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.
"""

import re
from urllib.parse import quote

from gateway.errors import ConfigError
from gateway.providers.base import Level, Target
from gateway.providers.gemini import language as gemini
from gateway.providers.gemini.language import GenerateContent, versioned

OPTIONS = ("vertex_project", "vertex_location", "vertex_credentials")
VERSION = "v1"
DEFAULT_LOCATION = "global"

SUPPORT = gemini.SUPPORT.but(n=Level.EMULATED)
"""As the Gemini API, but `candidateCount` works only without streaming here, so that n is that many calls."""

_MULTI_REGIONS = frozenset({"us", "eu"})


def bind(target: Target) -> GenerateContent:
    """A model of the publisher google, or a tuned one when the model's name is the number of its endpoint.

    With an API key and no `vertex_project` it is Vertex AI's express mode, which knows neither project nor location.

    Raises:
        ConfigError: no project, or a location that is not one.
    """
    return GenerateContent(target, f"{_base(target)}/{_path(target)}")


def _location(target: Target) -> str:
    location = str(target.options.get("vertex_location") or DEFAULT_LOCATION)
    if not re.fullmatch("[a-z0-9-]+", location):  # it becomes part of a host name
        raise ConfigError([f"vertex_location is {location!r}; it must be a Google Cloud location such as us-central1."])
    return location


def _base(target: Target) -> str:
    """The operator's own address, else the host of the location (global, multi-region or region)."""
    location = _location(target)
    host = f"{location}-aiplatform.googleapis.com"
    if location == "global" or _express(target):
        host = "aiplatform.googleapis.com"
    elif location in _MULTI_REGIONS:
        host = f"aiplatform.{location}.rep.googleapis.com"
    return versioned(target.base_url or f"https://{host}", VERSION)


def _path(target: Target) -> str:
    model = target.model
    name = quote(model, safe="")
    resource = f"endpoints/{name}" if model.isascii() and model.isdigit() else f"publishers/google/models/{name}"
    if _express(target):
        return resource
    project = target.options.get("vertex_project")
    if not project:
        raise ConfigError([f"The model {model} needs vertex_project: the Google Cloud project that pays for its use."])
    return f"projects/{quote(str(project), safe=':')}/locations/{_location(target)}/{resource}"


def _express(target: Target) -> bool:
    return target.api_key is not None and not target.options.get("vertex_project")
