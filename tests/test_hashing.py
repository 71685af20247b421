"""The keyed hashes are HMAC-SHA256, whatever part of the work is done beforehand."""

import hmac

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.hashing import END_USERS, VIRTUAL_KEYS, HashKey, derive

TEXTS = st.text(st.characters(codec=None), max_size=200)
"""Lone surrogates too."""


@given(key=st.binary(max_size=200), text=TEXTS)
@example(key=b"", text="")
@example(key=b"k" * 63, text="x")
@example(key=b"k" * 64, text="x")
@example(key=b"k" * 65, text="\ud800")
@example(key=b"k\0", text="\0")
def test_a_digest_is_the_hmac_of_its_text_under_any_key(key: bytes, text: str):
    made = HashKey("id", key)
    message = text.encode("utf-8", "surrogatepass")
    for _ in range(2):  # what is prepared is not used up
        assert made.digest(text) == hmac.digest(key, message, "sha256")
    assert made.pseudonym(text) == f"eu-id-{hmac.digest(key, message, 'sha256').hex()[:32]}"


@given(secret=TEXTS, text=TEXTS)
def test_one_secret_has_a_key_for_each_purpose_and_the_same_in_every_process(secret: str, text: str):
    keys, people = derive(secret, VIRTUAL_KEYS), derive(secret, END_USERS)
    assert keys == derive(secret, VIRTUAL_KEYS)
    assert keys.key == hmac.digest(secret.encode("utf-8", "surrogatepass"), VIRTUAL_KEYS, "sha256")
    assert keys.id == hmac.digest(keys.key, b"id", "sha256").hex()[:8]
    assert keys.digest(text) != people.digest(text)
