"""The only place that reads the process's environment. Nothing here changes it: a host application owns it."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.request import getproxies_environment

CA_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a file of certificate authorities, as OpenSSL, requests and curl read them; first set wins."""


def get(name: str, over: Mapping[str, str] | None = None) -> str | None:
    """The variable `name`, or None when it is not set or empty; one in `over` hides the process's.

    `over` is `Settings.environment_variables`: LiteLLM writes these into the process, here only those who pass them
    see them.
    """
    return (over or {}).get(name) or os.environ.get(name) or None


def snapshot() -> Mapping[str, str]:
    """The whole environment as it is now, read-only."""
    return MappingProxyType(dict(os.environ))


def ca_bundle() -> bytes | None:
    """The PEM file of certificate authorities the operator chose, or None for the system's own.

    Raises:
        OSError: the file that a variable names cannot be read.
    """
    path = next((value for value in map(get, CA_BUNDLE_VARIABLES) if value), None)
    return Path(path).read_bytes() if path else None


def proxies() -> Mapping[str, str]:
    """The proxy variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case, as the standard
    library reads them: `http`, `https`, `all` and `no`."""
    return getproxies_environment()
