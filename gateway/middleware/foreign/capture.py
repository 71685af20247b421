"""What a foreign app's answer says, as telemetry may keep it: the guarded text of each choice."""

import re

from gateway.guards.vault import Vault
from gateway.judgement import Capture

_SHOWN = re.compile(r"choices\[(\d+)\]\.(?:text|message\.content(?:\[\d+\]\.text)?)")
"""Where the text of a choice stands. What is beside it (thought, arguments of tools, logprobs) is not kept."""


class Keeper:
    """Notes what texts of an answer say once they are judged.

    Where a placeholder of the request may be turned back in the answer nothing is kept of it: what leaves holds the
    caller's own data then.
    """

    def __init__(self, capture: Capture | None, vault: Vault) -> None:
        self._capture = capture if vault.restorer() is None else None

    def note(self, path: str, text: str) -> None:
        """A piece of the text at `path` may leave."""
        if self._capture is not None and text and (found := _SHOWN.fullmatch(path)):
            self._capture.note(int(found[1]), text)

    def instead(self, choices: int, text: str) -> None:
        """So many choices say this, and nothing that was noted of them."""
        if self._capture is not None:
            for index in range(choices):
                self._capture.instead(index, text)
