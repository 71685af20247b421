"""Bearer tokens that somebody else signs (`general_settings.jwt`; RFC 7519): whose, for whom, and what they say."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gateway.config.fields import HttpUrl, Strict

JwtAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
"""Signatures with a public key only: `none`, and those with a shared secret, cannot be chosen."""


class JwtClaims(Strict):
    """Which claim says what. A name is looked up as it is, then as a path into nested claims, parts joined by dots."""

    user: str | None = Field(
        "sub", min_length=1, description="Claim with the end user; null to leave them to requests."
    )
    team: str | None = Field(None, min_length=1, description="Claim with the team, which becomes the key's alias.")
    tags: str | None = Field(None, min_length=1, description="Claim with tags: a list, or words in one text.")
    models: str | None = Field(None, min_length=1, description="Claim with the aliases the bearer may use.")


class JwtSettings(Strict):
    """Which tokens are taken in place of a key (`general_settings.jwt`)."""

    issuer: str = Field(min_length=1, description="The `iss` that tokens must have.")
    audience: str | tuple[str, ...] = Field(min_length=1, description="The `aud` that tokens must have, or several.")
    jwks_url: HttpUrl | None = Field(None, description="Where the issuer publishes its keys (RFC 7517).")
    jwks_file: str | None = Field(
        None, min_length=1, description="A file with the issuer's keys instead, relative to the configuration."
    )
    algorithms: tuple[JwtAlgorithm, ...] = Field(
        ("RS256", "ES256"), min_length=1, description="Signatures that are taken; only those with a public key exist."
    )
    claims: JwtClaims = Field(JwtClaims(), description="Which claim says what.")
    models: tuple[str, ...] = Field((), description="Aliases that bearers may use, globs too; all when left out.")
    leeway: float = Field(30.0, ge=0, le=300, description="Seconds that clocks may differ.")
    refresh: float = Field(300.0, ge=10, le=86_400, description="Seconds after which the issuer's keys are read again.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("needs one of jwks_url and jwks_file")
        return self
