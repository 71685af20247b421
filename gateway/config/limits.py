"""What may be asked and spent (`limits`): in all, per model, tag and key, and who is told when a budget ends."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from gateway import principal
from gateway.config.fields import Count, HttpUrl, SecretText, Strict
from gateway.config.secret import Secret

PERIOD = r"^([1-9][0-9]{0,6}[smh]|[1-9][0-9]{0,3}(d|w|mo))$"
"""How the length of a period is written."""

MOST_USD = 9_000_000
"""The largest budget: its picodollars are within the 63 bits that counters have."""


class Budget(Strict):
    """What may be spent in a period."""

    max_usd: float | None = Field(None, ge=0, le=MOST_USD, description="US dollars per period.")
    max_tokens: int | None = Field(None, ge=0, le=1 << 50, description="Tokens per period.")
    period: str | None = Field(
        None,
        pattern=PERIOD,
        description="Length of the period, such as 1d; for ever when left out.",
    )

    def made(self) -> principal.Budget | None:
        """The same as a value, with the digits that were written; None for one that bounds nothing."""
        if self.max_usd is None and self.max_tokens is None:
            return None
        usd = None if self.max_usd is None else Decimal(repr(self.max_usd))
        return principal.Budget(usd, self.max_tokens, self.period)


class Rates(Strict):
    """What may be asked."""

    rpm: Count | None = Field(None, description="Requests per minute.")
    rph: Count | None = Field(None, description="Requests per hour.")
    rpd: Count | None = Field(None, description="Requests per day.")
    tpm: Count | None = Field(None, description="Tokens per minute.")
    tph: Count | None = Field(None, description="Tokens per hour.")
    tpd: Count | None = Field(None, description="Tokens per day.")
    max_parallel: Count | None = Field(None, description="Requests at a time.")

    def made(self) -> principal.Limits | None:
        """The same as a value; None for one that bounds nothing."""
        made = principal.Limits(
            rpm=self.rpm,
            rph=self.rph,
            rpd=self.rpd,
            tpm=self.tpm,
            tph=self.tph,
            tpd=self.tpd,
            max_parallel=self.max_parallel,
        )
        return None if made == principal.Limits() else made


class Bound(Rates):
    """What may be asked, and what may be spent."""

    budget: Budget | None = Field(None, description="What may be spent.")


def _named(value: Mapping[str, Bound]) -> Mapping[str, Bound]:
    if any(principal.clean_name(name) != name for name in value):
        raise ValueError("has a name that is empty, has spaces at its ends, or is longer than 256 characters")
    return MappingProxyType(dict(value))


Bounds = Annotated[Mapping[str, Bound], AfterValidator(_named), PlainSerializer(dict, return_type=dict)]


def _long_enough(secret: Secret) -> Secret:
    if len(secret.reveal()) < 16:
        raise ValueError("must be at least 16 characters long")
    return secret


class BudgetWebhook(Strict):
    """Who is told of budgets that come to their end."""

    url: HttpUrl = Field(description="Where a POST is sent when a budget reaches 80 % and 100 %.")
    secret: Annotated[SecretText, AfterValidator(_long_enough)] = Field(
        description="What it is signed with (HMAC-SHA256), at least 16 characters."
    )


class LimitSettings(Strict):
    """What may be asked and spent (`limits`), beside what keys and end users have of their own."""

    all: Bound = Field(Bound(), description="Bounds of all requests together.")
    models: Bounds = Field({}, description="For each alias, bounds of its requests, with the keys of `limits.all`.")
    tags: Bounds = Field(
        {}, description="For each tag, bounds of requests that have it, with the keys of `limits.all`."
    )
    keys: Bound = Field(
        Bound(), description="Bounds of every virtual key, and every bearer of a token, that has none of its own."
    )
    when_counters_fail: Literal["refuse", "go_on"] = Field(
        "refuse",
        description="What becomes of requests that a limit or a budget binds while the counters cannot be reached.",
    )
    webhook: BudgetWebhook | None = Field(None, description="Who is told of budgets that come to their end.")
