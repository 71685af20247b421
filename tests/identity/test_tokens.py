"""Bearer tokens: what of them is believed, every way to forge one, and an issuer that is slow, wrong or away."""

import asyncio
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import AuthenticationError, ConfigError, Unavailable, UpstreamConnectionError
from gateway.identity.callers import BAD_KEY
from gateway.identity.signatures import MAX_TOKEN, read_keys
from gateway.types import HttpRequest
from gateway.wire import json
from tests.identity.kit import MASTER, Clock, Shaky, answering, callers, key_of, nobody

ISSUER, AUDIENCE = "https://issuer.example", "gateway"
RSA, OTHER_RSA = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
SMALL_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
EC = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
TO_JWK = {
    "RSA": jwt.algorithms.RSAAlgorithm.to_jwk,
    "EC": jwt.algorithms.ECAlgorithm.to_jwk,
    "OKP": jwt.algorithms.OKPAlgorithm.to_jwk,
}


def jwk(key: Any, kind: str, **more: Any) -> dict[str, Any]:
    return {**json.loads(TO_JWK[kind](key.public_key())), **more}


PUBLIC = {"keys": [jwk(RSA, "RSA", kid="r", alg="RS256", use="sig"), jwk(EC, "EC", kid="e"), jwk(ED, "OKP", kid="d")]}
PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip


def config(**more: Any) -> dict[str, Any]:
    return {"jwt": {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": "https://issuer.example/keys", **more}}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "iat": now, "exp": now + 60, **more}
    return {name: value for name, value in whole.items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", head: Mapping[str, Any] | None = None, **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers={"kid": "r", **(head or {})})


def signed(body: Any) -> str:
    """A token of the issuer's own whose body is anything at all."""
    return jwt.api_jws.encode(json.dumps(body), RSA, algorithm="RS256", headers={"kid": "r"})


def part(value: Any) -> str:
    return urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value)).rstrip(b"=").decode()


def who(doc: Any = PUBLIC, **more: Any):
    return callers(Shaky(), call=answering(json.dumps(doc)), **config(**more))[0]


def principal(text: str, doc: Any = PUBLIC, **more: Any):
    return asyncio.run(who(doc, **more).principal(text))


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA, "RS256", "r"), (EC, "ES256", "e"), (ED, "EdDSA", "d")],
    ids=["RS256", "ES256", "EdDSA"],
)
def test_a_good_token_says_who_its_bearer_is(key, algorithm, kid):
    given = token(key, algorithm, {"kid": kid}, org={"team": "payments"}, scope="a b a", groups=["demo", "other"])
    found = principal(
        given,
        algorithms=["RS256", "ES256", "EdDSA"],
        claims={"team": "org.team", "tags": "scope", "models": "groups"},
        models=["demo", "d*"],
    )
    assert (found.kind, found.alias, found.team, found.end_user) == ("jwt", "jwt:payments", "payments", "bob")
    assert (found.tags, found.models) == (("a", "b"), ("demo",))
    assert found.id.startswith("jwt_")
    assert "bob" not in found.id


def forged() -> dict[str, str]:
    """Every way to make a token that is not the issuer's, or not for us, or not for now."""
    now = int(time.time())
    good = token()
    head, body, signature = good.split(".")
    unsigned = f"{part({'alg': 'none', 'typ': 'JWT'})}.{body}."
    confused = f"{part({'alg': 'HS256', 'kid': 'r'})}.{body}"
    own = jwk(OTHER_RSA, "RSA", kid="r")
    return {
        "alg none": unsigned,
        "alg None in another case": f"{part({'alg': 'nOnE', 'kid': 'r'})}.{body}.{signature}",
        "no alg": f"{part({'kid': 'r'})}.{body}.{signature}",
        "alg of another kind of value": f"{part({'alg': ['RS256'], 'kid': 'r'})}.{body}.{signature}",
        "HS256 with the public key": f"{confused}.{part(hmac.digest(PEM, confused.encode(), 'sha256'))}",
        "HS256 with nothing": f"{confused}.{part(hmac.digest(b'', confused.encode(), 'sha256'))}",
        "an algorithm not in the list": token(RSA, "RS512"),
        "an algorithm that the key is not for": token(RSA, "PS256"),
        "a key of another kind": token(EC, "ES256", {"kid": "r"}),
        "somebody else's signature": token(OTHER_RSA),
        "somebody else's key in the header": token(OTHER_RSA, head={"jwk": own}),
        "somebody else's keys at an address": token(OTHER_RSA, head={"jku": "https://evil.example/keys"}),
        "somebody else's certificate": token(OTHER_RSA, head={"x5u": "https://evil.example/c", "x5c": ["AAAA"]}),
        "a critical extension": token(head={"crit": ["b64"], "b64": True}),
        "an unknown kid": token(head={"kid": "nobody"}),
        "a kid that is a path": token(head={"kid": "../../dev/null"}),
        "a kid that is SQL": token(head={"kid": "r' UNION SELECT 'x"}),
        "expired": token(exp=now - 3600, iat=now - 7200),
        "no exp": token(exp=None),
        "an exp that is text": token(exp="never"),
        "not yet valid": token(nbf=now + 3600),
        "issued in the future": token(iat=now + 3600),
        "another audience": token(aud="another"),
        "no audience": token(aud=None),
        "another issuer": token(iss="https://issuer.example.evil.example"),
        "no issuer": token(iss=None),
        "no subject": token(sub=None),
        "a subject that is a number": signed(claims(sub=7)),
        "a subject of another spelling": token(sub="bo\u200bb"),
        "an endless subject": token(sub="b" * 300),
        "a changed body": f"{head}.{part(claims(sub='eve'))}.{signature}",
        "no signature": f"{head}.{body}.",
        "a cut signature": good[:-6],
        "a body that is a list": signed([1]),
        "not base64": f"{head}.!!.{signature}",
        "dots": "..",
        "nested too deeply": f"{part(b'[' * 6000)}.{body}.{signature}",
        "huge": f"{head}.{part({'x': 'y' * MAX_TOKEN})}.{signature}",
        "a huge kid": token(head={"kid": "r" * 9000}),
    }  # fmt: skip


@pytest.mark.parametrize("how", forged())
def test_a_token_that_is_not_the_issuers_for_us_and_for_now_is_refused_in_the_usual_words(how):
    with pytest.raises(AuthenticationError) as refused:
        principal(forged()[how])
    assert (refused.value.message, refused.value.code) == (BAD_KEY, "invalid_api_key")


def test_clocks_may_differ_by_the_leeway():
    now = int(time.time())
    assert principal(token(exp=now - 10), leeway=30)
    with pytest.raises(AuthenticationError):
        principal(token(exp=now - 10), leeway=0)


def test_a_token_without_a_kid_is_checked_with_the_one_key_that_fits():
    bare = jwt.encode(claims(), RSA, algorithm="RS256")
    assert principal(bare)
    twice = {"keys": [jwk(RSA, "RSA", kid="r"), jwk(OTHER_RSA, "RSA", kid="o")]}
    with pytest.raises(AuthenticationError):
        principal(bare, twice)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": part(PEM), "kid": "r", "alg": "HS256"},
        {"kty": "oct", "k": part(b"secret" * 8), "kid": "r", "alg": "RS256"},
        jwk(SMALL_RSA, "RSA", kid="r"),
        jwk(RSA, "RSA", kid="r", use="enc"),
        jwk(RSA, "RSA", kid="r", key_ops=["encrypt"]),
        jwk(RSA, "RSA", kid="r", alg="RS512"),
        jwk(EC_384, "EC", kid="r", alg="ES256"),
        {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "!"},
        {"kty": "RSA", "kid": "r"},
        {"kty": "RSA", "kid": "r", "n": 7, "e": []},
        {},
    ],
)
def test_a_key_that_is_not_for_these_signatures_is_left_out(key):
    with pytest.raises(ValueError, match="no key"):
        read_keys(json.dumps({"keys": [key, 7, None]}), ["RS256", "ES256"])


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"keys": {}}', b"null", b'{"keys": []}'])
def test_what_is_no_key_set_is_said_to_be_none(body):
    with pytest.raises(ValueError, match="it "):
        read_keys(body, ["RS256"])


class Issuer:
    """An issuer that publishes keys, counts who asks, and can be away."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.away = False

    async def __call__(self, request: HttpRequest, seconds: float) -> tuple[int, bytes]:
        self.asked += 1
        assert (request.method, request.url, request.body) == ("GET", "https://issuer.example/keys", b"")
        assert seconds <= 5
        if self.away:
            raise UpstreamConnectionError("away")
        return 200, json.dumps({"keys": self.keys})


def asking(issuer: Issuer, clock: Clock):
    found, _ = callers(Shaky(), call=issuer, **config())
    found.tokens.keys._clock = clock
    return found


def test_a_new_key_of_the_issuer_works_from_its_first_token_on():
    async def run():
        issuer, clock = Issuer(jwk(RSA, "RSA", kid="r")), Clock()
        found = asking(issuer, clock)
        assert await found.principal(token())
        issuer.keys.append(jwk(OTHER_RSA, "RSA", kid="new"))
        clock.now += 11
        assert await found.principal(token(OTHER_RSA, head={"kid": "new"}))
        assert issuer.asked == 2

    asyncio.run(run())


def test_a_key_that_the_issuer_has_withdrawn_is_believed_no_longer_than_until_the_next_reading():
    async def run():
        issuer, clock = Issuer(jwk(RSA, "RSA", kid="r")), Clock()
        found = asking(issuer, clock)
        given = token()
        assert await found.principal(given)
        issuer.keys = [jwk(OTHER_RSA, "RSA", kid="new")]
        clock.now += 301
        assert await found.principal(given)  # the keys are being read, beside this request
        await found.tokens.keys._task
        with pytest.raises(AuthenticationError):
            await found.principal(given)

    asyncio.run(run())


def test_unknown_kids_without_end_ask_the_issuer_once_in_ten_seconds():
    async def run():
        issuer, clock = Issuer(jwk(RSA, "RSA", kid="r")), Clock()
        found = asking(issuer, clock)
        for number in range(50):
            with pytest.raises(AuthenticationError):
                await found.principal(token(head={"kid": f"x{number}"}))
            clock.now += 1
        assert issuer.asked <= 6

    asyncio.run(run())


def test_an_issuer_that_was_never_reached_is_not_the_callers_fault():
    async def run():
        issuer, clock = Issuer(jwk(RSA, "RSA", kid="r")), Clock()
        issuer.away = True
        found = asking(issuer, clock)
        for _ in range(20):
            with pytest.raises(Unavailable) as refused:
                await found.principal(token())
            assert (refused.value.status, refused.value.code) == (503, "keys_unavailable")
            assert "issuer.example" not in refused.value.message
        assert issuer.asked == 1
        assert found.tokens.keys.state == (True, "the issuer's keys cannot be fetched")
        issuer.away = False
        clock.now += 11
        assert await found.principal(token())

    asyncio.run(run())


def test_an_issuer_that_goes_away_is_done_without_for_a_day():
    async def run():
        issuer, clock = Issuer(jwk(RSA, "RSA", kid="r")), Clock()
        found = asking(issuer, clock)
        given = token(exp=int(time.time()) + 200_000)
        assert await found.principal(given)
        issuer.away = True
        clock.now += 80_000
        assert await found.principal(given)
        await found.tokens.keys._task
        clock.now += 7_000
        with pytest.raises(Unavailable):
            await found.principal(given)

    asyncio.run(run())


def test_other_keys_work_while_the_issuer_is_away():
    async def run():
        issuer = Issuer()
        issuer.away = True
        found = asking(issuer, Clock())
        _, key = await key_of(found)
        assert (await found.principal(key)).kind == "key"
        assert (await found.principal(MASTER)).is_master

    asyncio.run(run())


@pytest.mark.parametrize("answer", [(404, b"{}"), (302, b""), (200, b"<html>"), (200, b"x" * 1_048_577)])
def test_an_answer_that_is_no_key_set_is_as_none(answer):
    async def run():
        found, _ = callers(Shaky(), call=answering(answer[1], answer[0]), **config())
        with pytest.raises(Unavailable):
            await found.principal(token())

    asyncio.run(run())


def test_keys_are_read_from_a_file_beside_the_configuration(tmp_path: Path):
    async def run():
        file = tmp_path / "keys.json"
        file.write_bytes(json.dumps(PUBLIC))
        settings = {"issuer": ISSUER, "audience": [AUDIENCE, "x"], "jwks_file": "keys.json"}
        found, _ = callers(call=nobody, folder=tmp_path, jwt=settings)
        assert (await found.principal(token())).end_user == "bob"
        absent, _ = callers(call=nobody, folder=tmp_path / "elsewhere", jwt=settings)
        with pytest.raises(Unavailable):
            await absent.principal(token())
        assert absent.tokens.keys.state[1] == "the issuer's keys cannot be read: No such file or directory"

    asyncio.run(run())


def test_a_token_remembered_to_be_good_is_good_no_longer_than_its_time():
    async def run():
        found, clock = who(leeway=0), Clock(time.time())
        found.tokens._clock = clock
        given = token()
        first = await found.principal(given)
        assert await found.principal(given) is first
        clock.now += 61
        found.tokens._rules = found.tokens._rules.__class__(("ES256",), ISSUER, (AUDIENCE,), 0)
        with pytest.raises(AuthenticationError):
            await found.principal(given)

    asyncio.run(run())


def test_without_a_claim_of_the_user_requests_name_their_own():
    assert principal(token(), claims={"user": None}).end_user is None
    with pytest.raises(AuthenticationError):
        principal(token(), claims={"user": "email"})


@pytest.mark.parametrize(
    ("groups", "allowed"),
    [
        (["demo"], ("demo",)),
        (["secret"], ("",)),
        ([], ("",)),
        (None, ("",)),
        (["*"], ("",)),
        (["d*"], ("d*",)),
        (7, ("",)),
    ],
)
def test_a_claim_of_models_narrows_what_the_configuration_allows_and_never_widens_it(groups, allowed):
    found = principal(token(groups=groups), claims={"models": "groups"}, models=["demo", "d*"])
    assert found.models == allowed
    assert not found.may_use("secret")


def test_a_tokens_bearer_is_never_the_master_nor_another_key():
    for team in ("master", "team-a"):
        found = principal(token(team=team), claims={"team": "team"})
        assert (found.is_master, found.alias) == (False, f"jwt:{team}")


def test_a_configuration_names_where_keys_are_once():
    for wrong in ({"jwks_file": "x"}, {"jwks_url": None}):
        with pytest.raises(ConfigError, match="jwks_url and jwks_file"):
            callers(**config(**wrong))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "ES256K", "rs256"])
def test_an_unsafe_algorithm_cannot_be_configured(algorithm):
    with pytest.raises(ConfigError, match="algorithms"):
        callers(**config(algorithms=[algorithm]))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=50), st.text(max_size=50))
def test_no_text_in_the_shape_of_a_token_is_a_fault(one, two, three):
    with pytest.raises(AuthenticationError):
        principal(f"{one.replace('.', '')}.{two.replace('.', '')}.{three.replace('.', '')}")
