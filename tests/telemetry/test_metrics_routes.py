"""Routes are a closed list, whatever is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.routes import route_of


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/completions", "/v1/completions"),
        ("/completions", "/completions"),
        ("/engines/gpt/completions", "/engines/{model}/completions"),
        ("/v1/engines/a/b/c/completions", "/v1/engines/{model}/completions"),
        ("/openai/deployments/x/completions", "/openai/deployments/{model}/completions"),
        ("/gateway/v1/completions", "/v1/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/deployments/x/chat/completions", "/v1/chat/completions"),
        ("/v1/models", "/v1/models"),
        ("/v1/models/groq/llama", "/v1/models/{id}"),
        ("/admin/keys/k1", "/admin/keys/{id}"),
        ("/admin/end-users/somebody@example.com", "/admin/end-users/{id}"),
        ("/admin/policies", "/admin/policies"),
        ("/metrics", "/metrics"),
        ("/", "_other"),
        ("", "_other"),
        ("/wp-login.php", "_other"),
    ],
)
def test_a_path_belongs_to_its_route(path, route):
    assert route_of(path) == route


@given(st.text() | st.text(alphabet="/v1enginscompltahd{}:", max_size=60))
def test_a_route_is_never_what_a_client_made_up(path):
    route = route_of(path)
    assert route == "_other" or route.partition("{")[0].rstrip("/") in {
        "/v1/completions", "/completions", "/v1/chat/completions", "/engines", "/v1/engines", "/openai/deployments",
        "/v1/models", "/models", "/v1/guardrails/check", "/admin/keys", "/admin/end-users", "/admin/usage",
        "/admin/usage/records", "/admin/policies", "/metrics", "/openapi.json", "/health/live", "/health/liveliness",
        "/health/ready", "/health/readiness",
    }  # fmt: skip
