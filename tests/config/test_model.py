"""The settings classes: frozen, strict, and silent about secrets."""

import pytest
from pydantic import ValidationError

from gateway.config.model import Deployment, GeneralSettings, RouterSettings, Settings, default_settings
from gateway.config.options import OPTIONS, is_option
from gateway.config.secret import Secret


def deployment(**fields):
    return Deployment(**{"id": "a", "alias": "a", "provider": "openai", "model": "x", **fields})


def test_settings_do_not_change():
    settings = default_settings()
    with pytest.raises(ValidationError):
        settings.drop_params = True
    with pytest.raises(ValidationError):
        settings.router.num_retries = 5
    with pytest.raises(TypeError):
        RouterSettings(fallbacks={"a": ("b",)}).fallbacks["a"] = ()
    with pytest.raises(TypeError):
        deployment(options={"api_version": "1"}).options["api_version"] = "2"


@pytest.mark.parametrize(
    "fields", [{"timeout": "60"}, {"rpm": 1.0}, {"rpm": True}, {"tags": ["a"]}, {"nope": 1}, {"alias": ""}]
)
def test_nothing_is_converted_and_nothing_unknown_is_taken(fields):
    with pytest.raises(ValidationError):
        deployment(**fields)


def test_secrets_print_nowhere():
    made = Settings(
        deployments=(
            deployment(
                api_key="hunter2-key",
                api_base="http://user:hunter2@host/v1",
                extra_headers={"authorization": "Bearer hunter2"},
                options={"azure_password": Secret("hunter2")},
            ),
        ),
        general=GeneralSettings(
            master_key="hunter2-master", database_url="postgresql://u:hunter2@h/d", redis_url="redis://:hunter2@h"
        ),
        environment_variables={"A": "hunter2"},
    )
    shown = repr(made) + str(made) + str(made.model_dump()) + made.model_dump_json() + f"{made.deployments[0]!r}"
    assert "hunter2" not in shown
    assert made.deployments[0].api_key.reveal() == "hunter2-key"
    with pytest.raises(ValidationError) as caught:
        GeneralSettings(master_key="hunter2")
    assert "hunter2" not in str(caught.value) + repr(caught.value)


def test_the_key_for_administration_is_long_enough():
    assert GeneralSettings(master_key="12345678").master_key == Secret("12345678")
    with pytest.raises(ValidationError, match="at least 8 characters"):
        GeneralSettings(master_key="1234567")


def test_an_option_is_one_of_the_table_or_a_switch_of_the_built_in_model():
    assert is_option("aws_region_name")
    assert is_option("demo_delay_ms")
    assert not is_option("api_key")
    assert not set(OPTIONS) & set(Deployment.model_fields)
