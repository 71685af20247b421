"""The rules for secrets that show what they are without a service's mark: keys, signed tokens, URLs, assignments."""

from gateway.guards.secrets_checks import jose_header, unlike_a_name, user_and_password, varied, with_digit
from gateway.guards.secrets_rule import Rule, after, at
from gateway.guards.secrets_rules import SERVICES

_BREAK = r"[\snr\\]{1,8}"
"""What ends a line of an armoured key, also where the key stands in a string of a program or of JSON."""
_HEADER = rf"[A-Za-z-]{{3,20}} : [^\r\n\\:]{{1,120}} {_BREAK}"
"""`Proc-Type: 4,ENCRYPTED`, `Version: …` (RFC 1421, RFC 4880)."""
_END = r"[-]{0,5} [END\x20]{0,4} [A-Z\x20]{0,24} [-]{0,5}"


def _armour(id_: str, *labels: str) -> Rule:
    """A private key between `-----BEGIN label-----` and its end, or for as long as it goes on like a key.

    Sixteen characters of the key confirm it; they have to stand on one line, so that a sentence does not.
    """
    body = rf"[A-Za-z0-9+/=]{{16}} [A-Za-z0-9+/=\s\\\"',]{{0,}} {_END}"
    sources = tuple(
        rf"-----BEGIN\x20{label}----- {_BREAK} {f'{_HEADER} ' * headers} {body}"
        for label in labels
        for headers in range(3)
    )
    return at(id_, "private-key", *sources, score=1.0)


def _url(id_: str, *schemes: str) -> Rule:
    """The password in `scheme://user:password@host`."""
    return after(
        id_,
        "connection",
        schemes,
        r"""[a-z0-9+]{0,16} :// [^\s:/@"'<>`]{0,64} : ( [^\s/@"'<>`]{1,256} ) @""",
        entropy=0.0,
    )


_QUOTES = r"""["'\\\]]{0,4} [\x20\t]{0,4} [:=>]{1,3} [\x20\t]{0,4} [\\]{0,2} ["'`]"""
_QUOTED = rf"""{_QUOTES} ( [^\s"'`\\]{{8,200}} ) ["'`\\]"""
_QUOTED_KEY = rf"""{_QUOTES} ( [A-Za-z0-9!#$%&*+./:=@^_~|-]{{8,200}} ) ["'`\\]"""
_PLAIN = r"""[\x20\t]{0,3} [:=]{1,2} [\x20\t]{0,3} ( [A-Za-z0-9!#$%&*+./<>?@^_~|-]{8,200} [=]{0,2} )"""
"""A value without quotes holds no : and no =, so that a line of settings is not one value."""

_PASSWORDS = ("password", "passwd", "passphrase", "pwd")
_KEYS = ("api_key", "apikey", "api-key", "access_key", "accesskey", "access-key", "secret_key", "secretkey",
         "secret-key",
         "private_key", "privatekey", "encryption_key", "signing_key", "client_secret", "clientsecret", "client-secret",
         "token", "secret", "credential", "credentials")  # fmt: skip

GENERIC: tuple[Rule, ...] = (
    _armour("private-key", r"PRIVATE\x20KEY", r"ENCRYPTED\x20PRIVATE\x20KEY"),
    _armour("rsa-private-key", r"RSA\x20PRIVATE\x20KEY"),
    _armour("ec-private-key", r"EC\x20PRIVATE\x20KEY"),
    _armour("dsa-private-key", r"DSA\x20PRIVATE\x20KEY"),
    _armour("openssh-private-key", r"OPENSSH\x20PRIVATE\x20KEY"),
    _armour("pgp-private-key", r"PGP\x20PRIVATE\x20KEY\x20BLOCK"),
    at("age-secret-key", "private-key", r"AGE-SECRET-KEY-1 [A-Z0-9]{58} \b", score=1.0),
    after("putty-private-key", "private-key", ("private-lines:",),
          r"[\x20]{0,2} [0-9]{1,4} [\s]{1,4} ( [A-Za-z0-9+/=]{16} [A-Za-z0-9+/=\s]{0,} )"),
    at("jwt", "token", r"eyJ [A-Za-z0-9_-]{8,1000} \. [A-Za-z0-9_-]{4,} \. [A-Za-z0-9_-]{0,}", check=jose_header),
    at("jwe", "token", r"eyJ [A-Za-z0-9_-]{8,1000} \. [A-Za-z0-9_-]{0,} \. [A-Za-z0-9_-]{4,} \. [A-Za-z0-9_-]{4,} \. "
       "[A-Za-z0-9_-]{8,}", check=jose_header),
    _url("postgres-url", "postgres"),
    _url("mysql-url", "mysql", "mariadb"),
    _url("mongodb-url", "mongodb"),
    _url("redis-url", "redis"),
    _url("amqp-url", "amqp"),
    _url("ftp-url", "ftp"),
    _url("database-url", "mssql", "clickhouse", "snowflake", "ldap", "smtp", "oracle"),
    _url("basic-auth-url", "http"),
    after("bearer-token", "token", ("bearer ",), "[\\x20]{0,2} ( [A-Za-z0-9._~+/=-]{16,} )",
          check=with_digit, score=0.7),
    after("basic-auth-header", "token", ("basic ",), "[\\x20]{0,2} ( [A-Za-z0-9+/=]{8,} )", check=user_and_password,
          entropy=0.0, score=0.8),
    after("password-assignment", "assignment", _PASSWORDS, _QUOTED, check=varied, entropy=None, score=0.6),
    after("password-setting", "assignment", _PASSWORDS, _PLAIN, check=unlike_a_name, entropy=None, score=0.5),
    after("secret-assignment", "assignment", _KEYS, _QUOTED_KEY, check=with_digit, entropy=None, score=0.6),
    after("secret-setting", "assignment", _KEYS, _PLAIN, check=unlike_a_name, entropy=None, score=0.5),
)  # fmt: skip

RULES: tuple[Rule, ...] = (*SERVICES, *GENERIC)
"""Every rule, the order of its table."""
