"""`gateway explain`: the route and the translation a request would get, calling nobody."""

from dataclasses import replace
from typing import Any

from gateway.cli.judging import judged
from gateway.config.load import Loaded
from gateway.ledger import tokens
from gateway.providers.translation import Translation, translate
from gateway.routing import explaining
from gateway.routing.deployments import Bound, Catalogue
from gateway.routing.router import Router
from gateway.types import Call
from gateway.wire import completions, json


def explain(found: Loaded, model: str, text: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """What would happen to a completion of `text` by `model`; no secret is in it.

    `deployment` is one that it could go to first, and the calls are those to it; `route` says which others there are.

    Raises:
        GatewayError: what the client would be told instead of an answer.
    """
    router = Router(Catalogue(found.settings, found.source), found.settings)
    router.board.find(model)
    request = completions.read({**parameters, "model": model, "prompt": text})
    verdict = judged(found, model, text, "input")
    if verdict["text"] is None:
        return {"model": model, "guardrails": verdict, "calls": []}
    request = replace(request, prompts=(verdict["text"],))
    route = explaining.route(router, request, request.tags, found.settings.router.routing_strategy)
    bound = router.route(request, request.tags).first().bound
    request = completions.with_defaults(request, bound.defaults)
    translation = translate(request, bound.shape)
    encoding = tokens.encoding_for(bound.model)
    return {
        "model": model,
        "deployment": bound.id,
        "provider": bound.provider,
        "provider_model": bound.model,
        "prompt_tokens": tokens.estimate(text, encoding),
        "prompt_tokens_estimated": encoding is None,
        "guardrails": verdict,
        "route": route,
        "dropped_params": list(translation.dropped),
        "done_by_the_gateway": _by_us(translation),
        "calls": [_call(placed.call, bound) for placed in translation.calls],
    }


def _by_us(translation: Translation) -> list[str]:
    done = []
    if translation.echo is not None:
        done.append("echo")
    if translation.best_of is not None:
        done.append("best_of")
    if len(translation.calls) > translation.prompts:
        done.append("n")
    return done


def _call(call: Call, bound: Bound) -> dict[str, Any]:
    request = bound.translator.request(call)
    return {"method": request.method, "url": request.url, "body": json.loads(request.body)}
