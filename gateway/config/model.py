"""The settings as the gateway reads them: frozen, strict, every default filled in, every reference resolved.

`gateway.config.load` makes them from a file (contract §6). The descriptions here are the configuration reference:
`gateway.config.reference` lists them and a test compares the list with the README.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.failures import AllowedFailsPolicy, Retries, RetryPolicies, RetryPolicy
from gateway.config.fields import (
    Chains,
    Count,
    DatabaseUrl,
    Headers,
    Hidden,
    HttpUrl,
    Names,
    Options,
    Price,
    RedisUrl,
    Seconds,
    SecretText,
    Strict,
)
from gateway.config.jwt import JwtSettings
from gateway.config.ledger import LedgerSettings
from gateway.config.limits import Budget, LimitSettings, Rates
from gateway.config.protection import Caching, ProtectionSettings
from gateway.config.secret import Secret
from gateway.config.telemetry import TelemetrySettings

RoutingStrategy = Literal[
    "simple-shuffle", "least-busy", "latency-based-routing", "usage-based-routing", "cost-based-routing"
]
EndUserSource = Literal["header", "user", "metadata.user_id", "safety_identifier"]


PRICES = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
    "output_cost_per_reasoning_token",
)
"""The fields of a deployment that override the catalogue's prices."""


class Defaults(Strict):
    """Request parameters a deployment fills in where the client leaves them out (LiteLLM's `litellm_params`)."""

    max_tokens: int | None = Field(None, ge=0, description="Default for max_tokens.")
    n: int | None = Field(None, ge=1, le=128, description="Default for n.")
    temperature: float | None = Field(None, ge=0, le=2, description="Default for temperature.")
    top_p: float | None = Field(None, ge=0, le=1, description="Default for top_p.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Default for presence_penalty.")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="Default for frequency_penalty.")
    seed: int | None = Field(None, description="Default for seed.")
    stop: str | tuple[str, ...] | None = Field(None, description="Default for stop: a text or a list of up to four.")
    user: str | None = Field(None, description="Default for user.")


class Deployment(Strict):
    """One provider's model behind an alias: an entry of `model_list`.

    `provider` is what stands before the first slash of `litellm_params.model` and `model` what stands after it; a
    model without a slash is OpenAI's. The model `*` alone has the provider `*`: the request's own model names both.
    `options` holds the provider's own settings (`OPTIONS` in `gateway.config.options`); the secret ones among them are
    `Secret`. `path` is where the entry stands in the file, for faults found later.
    """

    id: str = Field(
        min_length=1,
        max_length=240,
        description="Unique name of the deployment in headers, logs and metrics; alias and position when left out.",
    )
    alias: str = Field(
        min_length=1,
        max_length=200,
        description='The name clients use; equal names form a group; "groq/*" and "*" are wildcards.',
    )
    provider: str = Field(min_length=1, description="The provider's name (LiteLLM's prefix).")
    model: str = Field(min_length=1, description="The model as provider/model.")
    api_key: SecretText | None = Field(None, description="The provider's key; its usual variable when left out.")
    api_base: HttpUrl | None = Field(None, description="Base URL of the provider's API; its own when left out.")
    timeout: Seconds | None = Field(
        None, description="Seconds for a whole answer; router_settings.timeout when left out."
    )
    stream_timeout: Seconds | None = Field(
        None, description="Seconds to the first byte of a stream; timeout when left out."
    )
    weight: float | None = Field(
        None, ge=0, description="Share of the group's requests, relative to the others' weights; 0 for a spare."
    )
    rpm: Count | None = Field(
        None, description="Requests per minute to this deployment, of each worker; of all together with Redis."
    )
    tpm: Count | None = Field(
        None, description="Tokens per minute of this deployment, of each worker; of all together with Redis."
    )
    order: int | None = Field(None, ge=0, description="Deployments with the lowest order are tried first.")
    max_parallel_requests: Count | None = Field(None, description="Calls to this deployment at one time.")
    num_retries: Retries | None = Field(
        None, description="Further attempts after one that failed here; router_settings.num_retries when left out."
    )
    cache: Caching = Field(
        False, description="Keep answers and give them again to equal requests: true for 300 seconds, or `{ttl: 60}`."
    )
    coalesce: bool = Field(
        False, description="Equal requests at one time, with temperature 0 or a seed, share one call to the provider."
    )
    drop_params: bool | None = Field(
        None,
        description="Drop parameters the provider cannot honour; litellm_settings.drop_params when left out.",
    )
    extra_headers: Headers = Field({}, repr=False, description="Headers added to every call to the provider.")
    extra_params: Literal["allow"] | None = Field(
        None, description="`allow` passes parameters that OpenAI's API does not define on to the provider."
    )
    tokenizer: str | None = Field(None, description="Tokenizer that decodes token-id prompts and counts tokens.")
    translation: Literal["chat", "continuation"] = Field(
        "chat",
        description="How a chat-only provider is asked: the prompt alone, or with a request to continue its text.",
    )
    continuation_prompt: str | None = Field(None, description="Wording of the system message of `continuation`.")
    suffix: Literal["emulate"] | None = Field(
        None, description="`emulate` asks a provider without fill-in-the-middle for it in words."
    )
    input_cost_per_token: Price | None = Field(None, description="USD per input token; overrides the catalogue.")
    output_cost_per_token: Price | None = Field(None, description="USD per output token; overrides the catalogue.")
    cache_read_input_token_cost: Price | None = Field(None, description="USD per input token read from a cache.")
    cache_creation_input_token_cost: Price | None = Field(None, description="USD per input token written to a cache.")
    cache_creation_input_token_cost_above_1hr: Price | None = Field(
        None, description="USD per input token written to a cache for an hour; the price above when left out."
    )
    output_cost_per_reasoning_token: Price | None = Field(None, description="USD per output token of reasoning.")
    resume_streams: bool | None = Field(
        None, description="Continue a stream that breaks here; router_settings.resume_streams when left out."
    )
    hedge_after_ms: Count | None = Field(
        None, description="The same for calls that begin here; router_settings.hedge_after_ms when left out."
    )
    base_model: str | None = Field(None, description="The catalogue's name for the model, for prices and limits.")
    max_input_tokens: Count | None = Field(None, description="Tokens of input the model takes.")
    tags: tuple[str, ...] = Field(
        (), description="Tags by which requests choose among the group, with enable_tag_filtering."
    )
    defaults: Defaults = Field(Defaults(), description="Request parameters where the client leaves them out.")
    options: Options = Field(
        {}, repr=False, description="The provider's own settings, such as api_version or aws_region_name."
    )
    path: tuple[str | int, ...] = Field((), repr=False, description="Where the entry stands in the file.")


class RouterSettings(Strict):
    """How a request finds its deployment (`router_settings`; LiteLLM's `litellm_settings` is read into the same)."""

    routing_strategy: RoutingStrategy = Field("simple-shuffle", description="How one deployment of a group is chosen.")
    num_retries: int = Field(
        2, ge=0, le=100, description="Further attempts after one that failed before its first byte."
    )
    retry_policy: RetryPolicy | None = Field(None, description="Further attempts by the kind of failure.")
    model_group_retry_policy: RetryPolicies = Field(
        {}, description="For each alias, in place of retry_policy, with the same keys."
    )
    timeout: Seconds = Field(60.0, description="Seconds for a whole answer.")
    stream_timeout: Seconds | None = Field(
        None, description="Seconds to the first byte of a stream; timeout when left out."
    )
    enable_tag_filtering: bool = Field(False, description="Choose among a group by the tags of requests.")
    tag_filtering_match_any: bool = Field(
        True, description="One tag of a request is enough for a deployment; false: it must have them all."
    )
    allowed_fails: int = Field(3, ge=0, description="Failures in a row that are put up with before a deployment rests.")
    allowed_fails_policy: AllowedFailsPolicy | None = Field(None, description="The same by the kind of failure.")
    disable_cooldowns: bool = Field(False, description="Let no deployment rest, as a cooldown_time of 0 does.")
    cooldown_time: float = Field(
        5.0, ge=0, description="Seconds a deployment rests, more each time it fails again; 0 for never."
    )
    health_check_interval: Seconds | None = Field(
        None,
        description="Seconds without a call after which a deployment is asked for one token, as is one that has "
        "rested; the provider bills it. Never when left out.",
    )
    fallbacks: Chains = Field({}, description="For each alias, the aliases to try when it fails.")
    context_window_fallbacks: Chains = Field({}, description="The same, when the prompt is too long for the model.")
    content_policy_fallbacks: Chains = Field({}, description="The same, when the provider's content policy refuses.")
    default_fallbacks: tuple[str, ...] = Field(
        (), description="Aliases to try when an alias has no fallbacks of its own."
    )
    resume_streams: bool = Field(
        False,
        description="Continue a stream that breaks after its first text with another call, which is given the text so "
        "far: at a native text completion, or where translation is continuation.",
    )
    hedge_after_ms: Count | None = Field(
        None,
        description="Milliseconds without a first byte after which a second deployment is called too; the first to "
        "answer is used and both are paid for. Never when left out.",
    )
    model_group_alias: Names = Field({}, description="Further names for aliases.")


def _master_key(key: Secret) -> Secret:
    if len(key.reveal()) < 8:
        raise ValueError("must be at least 8 characters long")
    return key


class GeneralSettings(Strict):
    """The server itself (`general_settings`)."""

    master_key: Annotated[SecretText, AfterValidator(_master_key)] | None = Field(
        None, description="The administrator's key, at least 8 characters; without it the gateway serves loopback only."
    )
    key_secret: SecretText | None = Field(
        None, description="What virtual keys are hashed with; the master key when left out. Changing it ends every key."
    )
    previous_key_secrets: tuple[SecretText, ...] = Field(
        (), description="Former values of key_secret (or the former master key) whose virtual keys still work."
    )
    jwt: JwtSettings | None = Field(None, description="Signed tokens that are taken in place of a key.")
    reject_clientside_metadata_tags: bool = Field(
        False, description="Refuse requests that name tags: only those of their key count."
    )
    database_url: DatabaseUrl = Field(
        "sqlite:///gateway.db", description="Where keys, budgets and usage are kept: SQLite or PostgreSQL."
    )
    redis_url: RedisUrl | None = Field(None, description="Redis that replicas share their counters through.")
    max_request_bytes: int = Field(8_388_608, ge=1024, description="Largest request body, in bytes.")
    max_parallel_prompts: int = Field(8, ge=1, le=1024, description="Prompts of one request sent side by side.")
    request_read_timeout: Seconds = Field(30.0, description="Seconds a client has to send its body.")
    shutdown_timeout: Seconds = Field(30.0, description="Seconds running requests have to finish at shutdown.")
    http2: bool = Field(
        False,
        description="Offer HTTP/2 to providers over TLS; HTTP/1.1 where it is not taken. Read at start-up only.",
    )


class EndUserSettings(Strict):
    """Who a request is for (`end_users`)."""

    sources: tuple[EndUserSource, ...] = Field(
        ("header", "user", "metadata.user_id", "safety_identifier"),
        description="Where the end user's name is read, first found first.",
    )
    require: bool = Field(False, description="Refuse requests that name no end user.")
    default_budget: Budget | None = Field(None, description="Budget of every end user who has none of their own.")
    default_limits: Rates | None = Field(None, description="Limits of every end user who has none of their own.")
    pseudonymize: bool = Field(False, description="Keep a keyed hash of the end user's name instead of the name.")
    pseudonym_key: SecretText | None = Field(
        None, description="What those hashes are made with; the master key when left out."
    )
    previous_pseudonym_keys: tuple[SecretText, ...] = Field(
        (), description="Former values of it, by which those blocked then are still known."
    )


class Settings(Strict):
    """The whole configuration. `policies` None means absent, which is the pack `default`; an empty tuple, that none is
    wanted.

    `warnings` are sentences for the operator: settings that have no effect, each with its path.
    """

    deployments: tuple[Deployment, ...] = Field((), description="The models clients may use.")
    router: RouterSettings = Field(RouterSettings(), description="How a request finds its deployment.")
    general: GeneralSettings = Field(GeneralSettings(), description="The server itself.")
    drop_params: bool = Field(
        False, description="Drop parameters a provider cannot honour instead of refusing them, for every model."
    )
    policies: tuple[str, ...] | None = Field(
        None, description="Names of shipped policies or paths to documents; [default] when left out, none when []."
    )
    end_users: EndUserSettings = Field(EndUserSettings(), description="Who a request is for.")
    limits: LimitSettings = Field(LimitSettings(), description="What may be asked and spent.")
    ledger: LedgerSettings = Field(LedgerSettings(), description="Where usage is recorded.")
    protection: ProtectionSettings = Field(
        ProtectionSettings(), description="How much at once, and what is used again."
    )
    telemetry: TelemetrySettings = Field(TelemetrySettings(), description="What the gateway tells of itself.")
    environment_variables: Hidden = Field(
        {}, repr=False, description="Variables seen by this configuration and its providers, before the process's own."
    )
    warnings: tuple[str, ...] = Field((), description="Settings that have no effect.")


def default_settings() -> Settings:
    """The settings of a gateway started without a configuration: every default, no deployments."""
    return Settings()
