"""One worker process's application: made at its start, reloaded while it serves, drained at its end."""

import asyncio
import signal
import threading
from pathlib import Path

from starlette.types import Receive, Scope, Send

from gateway.app import Gateway
from gateway.config.load import Loaded, load
from gateway.config.source import Source
from gateway.config.watch import Watcher
from gateway.errors import ConfigError
from gateway.ledger import tokens
from gateway.routing import builtin
from gateway.telemetry import logs

WATCH_SECONDS = 1.0
"""How often the files of the configuration are looked at."""


def loaded(config: Path | None) -> Loaded:
    """The configuration at `config`, or the built-in one.

    Raises:
        ConfigError: every fault at once.
    """
    return load(config) if config else Loaded(builtin.settings(), Source("built-in configuration"))


class Worker:
    """An ASGI application that makes its gateway when its lifespan starts, after any fork, so that nothing is shared.

    It reloads on SIGHUP and when a file of the configuration changes; a version with faults leaves the old one
    serving, and the log and `/health/ready` say so.
    """

    def __init__(self, config: Path | None) -> None:
        self.config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.gateway(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            source = await self._start()
        except ConfigError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        watching = asyncio.create_task(self._watch(source))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watching.cancel()
        await self.gateway.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> Source:
        found = loaded(self.config)
        self.log = logs.make(found.settings.telemetry.log_format)
        logs.take_over(self.log)
        self.gateway = Gateway(found.settings, found.source, self.log)
        if found.settings.warnings:
            self.log.warning("config_warnings", warnings=list(found.settings.warnings))
        if found.settings.general.master_key is None:
            self.log.warning("no_master_key", serving="loopback only, any key accepted")
        for encoding in self.gateway.serving.catalogue.encodings():
            await asyncio.to_thread(tokens.preload, encoding)
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_soon)
        return found.source

    def _reload_soon(self) -> None:
        self._reloading = asyncio.create_task(self.reload())

    async def _watch(self, source: Source) -> None:
        watcher = Watcher(source.files)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if watcher.changed():
                source = await self.reload() or source
                watcher = Watcher(source.files)

    async def reload(self) -> Source | None:
        """Serve the configuration as it is now; None when it has faults."""
        try:
            found = await asyncio.to_thread(loaded, self.config)
            self.gateway.use(found.settings, found.source)
        except ConfigError as error:
            self.gateway.keep()
            self.log.error("config_refused", faults=list(error.faults), serving="the previous configuration")
            return None
        self.log.info("config_reloaded", models=len(found.settings.deployments), warnings=list(found.settings.warnings))
        return found.source
