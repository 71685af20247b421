"""Every name that telemetry writes, here and nowhere else (telemetry.md §1-§3).

They are OpenTelemetry's conventions for generative AI as of semantic conventions 1.41, which are still in development;
where those have no name, ours begin with `gateway.`. `tests/telemetry/test_conventions.py` pins them.
"""

# what is called, and by whom it is served
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

# what was asked
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count"
REQUEST_STREAM = "gen_ai.request.stream"

# what came back
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
CONVERSATION_ID = "gen_ai.conversation.id"

# what it used and cost
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens"
USAGE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
"""What the newest draft calls `USAGE_CACHE_CREATION`; written instead of it by OTEL_SEMCONV_STABILITY_OPT_IN."""
USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens"
USAGE_COST = "gen_ai.usage.cost"
"""USD. Never beside `gen_ai.usage.cost.amount`: one name would be an object and a value at once."""
COST_INPUT = "gateway.cost.input"
COST_OUTPUT = "gateway.cost.output"
COST_SOURCE = "gateway.cost.source"
COST_PRICE_VERSION = "gateway.cost.price_version"
USAGE_ESTIMATED = "gateway.usage.estimated"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - a name of an attribute

# the request at the gateway
MODEL = "gateway.model"
"""The alias a client asked for."""
REQUEST_ID = "gateway.request.id"
KEY_ALIAS = "gateway.key.alias"
TAGS = "gateway.tags"
OUTCOME = "gateway.outcome"
DEPLOYMENT = "gateway.deployment"
ATTEMPT = "gateway.attempt"
ATTEMPTS = "gateway.attempts"
DROPPED_PARAMS = "gateway.dropped_params"
USER_ID = "user.id"
SESSION_ID = "session.id"
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
URL_PATH = "url.path"
URL_SCHEME = "url.scheme"
USER_AGENT = "user_agent.original"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE = "service.instance.id"

# guardrails
SPAN_KIND = "openinference.span.kind"
GUARDRAIL_NAME = "gen_ai.guardrail.component.name"
GUARDRAIL_POLICY_ID = "gen_ai.guardrail.policy.id"
GUARDRAIL_POLICY_VERSION = "gen_ai.guardrail.policy.version"
GUARDRAIL_SOURCE = "gen_ai.guardrail.source"
GUARDRAIL_RESULT = "gen_ai.guardrail.result.type"
GUARDRAIL_CATEGORY = "gen_ai.guardrail.risk.category"
GUARDRAIL_SCORE = "gen_ai.guardrail.risk.score"
GUARDRAIL_ACTION = "gateway.guardrail.action"
GUARDRAIL_ENFORCED = "gateway.guardrail.enforced"
GUARDRAIL_STATUS = "gateway.guardrail.status"
GUARDRAIL_FINDINGS = "gateway.guardrail.findings"
GUARDRAIL_MASKED = "gateway.guardrail.masked"
GUARDRAIL_RESULT_EVENT = "gen_ai.guardrail.result"

# values
TEXT_COMPLETION = "text_completion"
CHAT = "chat"
APPLY_GUARDRAIL = "apply_guardrail"

# instruments
OPERATION_DURATION = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
REQUEST_DURATION = "gen_ai.server.request.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - a name of an instrument
GUARDRAIL_DURATION = "gateway.guardrail.duration"
OVERHEAD_DURATION = "gateway.overhead.duration"
REQUESTS = "gateway.requests"
GUARDRAIL_DECISIONS = "gateway.guardrail.decisions"
GUARDRAIL_FINDING_COUNT = "gateway.guardrail.findings"
UNPRICED_REQUESTS = "gateway.unpriced_requests"
TELEMETRY_DROPPED = "gateway.telemetry.dropped"
UPSTREAM_RETRIES = "gateway.upstream.retries"
UPSTREAM_FALLBACKS = "gateway.upstream.fallbacks"
IN_FLIGHT = "gateway.requests.in_flight"
DEPLOYMENT_STATE = "gateway.deployment.state"
QUEUE_DEPTH = "gateway.queue.depth"
