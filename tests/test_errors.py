"""The error tree: stable codes, public messages, and the same error in process as over HTTP."""

import pytest

from gateway import errors
from gateway.errors import GatewayError, InternalError, error_classes
from gateway.wire.errors import from_body

SENT = [cls for cls in error_classes() if cls not in (GatewayError, errors.ConfigError)]


@pytest.mark.parametrize("cls", SENT, ids=lambda cls: cls.__name__)
def test_an_error_comes_back_as_what_it_was(cls):
    error = cls("Do this instead.", param="n")
    found = from_body(error.status, error.body(), {"retry-after": "3"})
    assert isinstance(found, cls) or type(found) in cls.__mro__[1:2]
    assert (found.status, found.code, found.type) == (error.status, error.code, error.type)
    assert (found.message, found.param, found.headers) == ("Do this instead.", "n", {"retry-after": "3"})


def test_the_most_particular_class_comes_back():
    assert type(from_body(400, errors.InvalidValue("x").body())) is errors.InvalidValue
    assert type(from_body(504, errors.UpstreamTimeout("x").body())) is errors.UpstreamTimeout


def test_an_error_in_a_stream_has_the_status_of_its_class():
    assert from_body(200, errors.UpstreamTimeout("x").body()).status == 504


@pytest.mark.parametrize(("status", "cls"), [(418, errors.RequestError), (599, errors.UpstreamError)])
def test_a_code_from_elsewhere_is_an_error_of_the_statuss_kind(status, cls):
    found = from_body(status, {"error": {"message": "m", "type": "other", "param": None, "code": "other"}})
    assert (type(found), found.status, found.code) == (cls, status, "other")


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_every_error_is_in_the_tree_drawn_at_the_top(cls):
    assert cls.__name__ in (errors.__doc__ or "")


def test_the_repr_shows_no_message():
    assert "secret" not in repr(errors.InvalidValue("secret", param="p"))


def test_an_internal_error_names_nothing():
    assert InternalError("x").body() == {
        "error": {"message": "x", "type": "internal_error", "param": None, "code": "internal_error"}
    }
