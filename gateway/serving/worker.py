"""One worker process's application: made at its start, reloaded while it serves, drained at its end."""

import asyncio
import gc
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
from gateway.routing import builtin, guarding
from gateway.telemetry import logs

WATCH_SECONDS = 1.0
"""How often the files of the configuration are looked at."""

LAST_WORDS_SECONDS = 2.0
"""How long requests that outlived `shutdown_timeout` have to end their answers in good form."""

SETTLE_SECONDS = 0.1
"""How long a changed file must be left alone before it is read, so that none is read while it is being written."""


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

    def __init__(self, config: Path | None, metrics_folder: Path | None = None) -> None:
        self.config = config
        self.metrics_folder = metrics_folder
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        try:
            await self.gateway(scope, receive, send)
        except asyncio.CancelledError:
            # Only a server that has run out of patience at its end cancels requests; what the client had to be told
            # it has been told, and the server would take this for a fault.
            return
        finally:
            self.running -= 1
            if not self.running:
                self.idle.set()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except ConfigError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        watching = asyncio.create_task(self._watch())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watching.cancel()
        await self._last_words()
        await self.gateway.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _last_words(self) -> None:
        """Let requests that the server has cancelled say so to their clients; the server ends when this does."""
        self.idle.clear()
        if self.running:
            await asyncio.wait((asyncio.ensure_future(self.idle.wait()),), timeout=LAST_WORDS_SECONDS)

    async def _start(self) -> None:
        found = loaded(self.config)
        self.idle = asyncio.Event()
        self.log = logs.make(found.settings.telemetry.log_format)
        logs.take_over(self.log)
        self.gateway = Gateway(found.settings, found.source, self.log, metrics_folder=self.metrics_folder)
        self.gateway.start()
        self.files = self.gateway.serving.files
        if found.settings.warnings:
            self.log.warning("config_warnings", warnings=list(found.settings.warnings))
        if found.settings.general.master_key is None:
            self.log.warning("no_master_key", serving="loopback only, any key accepted")
        if not guarding.named(found.settings):
            self.log.warning(
                "no_policies", serving="prompts and answers pass unjudged; policies: [default] judges them"
            )
        for encoding in self.gateway.serving.catalogue.encodings():
            await asyncio.to_thread(tokens.preload, encoding)
        # What is loaded now stays: looking through it again and again would cost a fifth of the time of every request.
        gc.collect()
        gc.freeze()
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        self._reloading = asyncio.create_task(self.reload())

    async def _watch(self) -> None:
        files, watcher = self.files, Watcher(self.files)
        changed = False
        while True:
            await asyncio.sleep(SETTLE_SECONDS if changed else WATCH_SECONDS)
            if watcher.changed():
                changed = True
            elif changed:
                changed = False
                await self.reload()
            if self.files != files:  # the same watcher otherwise: it knows of changes made during the reload
                files, watcher = self.files, Watcher(self.files)

    async def reload(self) -> bool:
        """Serve the configuration as it is now; False when it has faults, and the previous one goes on."""
        try:
            found = await asyncio.to_thread(loaded, self.config)
            self.gateway.use(found.settings, found.source)
        except ConfigError as error:
            self.gateway.keep()
            self.log.error("config_refused", faults=list(error.faults), serving="the previous configuration")
            return False
        except Exception:
            self.gateway.keep()
            self.log.exception("config_refused", serving="the previous configuration")
            return False
        self.files = self.gateway.serving.files
        self.log.info("config_reloaded", models=len(found.settings.deployments), warnings=list(found.settings.warnings))
        return True
