"""Which proxy a server is reached by, in the environment's conventions: `http`, `https`, `all` and `no`."""

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network

from gateway.errors import ConfigError
from gateway.routing.engines.pooled.request_head import Address, address_of


def check(proxies: Mapping[str, str]) -> None:
    """
    Raises:
        ConfigError: a proxy whose URL is not http or https. The URL is not quoted, it may hold a password.
    """
    faults = []
    for name in ("http", "https", "all"):
        try:
            if url := proxies.get(name):
                address_of(_absolute(url))
        except ValueError:
            faults.append(f"the {name} proxy has no http:// or https:// URL")
    if faults:
        raise ConfigError(faults)


def choose(proxies: Mapping[str, str], address: Address) -> Address | None:
    """The proxy for `address`, or None for a direct connection."""
    scheme, host, port = address.origin
    url = proxies.get(scheme) or proxies.get("all")
    if not url or any(_matches(rule.strip().lower(), host, port) for rule in proxies.get("no", "").split(",")):
        return None
    return address_of(_absolute(url))


def _absolute(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _matches(rule: str, host: str, port: int) -> bool:
    """One entry of `NO_PROXY`: `*`, a domain and all below it, an address, a network, each maybe with a port."""
    if rule == "*":
        return True
    with suppress(ValueError):
        return ip_address(host) in ip_network(rule, strict=False)
    domain, _, only = rule.partition(":")
    if only and only != str(port):
        return False
    domain = domain.removeprefix("*").lstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))
