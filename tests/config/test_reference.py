"""The reference of configuration keys, derived from what is read."""

from gateway.config.load import SECTIONS, TOP
from gateway.config.reference import reference


def test_every_key_has_a_type_and_a_sentence():
    for path, kind, _, description in reference():
        assert kind, path
        assert description.endswith("."), path
        assert len(description) > 10, path


def test_no_key_is_told_twice():
    paths = [path for path, *_ in reference()]
    assert len(paths) == len(set(paths))


def test_every_section_that_is_read_is_told():
    told = {path.split(".")[0].removesuffix("[]") for path, *_ in reference()}
    assert told >= {*SECTIONS, *TOP} - {"credential_list"}


def test_types_and_defaults_read_as_an_operator_writes_them():
    rows = {path: (kind, default) for path, kind, default, _ in reference()}
    assert rows["model_list[].model_name"] == ("text", "required")
    assert rows["model_list[].litellm_params.api_key"] == ("secret", "")
    assert rows["model_list[].litellm_params.translation"] == ("chat | continuation", '"chat"')
    assert rows["router_settings.num_retries"] == ("whole number", "2")
    assert rows["general_settings.database_url"] == ("text", '"sqlite:///gateway.db"')
    assert rows["end_users.default_budget.max_usd"] == ("number", "")
    assert rows["telemetry.compat"] == ("list of litellm | openinference | langfuse | mlflow", "[]")
    assert rows["policies"] == ("list of text", "")
