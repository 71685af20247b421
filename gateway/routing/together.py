"""What the pieces of one request come to together: who serves it, and what is left for the gateway to do."""

from copy import copy

from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.providers.translation import Translation
from gateway.routing import settling
from gateway.routing.attempt import Place
from gateway.routing.choices import Ranking
from gateway.routing.deployments import Bound
from gateway.routing.pieces import Fitted, Piece


class Together:
    """Noted while the pieces of a request are answered.

    Args:
        exchange: the request's.
        prompts: how many it has.
        n: choices of each.

    `choices` is how many there are, over all prompts. `rankings`, `echoes` and `uncalled` say what is to be done with
    the deltas, see `gateway.routing.choices`.
    """

    __slots__ = ("_exchange", "_n", "_serving", "choices", "echoes", "rankings", "uncalled")

    def __init__(self, exchange: Exchange, prompts: int, n: int) -> None:
        self._exchange = exchange
        self._n = n
        self._serving: Bound | None = None
        self.choices = prompts * n
        self.rankings: dict[int, Ranking] = {}
        self.echoes: dict[int, str] = {}
        self.uncalled: set[int] = set()

    def __repr__(self) -> str:
        return f"<Together {self.choices} choices, served by {self._serving!r}>"

    def place(self, piece: Piece, translation: Translation) -> Place:
        """Where the choices of the one call of a translation stand."""
        candidates = piece.candidates or translation.best_of
        first = piece.number * (candidates or self._n) + piece.offset
        return Place(first, first + self.choices if candidates else first)

    def asks(self, fitted: Fitted) -> None:
        """A deployment is about to be called: as long as none serves, it is the one that is told of."""
        if self._serving is None:
            self._name(fitted.step.bound)

    def serves(self, piece: Piece, fitted: Fitted) -> None:
        """A deployment answers a piece. The first to answer any is the one that serves the request."""
        translation, exchange = fitted.translation, self._exchange
        if self._serving is None:
            self._serving = fitted.step.bound
            self._name(self._serving)
        if translation.dropped:
            exchange.dropped += tuple(name for name in translation.dropped if name not in exchange.dropped)
        if translation.echo is not None:
            self.echoes.update(dict.fromkeys(self._choices(piece), translation.echo[0]))
        self.ranks(piece, translation)

    def ranks(self, piece: Piece, translation: Translation) -> None:
        """Only the best choices of the prompt are kept, where the gateway has to see to that."""
        if translation.best_of is not None:
            self.rankings[piece.number] = Ranking(translation.best_of, self._n, translation.keep_logprobs)

    def answers(self, piece: Piece, fitted: Fitted) -> None:
        """A piece is answered without a call."""
        self.serves(piece, fitted)
        self.uncalled.update(self._choices(piece))
        exchange, used = self._exchange, settling.uncalled(piece.request.prompts, fitted.step.bound)
        exchange.usage = used if exchange.usage is None else exchange.usage + used

    def fails(self, piece: Piece, bound: Bound, error: GatewayError) -> GatewayError:
        """A piece is given up, and the request with it.

        Returns:
            `error` as the client is told it: with how much was tried, where that is more than one call.
        """
        exchange, unit = self._exchange, piece.unit
        if not exchange.started:
            self._name(bound)
            exchange.opening = None
        if unit.calls < 2:
            return error
        whole, count = copy(error), len(unit.deployments)
        whole.message = f"{error.message} {unit.calls} attempts were made at {count} deployment{'s' * (count > 1)}."
        return whole

    def _name(self, bound: Bound) -> None:
        """It is this deployment of which the headers and the usage record tell."""
        exchange = self._exchange
        exchange.provider, exchange.deployment, exchange.served_model = bound.provider, bound.id, bound.model

    def _choices(self, piece: Piece) -> range:
        """The client's choices that a piece answers; for a candidate, all of its prompt."""
        start = piece.number * self._n
        if piece.candidates is not None:
            return range(start, start + self._n)
        return range(start + piece.offset, start + piece.offset + piece.request.n)
