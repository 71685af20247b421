"""Redis, as the gateway asks it: this file alone knows the library.

Every question is bounded in time, and after one that failed nobody asks again for a moment: a request is told at once
that Redis cannot be asked, and one request at a time finds out whether it can again. Valkey speaks the same language.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import ConfigError, Unavailable
from gateway.ledger.ports import Log

CODE: Final = "counters_unavailable"
"""The code of the `Unavailable` that every question may raise."""

CONNECT_SECONDS = 0.25
ANSWER_SECONDS = 0.5
CONNECTIONS = 32
"""How many questions are asked side by side; the others wait their turn, at most `ANSWER_SECONDS`."""

FIRST_REST = 0.5
LONGEST_REST = 5.0
"""Seconds in which nobody asks after a failure: they double from the first to the longest while it goes on."""

SHOUT_SECONDS = 60.0

_SETTING = "general_settings.redis_url"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name by which Redis keeps it (the SHA-1 of its text, see EVALSHA)."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


def library() -> Any:
    """redis-py.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import redis.asyncio
        import redis.exceptions
    except ImportError as error:
        said = f"{_SETTING}: needs the package redis; install it: pip install 'guardrail-gateway[redis]'"
        raise ConfigError([said]) from error
    return redis


class Remote:
    """One process's way to one Redis, with a bounded pool of connections for each event loop that asks. It connects
    when it is first asked.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with user, password and database number where needed. Options
            of the library may stand in its query, such as `?ssl_ca_certs=/etc/ca.pem`. It is never printed.
        log: where failures are told, once a minute.
        connect: seconds for a connection.
        answer: seconds for an answer, and for a connection of the pool to become free.
        clock: seconds that only grow.

    Raises:
        ConfigError: the library is not installed, or it cannot read the URL.
    """

    def __init__(
        self,
        url: str,
        log: Log,
        *,
        connect: float = CONNECT_SECONDS,
        answer: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = library()
        options = _options(url)
        self.server = _server(options)
        self._bound = connect + 2 * answer
        self._log = log
        self._clock = clock
        self._errors: Any = self._redis.exceptions
        self._fault: str | None = None
        self._refusal: str | None = None
        self._since = self._retry_at = 0.0
        self._rest = FIRST_REST
        self._trying = False
        self._shouted_at = float("-inf")
        self._options = {
            "max_connections": CONNECTIONS,
            **options,
            "timeout": answer,
            "socket_connect_timeout": connect,
            "socket_timeout": answer,
            "protocol": 2,
            "decode_responses": False,
            "retry": _no_retry(),
        }
        self._clients: dict[asyncio.AbstractEventLoop, Any] = {}
        try:
            self._redis.asyncio.BlockingConnectionPool(**self._options).make_connection()
        except (TypeError, ValueError, self._errors.RedisError) as error:
            raise ConfigError([f"{_SETTING}: the address has an option that cannot be used"]) from error

    def __repr__(self) -> str:
        return f"<Remote {self.server} {self.health()[1]}>"

    @property
    def resting(self) -> bool:
        """Whether a question would be refused now without being asked."""
        return self._fault is not None and (self._trying or self._clock() < self._retry_at)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
        """What a script returns: texts as bytes, numbers as int, tables as lists. Redis runs nothing else meanwhile.

        Raises:
            Unavailable: Redis cannot be asked, or refuses. The script may have run all the same, unless `resting`.
        """
        return await self._ask(lambda: self._run(script, keys, args))

    async def get(self, key: str) -> bytes | None:
        """A value, None where there is none.

        Raises:
            Unavailable: Redis cannot be asked.
        """
        found: bytes | None = await self._ask(lambda: self._do("GET", key))
        return found

    async def set(self, key: str, value: bytes | str, seconds: float) -> None:
        """Keep a value for so many seconds, at least a thousandth of one.

        Raises:
            Unavailable: Redis cannot be asked, or is full.
        """
        milliseconds = max(1, round(seconds * 1000))
        await self._ask(lambda: self._do("SET", key, value, "PX", milliseconds))

    async def delete(self, *keys: str) -> int:
        """Delete values; how many there were.

        Raises:
            Unavailable: Redis cannot be asked.
        """
        if not keys:
            return 0
        return int(await self._ask(lambda: self._do("DEL", *keys)))

    async def ping(self) -> bool:
        """Whether Redis answers now; never raises, so that start-up and readiness can ask."""
        try:
            await self._ask(lambda: self._do("PING"))
        except Unavailable:
            return False
        return True

    def health(self) -> tuple[bool, str]:
        """For `/health/ready`: whether Redis answered last, and one line that names no password."""
        if self._fault is None:
            return self._refusal is None, self._refusal or "ok"
        return False, f"{self._fault}, for {self._clock() - self._since:.0f} s"

    async def close(self) -> None:
        """Close all connections. It may be asked again afterwards, and connects anew."""
        here = asyncio.get_running_loop()
        for loop, client in tuple(self._clients.items()):
            closing = client.connection_pool.disconnect(inuse_connections=True)
            if loop is here:
                await closing
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(closing, loop))
            else:
                closing.close()
        self._clients.clear()

    async def _do(self, *words: Any) -> Any:
        """A command on this loop's connections: those of another loop cannot be used."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            for gone in [other for other in self._clients if other.is_closed()]:
                del self._clients[gone]
            asking = self._redis.asyncio
            pool = asking.BlockingConnectionPool(**self._options)
            client = self._clients[loop] = asking.Redis(connection_pool=pool)
        return await client.execute_command(*words)

    async def _run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
        try:
            return await self._do("EVALSHA", script.sha, len(keys), *keys, *args)
        except self._errors.NoScriptError:
            return await self._do("EVAL", script.text, len(keys), *keys, *args)

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        if self.resting:
            raise _unavailable()
        probe = self._fault is not None
        self._trying = probe
        try:
            async with asyncio.timeout(self._bound):
                answer = await question()
        except self._errors.ResponseError as error:
            self._answered()
            self._refusal = f"refuses ({_code(error)})"
            self._shout("redis_refused", self._refusal)
            raise _unavailable() from error
        except (self._errors.RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            raise _unavailable() from error
        finally:
            if probe:
                self._trying = False
        self._answered()
        self._refusal = None
        return answer

    def _answered(self) -> None:
        if self._fault is None:
            return
        self._log.warning("redis_reached_again", server=self.server, was=self._fault)
        self._fault = None
        self._rest = FIRST_REST
        self._shouted_at = float("-inf")

    def _failed(self, error: Exception) -> None:
        now = self._clock()
        if self._fault is None:
            self._since, self._rest = now, FIRST_REST
        elif now >= self._retry_at:
            self._rest = min(self._rest * 2, LONGEST_REST)
        else:  # asked before the failure that is known already
            return
        self._retry_at = now + self._rest
        slow = isinstance(error, (TimeoutError, self._errors.TimeoutError))
        self._fault = "does not answer in time" if slow else f"cannot be reached ({_cause(error)})"
        self._shout("redis_unreachable", self._fault)

    def _shout(self, event: str, reason: str) -> None:
        now = self._clock()
        if now - self._shouted_at >= SHOUT_SECONDS:
            self._shouted_at = now
            self._log.error(event, server=self.server, reason=reason)


def _no_retry() -> Any:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Retry(NoBackoff(), 0)


def _options(url: str) -> dict[str, Any]:
    from redis.asyncio.connection import parse_url

    try:
        return dict(parse_url(url))
    except ValueError:  # its text may hold the address
        raise ConfigError([f"{_SETTING}: is not an address of Redis"]) from None


def _server(options: dict[str, Any]) -> str:
    """What may be told of an address."""
    if path := options.get("path"):
        return f"unix:{path}"
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"


def _cause(error: BaseException) -> str:
    """What lies under a library's error: the system's word for it, else the error's name. No text of the library's."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.errno:
            return os.strerror(inner.errno)
        inner = inner.__cause__ or inner.__context__
    return type(error).__name__


def _code(error: Exception) -> str:
    """Redis' word for a refusal (`OOM`, `NOPERM`), else the library's. Never a value."""
    word = str(error).partition(" ")[0]
    return word if word.isalpha() and word.isupper() else type(error).__name__


def _unavailable() -> Unavailable:
    return Unavailable("The shared counters cannot be reached at the moment; try again later.", code=CODE)
