"""What a foreign app's models cost: by the prices it is given, else by the catalogue."""

import math
from collections.abc import Iterable, Mapping

from gateway.errors import ConfigError
from gateway.ledger import prices
from gateway.ledger.cost import Price

ANY = "*"
"""Instead of a model's name: every model that has no prices of its own."""

_APP = "asgi://app"
"""Where the app is: at no provider's own address, so that only names which one seller alone has are taken for his."""

_REMEMBERED = 256


class Prices:
    """The prices of one app.

    Args:
        provider: who is behind the app, by the names of configurations (`openai`, `azure`, `hosted_vllm`, …).
        given: prices by the name of a model, before the catalogue's.
    """

    def __init__(self, provider: str, given: Mapping[str, Price] | None = None) -> None:
        self.provider = provider
        self._given = dict(given or {})
        self._listed: dict[str, Price | None] = {}

    def __repr__(self) -> str:
        return f"<Prices {self.provider} {len(self._given)} given>"

    def names(self) -> Iterable[str]:
        """The models that have prices of their own."""
        return self._given.keys() - {ANY}

    def of(self, *models: str | None) -> Price | None:
        """The price of the first of these names of one model that has one; None where nobody says what it costs."""
        named = [model for model in models if model]
        own = next((self._given[model] for model in named if model in self._given), self._given.get(ANY))
        return own or next((price for model in named if (price := self._found(model))), None)

    def _found(self, model: str) -> Price | None:
        """The catalogue's price. Names are clients' words, so that only some of them are remembered."""
        if model in self._listed:
            return self._listed[model]
        found = prices.resolve(self.provider, model, base_model=None, api_base=_APP, settings={})
        if len(self._listed) < _REMEMBERED:
            self._listed[model] = found
        return found


def given(provider: str, settings: Mapping[str, Mapping[str, float]]) -> dict[str, Price]:
    """Prices by the name of a model, from settings as configurations have them: `{"m": {"input_cost_per_token": …}}`.

    Raises:
        ConfigError: every price that is none, and every model for which only a part of a call has one.
    """
    faults: list[str] = []
    found: dict[str, Price] = {}
    for model, own in settings.items():
        at = f"prices.{model}"
        wrong = _faults(at, own)
        if not wrong and (price := prices.resolve(provider, model, base_model=None, api_base=_APP, settings=own)):
            found[model] = price
        faults += wrong
        if not wrong and model not in found:
            faults.append(f"{at}: set both input_cost_per_token and output_cost_per_token")
    if faults:
        raise ConfigError(faults)
    return found


def _faults(at: str, own: Mapping[str, float]) -> list[str]:
    faults: list[str] = []
    for name, price in own.items():
        if name not in prices.SETTINGS:
            faults.append(f"{at}.{name}: is not known; there are {', '.join(prices.SETTINGS)}")
        elif type(price) not in (int, float) or not 0 <= price < math.inf:
            faults.append(f"{at}.{name}: must be a number of US dollars, 0 or more")
    return faults
