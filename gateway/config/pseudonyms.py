"""What stands for end users' names where a configuration keeps none: one rule for everybody who writes them down."""

from secrets import token_hex

from gateway.config.model import Settings
from gateway.hashing import END_USERS, HashKey, derive

_OWN_SECRET = token_hex(32)
"""For a gateway without any secret: its pseudonyms differ in each process, and nobody can look one up."""


def pseudonym_keys(settings: Settings) -> tuple[HashKey, ...]:
    """The keys of a configuration's pseudonyms, the one in use first; none where names are kept as they are.

    They come from the configuration's secrets, so that all workers and replicas of a gateway say the same, from one
    start to the next.
    """
    chosen = settings.end_users
    if not chosen.pseudonymize:
        return ()
    secret = chosen.pseudonym_key or settings.general.master_key
    secrets = [secret.reveal() if secret else _OWN_SECRET, *(old.reveal() for old in chosen.previous_pseudonym_keys)]
    return tuple(derive(text, END_USERS) for text in secrets)
