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
CALL_REASON = "gateway.call.reason"
"""Why a provider was called once more: `retry`, `fallback`, `hedge` or `resume`; absent where it was the first time."""
ATTEMPTS = "gateway.attempts"
RESUMED = "gateway.resumed"
"""How often a stream that broke was continued by another call; absent where none was."""
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
SDK_LANGUAGE = "telemetry.sdk.language"
SDK_NAME = "telemetry.sdk.name"
SDK_VERSION = "telemetry.sdk.version"

OTHER_METHOD = "_OTHER"
"""What stands for a method that HTTP does not know."""

# the usage record's own, where attributes of spans have no name for it
TRACE_ID = "trace_id"
SPAN_ID = "span_id"
DURATION_MS = "duration_ms"
OVERHEAD_MS = "overhead_ms"
GUARDRAILS = "gateway.guardrails"

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

# labels of metrics only
STATUS_CLASS = "gateway.status_class"
"""`2xx`, `4xx`, …: the first digit of the HTTP status."""
TOKEN_MODALITY = "gen_ai.token.modality"  # noqa: S105 - a name of an attribute
SIGNAL = "gateway.telemetry.signal"
"""What was dropped: `spans`, `metrics`, …"""
STATE = "gateway.state"
QUEUE = "gateway.queue.name"
BUDGET_SCOPE = "gateway.budget.scope"
"""Whose a budget is: `all`, `model`, `tag`, `key` or `end_user`."""
BUDGET_NAME = "gateway.budget.name"
"""The alias or the tag that a configuration has given a budget; absent for all."""
BUDGET_UNIT = "gateway.budget.unit"
"""`usd` or `tokens`."""
BUDGET_PERCENT = "gateway.budget.percent"
LEDGER_REASON = "gateway.ledger.reason"
"""Why a usage record is not in the database; see `gateway.ledger.losses.Why`."""
CACHE_RESULT = "gateway.cache.result"
"""`hit`, `miss`, `coalesced` or `bypass`, as `x-gateway-cache` has it."""

# values
TEXT_COMPLETION = "text_completion"
CHAT = "chat"
APPLY_GUARDRAIL = "apply_guardrail"

PROVIDERS = {
    "text-completion-openai": "openai",
    "azure": "azure.ai.openai",
    "azure_text": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "vertex_ai": "gcp.vertex_ai",
    "cohere_chat": "cohere",
    "mistral": "mistral_ai",
    "codestral": "mistral_ai",
    "text-completion-codestral": "mistral_ai",
    "text-completion-deepseek": "deepseek",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Providers that the conventions know by another name than configurations do; all others keep theirs."""

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
BUDGET_USED = "gateway.budget.used_ratio"
BUDGET_REACHED = "gateway.budget.reached"
LEDGER_LOST = "gateway.ledger.lost_records"
CACHE_LOOKUPS = "gateway.cache.lookups"

# instruments as the newest draft has them; written instead of those above by OTEL_SEMCONV_STABILITY_OPT_IN
INFERENCE_DURATION = "gen_ai.client.inference.duration"
INFERENCE_TIME_TO_FIRST_CHUNK = "gen_ai.client.inference.time_to_first_chunk"
INFERENCE_INPUT_TOKENS = "gen_ai.client.inference.operation.input_tokens"
INFERENCE_OUTPUT_TOKENS = "gen_ai.client.inference.operation.output_tokens"
INFERENCE_USAGE_INPUT = "gen_ai.client.inference.usage.input_tokens"
INFERENCE_USAGE_OUTPUT = "gen_ai.client.inference.usage.output_tokens"
INFERENCE_USAGE_CACHE_READ = "gen_ai.client.inference.usage.cache_read.input_tokens"
INFERENCE_USAGE_CACHE_WRITE = "gen_ai.client.inference.usage.cache_write.input_tokens"
INFERENCE_USAGE_REASONING = "gen_ai.client.inference.usage.reasoning.output_tokens"

# further names of what stands above already, for tools that read no others (`telemetry.compat`)
LLM_MODEL_NAME = "llm.model_name"
LLM_PROVIDER = "llm.provider"
LLM_INVOCATION_PARAMETERS = "llm.invocation_parameters"
LLM_TOKENS_PROMPT = "llm.token_count.prompt"
LLM_TOKENS_COMPLETION = "llm.token_count.completion"
LLM_TOKENS_TOTAL = "llm.token_count.total"
LLM_TOKENS_CACHE_READ = "llm.token_count.prompt_details.cache_read"
LLM_TOKENS_CACHE_WRITE = "llm.token_count.prompt_details.cache_write"
LLM_TOKENS_REASONING = "llm.token_count.completion_details.reasoning"
LLM_COST_PROMPT = "llm.cost.prompt"
LLM_COST_COMPLETION = "llm.cost.completion"
LLM_COST_TOTAL = "llm.cost.total"
INPUT_VALUE = "input.value"
INPUT_MIME_TYPE = "input.mime_type"
OUTPUT_VALUE = "output.value"
OUTPUT_MIME_TYPE = "output.mime_type"
LANGFUSE_TYPE = "langfuse.observation.type"
LANGFUSE_MODEL = "langfuse.observation.model.name"
LANGFUSE_USAGE = "langfuse.observation.usage_details"
LANGFUSE_COST = "langfuse.observation.cost_details"
LANGFUSE_FIRST_TEXT = "langfuse.observation.completion_start_time"
LANGFUSE_INPUT = "langfuse.observation.input"
LANGFUSE_OUTPUT = "langfuse.observation.output"
LANGFUSE_TAGS = "langfuse.trace.tags"
MLFLOW_COST = "mlflow.llm.cost"
