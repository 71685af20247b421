"""How many further attempts, and how many failures, are put up with for each kind of failure, in LiteLLM's names.

The names are those of its `RetryPolicy` and `AllowedFailsPolicy` (docs.litellm.ai, "Advanced: Custom Retries, Cooldowns
based on Error Type"). A request that a provider finds at fault is asked for once, whatever a policy says.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer

from gateway.config.fields import Strict

Retries = Annotated[int, Field(ge=0, le=100)]
Fails = Annotated[int, Field(ge=0)]


class RetryPolicy(Strict):
    """Further attempts after one failure of a kind; None where `num_retries` says how many."""

    AuthenticationErrorRetries: Retries | None = Field(
        None, description="Other deployments tried after a 401 or 402; num_retries when left out."
    )
    NotFoundErrorRetries: Retries | None = Field(
        None, description="Other deployments tried after a 404; num_retries when left out."
    )
    TimeoutErrorRetries: Retries | None = Field(
        None, description="Further attempts after a 408, a 504 or no answer in time; num_retries when left out."
    )
    RateLimitErrorRetries: Retries | None = Field(
        None, description="Further attempts after a 429; num_retries when left out."
    )
    InternalServerErrorRetries: Retries | None = Field(
        None, description="Further attempts after any other 5xx or a lost connection; num_retries when left out."
    )
    BadRequestErrorRetries: Retries | None = Field(None, description="No effect: a 400 is never tried again.")
    ContentPolicyViolationErrorRetries: Retries | None = Field(
        None, description="No effect: what a provider's policy refuses is for content_policy_fallbacks."
    )


class AllowedFailsPolicy(Strict):
    """Failures of a kind in a row that are put up with; None where `allowed_fails` and the share of failures count."""

    AuthenticationErrorAllowedFails: Fails | None = Field(
        None, description="401s or 402s in a row before a deployment rests; none when left out."
    )
    NotFoundErrorAllowedFails: Fails | None = Field(
        None, description="404s in a row before a deployment rests; none when left out."
    )
    TimeoutErrorAllowedFails: Fails | None = Field(
        None, description="408s, 504s or answers that did not come in time; allowed_fails when left out."
    )
    RateLimitErrorAllowedFails: Fails | None = Field(
        None, description="429s in a row before a deployment rests; none when left out."
    )
    InternalServerErrorAllowedFails: Fails | None = Field(
        None, description="Other 5xx and lost connections in a row; allowed_fails when left out."
    )
    BadRequestErrorAllowedFails: Fails | None = Field(
        None, description="No effect: a 400 says nothing of the deployment."
    )
    ContentPolicyViolationErrorAllowedFails: Fails | None = Field(
        None, description="No effect: a refused prompt says nothing of the deployment."
    )


def _frozen(value: Mapping[str, RetryPolicy]) -> Mapping[str, RetryPolicy]:
    return MappingProxyType(dict(value))


RetryPolicies = Annotated[Mapping[str, RetryPolicy], AfterValidator(_frozen), PlainSerializer(dict, return_type=dict)]
"""For each alias, its own."""


def given(policy: RetryPolicy | AllowedFailsPolicy | None, kind: str) -> int | None:
    """What a policy says of a kind of failure such as `TimeoutError`; None where it does not."""
    ending = "Retries" if isinstance(policy, RetryPolicy) else "AllowedFails"
    found: int | None = getattr(policy, kind + ending, None)
    return found
