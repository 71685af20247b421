"""Connections to PostgreSQL that do not wait for ever: the one file that knows the driver.

The driver bounds how long connecting takes, and the system how long bytes go unacknowledged. Neither notices a server,
or a proxy before it, that takes a question and never answers.
"""

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

from psycopg import Connection, OperationalError
from psycopg.rows import TupleRow

V = TypeVar("V")

Waiting = Generator[Any, Any, V]
"""A piece of the driver's work (psycopg's `PQGen`): it gives what it waits for, and is sent whether that has come: 0,
several times a second, while it has not."""

ANSWER_SECONDS = 10.0
"""The longest a database may be silent while something is asked of it."""


class Impatient(Connection[TupleRow]):
    """A connection that is closed when the database is silent for longer than `patience`, in seconds."""

    patience = ANSWER_SECONDS

    def wait(self, gen: Waiting[V], *args: Any, **kwargs: Any) -> V:
        """What the work ends with.

        Raises:
            OperationalError: nothing came in time; the connection is closed.
        """
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Waiting[V]) -> Waiting[V]:
        try:
            wanted = next(gen)
            heard = monotonic()
            while True:
                ready = yield wanted
                if ready:
                    heard = monotonic()
                elif monotonic() - heard > self.patience:
                    self.pgconn.finish()
                    raise OperationalError(f"timeout: nothing came for {self.patience:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as ended:
            result: V = ended.value
            return result
