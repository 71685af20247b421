"""What LiteLLM's proxy reads and this gateway has another word for, or no use for.

The names are those of LiteLLM's reference (docs.litellm.ai, "All settings", "Config.yaml", "Fallbacks" and "Custom
pricing") and of its router's types. A key in these tables is named in one warning; a key in no table is a fault.
"""

from collections.abc import Mapping
from typing import Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOP = _names(
    """callback_settings guardrails mcp_servers mcp_tools mcp_aliases mcp_semantic_tool_filter finetune_settings
    files_settings assistant_settings vector_store_registry search_tools prompts
    policy_attachments litellm_license"""
)
"""Sections of features the gateway does not have, or has under another name (`guardrails`: see `policies`)."""

LITELLM_SETTINGS = _names(
    """success_callback failure_callback callbacks service_callbacks audit_log_callbacks turn_off_message_logging
    modify_params enable_preview_features redact_user_api_key_info mcp_aliases langfuse_default_tags set_verbose
    force_ipv4 cache cache_params disable_end_user_cost_tracking disable_end_user_cost_tracking_prometheus_only
    key_generation_settings disable_add_transform_inline_image_block disable_hf_tokenizer_download
    use_chat_completions_url_for_anthropic_messages enable_json_schema_validation disable_copilot_system_to_assistant
    enable_key_alias_format_validation LITELLM_DISABLE_STOP_SEQUENCE_LIMIT telemetry default_team_settings
    default_internal_user_params default_team_params default_key_generate_params upperbound_key_generate_params
    max_internal_user_budget internal_user_budget_duration max_end_user_budget_id guardrails custom_provider_map
    s3_callback_params gcs_pub_sub_use_v1 ssl_verify
    ssl_certificate ssl_security_level cost_margin_config cost_discount_config prometheus_metrics_config
    prometheus_initialize_budget_metrics custom_prometheus_metadata_labels custom_prometheus_tags public_model_groups
    require_auth_for_metrics_endpoint add_function_to_prompt enable_loadbalancing_on_batch_endpoints
    forward_traceparent_to_llm_provider priority_reservation priority_reservation_settings
    banned_keywords_list blocked_user_list store_audit_logs default_redis_ttl redact_messages_in_exceptions
    extra_spend_tag_headers add_user_information_to_llm_headers suppress_debug_info
    max_fallbacks max_parallel_requests langsmith_batch_size
    return_response_headers model_alias_map cold_storage_custom_logger token force_ipv6 presidio_ad_hoc_recognizers
    output_parse_pii default_vertex_config """
)

ROUTER_SETTINGS = _names(
    """redis_host redis_password redis_port redis_db redis_username redis_url enable_pre_call_check
    enable_pre_call_checks default_max_parallel_requests default_priority polling_interval max_fallbacks
    default_litellm_params debug_level client_ttl cache_kwargs routing_strategy_args routing_groups caching_groups
    alerting_config assistants_config set_verbose retry_after provider_budget_config
    model_group_affinity_config cache_responses router_general_settings optional_pre_call_checks
    deployment_affinity_ttl_seconds ignore_invalid_deployments search_tools guardrail_list max_retries weights
    tag_routing_prefix enable_health_check_routing"""
)

GENERAL_SETTINGS = _names(
    """completion_model store_prompts_in_spend_logs forward_client_headers_to_llm_api disable_spend_logs
    disable_spend_updates disable_master_key_return disable_retry_on_max_parallel_request_limit_error
    disable_reset_budget disable_adding_master_key_hash_to_db disable_responses_id_security enable_jwt_auth
    allowed_routes key_management_system
    maximum_spend_logs_retention_period maximum_spend_logs_retention_interval maximum_spend_logs_cleanup_cron
    user_mcp_management_mode database_connection_pool_limit database_connection_timeout database_type database_args
    database_extra_connection_params allow_requests_on_db_unavailable custom_auth max_parallel_requests
    infer_model_from_keys background_health_checks health_check_interval
    health_check_details health_check_concurrency alerting alerting_threshold alert_types alerting_args
    alert_to_webhook_url use_client_credentials_pass_through_routes public_routes enforced_params
    enable_oauth2_auth use_x_forwarded_for service_account_settings image_generation_model store_model_in_db
    supported_db_objects max_response_size_mb proxy_budget_rescheduler_min_time
    proxy_budget_rescheduler_max_time proxy_batch_write_at proxy_batch_polling_interval custom_key_generate
    custom_key_update allowed_ips embedding_model default_team_disabled key_management_settings allow_user_auth
    user_api_key_cache_ttl disable_prisma_schema_update litellm_key_header_name moderation_model custom_sso
    custom_ui_sso_sign_in_handler allow_client_side_credentials admin_only_routes use_azure_key_vault use_google_kms
    spend_report_frequency ui_access_mode litellm_jwtauth litellm_license oauth2_config_mappings
    pass_through_endpoints enable_oauth2_proxy_auth forward_openai_org_id user_header_name user_header_mappings
    use_redis_transaction_buffer disable_error_logs role_permissions coordination_redis_url redis_host redis_port
    redis_password use_shared_health_check control_plane_url infer_model_from_keys dynamic_rate_limit_mode
    token_rate_limit_type otel always_include_stream_usage pass_through_request_timeout
    require_end_user_mcp_access_defined mcp_internal_ip_ranges mcp_trusted_proxy_ranges
    store_prompts_in_cold_storage enable_health_check_routing search_tools"""
)

LITELLM_PARAMS = _names(
    """max_retries cooldown_time mock_response mock_timeout mock_testing_fallbacks use_in_pass_through
    use_litellm_proxy use_chat_completions_api use_xai_oauth merge_reasoning_content_in_choices model_info
    default_api_key_tpm_limit default_api_key_rpm_limit itpm otpm max_budget budget_duration max_file_size_mb
    configurable_clientside_auth_params region_name litellm_trace_id provider_affinity_header keepalive_seconds
    allow_client_keepalive_override tag_regex auto_router_config auto_router_config_path auto_router_default_model
    auto_router_embedding_model complexity_router_config complexity_router_default_model adaptive_router_config
    adaptive_router_default_model quality_router_config quality_router_default_model vector_store_id
    cache_control_injection_points guardrails caching ssl_verify headers metadata reasoning_effort thinking
    response_format tools tool_choice parallel_tool_calls extra_body allowed_openai_params additional_drop_params
    initial_prompt_value roles final_prompt_value bos_token eos_token supports_system_message hf_model_name
    input_type dimensions encoding_format max_completion_tokens safety_settings gcs_bucket_name bucket_name
    s3_bucket_name s3_region_name s3_endpoint_url s3_access_key_id s3_secret_access_key s3_encryption_key_id
    s3_bucket_owner s3_output_bucket_name aws_batch_role_arn bedrock_tags aws_session_tags aws_bedrock_project_id
    store prompt_id prompt_variables stream stream_options service_tier
    fallbacks access_groups custom_tokenizer mode web_search_options"""
)

ENTRY = _names("blocked created_at updated_at created_by updated_by")
"""Keys beside `model_name`, `litellm_params` and `model_info` in LiteLLM's own exports."""

MODEL_INFO = _names(
    """mode max_tokens max_output_tokens access_groups supported_environments version description metadata
    db_model team_id team_public_model_name tier health_check_timeout health_check_model disable_background_health_check
    custom_tokenizer key litellm_provider rpm tpm output_vector_size direct_access"""
)
"""LiteLLM takes any key in `model_info`; these are its own, any other is a note unless it looks misspelt."""

PRICE_PREFIXES = (
    "input_cost_per_",
    "output_cost_per_",
    "cache_read_input_",
    "cache_creation_input_",
    "code_interpreter_cost_per_",
    "file_search_cost_per_",
    "search_context_cost_per_",
)
"""LiteLLM's prices by second, character, image, tier and so on: `gateway` prices tokens."""

STRATEGIES: Mapping[str, str] = {"usage-based-routing-v2": "usage-based-routing"}
"""LiteLLM's other names for a routing strategy."""

ROUTER_NAMES: Mapping[str, str] = {"request_timeout": "timeout"}
"""Keys of `litellm_settings` that are router settings under another name."""

MOVED: Mapping[tuple[str, str], tuple[tuple[str, str], Any]] = {
    ("general_settings", "max_request_size_mb"): (("general_settings", "max_request_bytes"), 1_048_576),
    ("general_settings", "enforce_user_param"): (("end_users", "require"), None),
    ("general_settings", "global_max_parallel_requests"): (("protection", "max_concurrent"), None),
    ("litellm_settings", "json_logs"): (("telemetry", "log_format"), {True: "json", False: "console"}),
}
"""Keys that mean one of ours elsewhere: its place, and the factor or the table that turns the value into ours."""


def has_no_use(section: str, key: str) -> bool:
    """Is `key` of `section` one that LiteLLM knows and the gateway has no use for?"""
    if section in ("litellm_params", "model_info") and key.startswith(PRICE_PREFIXES):
        return True
    if section == "model_info" and key.startswith("supports_"):
        return True
    return key in _UNUSED.get(section, frozenset())


_UNUSED: Mapping[str, frozenset[str]] = {
    "": TOP,
    "litellm_settings": LITELLM_SETTINGS,
    "router_settings": ROUTER_SETTINGS,
    "general_settings": GENERAL_SETTINGS,
    "litellm_params": LITELLM_PARAMS,
    "model_list": ENTRY,
    "model_info": MODEL_INFO,
}
