"""Texts that are hard for a detector: planted and spoilt values, values run together, foreign digits and letters."""

import random

VALUES = (
    "4111 1111 1111 1111",
    "4242424242424242",
    "3782-822463-10005",
    "5555555555554444",
    "1234567890123",
    "219-09-9999",
    "078.05.1120",
    "123 45 6789",
    "12345-6789",
    "123456789",
    "900-70-1234",
    "911-93 1234",
    "9127012 34",
    "943 476 5919",
    "9434765919",
    "943-476-5919",
    "401 023 2137",
    "bob@corp.example.com",
    "a.b-c+d@sub.domain.co.uk",
    "x@y.z",
    "user@xn--80ak6aa92e.com",
    "r@b.com@c.org",
    "o'h@ex.ie",
    "http://example.com/a?b=c@d.com",
    "www.example.org",
    "'foo.net'",
    '"https://bar.io/x"',
    "a.b.c.d.museum",
    "e.g",
    "x.co",
    "192.168.1.1",
    "10.0.0.1/24",
    "::1",
    "fe80::1ff:fe23:4567:890a",
    "2001:db8::8a2e:370:7334/64",
    "::ffff:1.2.3.4",
    "::",
    "1::2.3",
    "00:1A:2B:3C:4D:5E",
    "aa-bb-cc-dd-ee-ff",
    "abcd.efab.cdef",
    "12.5.1999",
    "1:2:3:4:5:6:7:8",
    "550e8400-e29b-41d4-a716-446655440000",
    "GB82 WEST 1234 5698 7654 32",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "AB12 CDEF GHIJ",
    "FR1420041010050500013M02606",
    "NL91-ABNA-0417-1643-00",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    "2024-01-15",
    "01/02/2023",
    "15-JAN-2024",
    "MAR-2020",
    "12/99",
    "2024-01-15T10:20:30Z",
    "2012-01-02 08:00",
    "2011-10-05 14:48:00.123+02:00",
    "1.2.2020",
    "A1234567",
    "D123-4567",
    "C08675309",
    "123456",
    "12345678901234567",
    "A-Z]]123",
    "H12345678",
    "12ABC34567",
    "AB1234563",
    "BB1388568",
    "F91234563",
    "bj9234563",
    "(212) 555-0142",
    "+44 20 7946 0958",
    "+1-202-555-0172 ext. 12",
    "030 123456",
    "0049 30 901820",
    "212-555-0142x1234",
    "650-253-0000 / 650-253-0001",
    "12(3): 211-227 (2003)",
    "1 2 3 4 5 6 7 8 9 0",
    "+41 79 123 45 67",
    "011 44 20 7946 0958",
    "(0)30 9018 20",
    "0800 1111",
    "1-800-555-0199;ext=7",
    "650 253 0000 - 503#",
    "90 15 11 98765 4321",
    "01 23 45 67 89",
    "123.456.789",
    "0.1234 0.5678",
    "1,234,567.89",
    "$2125550142",
    "2125550142abc",
    "%2125550142",
    "6502530000,,,ext 5",
)
WORDS = (
    "the",
    "my",
    "card",
    "ssn",
    "social security number",
    "account",
    "license",
    "driver's license",
    "passport",
    "IBAN",
    "phone",
    "call",
    "bank",
    "date",
    "email",
    "is",
    "and",
    "or",
    "BTC",
    "wallet",
    "nhs",
    "itin",
    "cards",
    "accounts",
    "NEW",
    "YORK",
    "lic",
    "public",
    "uuid",
    "mac address",
    "ban\u212a",
    "licen\u017fe",
    "unique identifier",
    "DEA",
    "url",
    "\u0130p",
)
JOINTS = (
    " ",
    " ",
    " ",
    ", ",
    ". ",
    "\n",
    "",
    "-",
    ":",
    "/",
    ".",
    "(",
    ") ",
    "@",
    "'",
    '"',
    "_",
    "  ",
    "\t",
    "\u00a0",
    "\u200b",
    "x",
    "#",
    "+",
    "%",
    "[",
    "]",
    "=",
    ";",
    " - ",
    "\u2013",
    "\u3000",
    ",,,",
    "ext",
    "\U00010d41",
    "\u00e9",
    "\u0301",
    "<",
    "&",
)
_SWAPS = {
    "0": "\u0660\uff10\U0001d7d8\U00010d40O",
    "1": "\u0661\uff11\u09671lI",
    "5": "\u0665\uff15S",
    "9": "\uff19\u0669",
    "a": "\u0430\u00e0A",
    "e": "\u0435E",
    "i": "\u0130\u0131I",
    "s": "\u017fS",
    "k": "\u212aK",
    "o": "\u043e0",
    "@": "\uff20",
    ".": "\uff0e\u3002",
    "-": "\u2010\u2212\u2013",
    " ": "\u00a0\u2009",
    "c": "\u0441C",
    "x": "\uff58X",
    "b": "B",
    "f": "F",
}


def _spoilt(value: str, chance: random.Random) -> str:
    kind = chance.randrange(8)
    if not value or kind < 3:
        return value
    at = chance.randrange(len(value))
    if kind == 3:
        return value[:at] + value[at + 1 :]
    if kind == 4:
        return value[:at] + chance.choice(JOINTS) + value[at:]
    if kind == 5:
        return value[:at] + chance.choice("0123456789") + value[at + 1 :]
    if kind == 6:
        return "".join(chance.choice(_SWAPS[c]) if c in _SWAPS and chance.random() < 0.2 else c for c in value)
    return chance.choice((value.upper(), value.lower(), value.swapcase(), value * 2, value[::-1]))


def _noise(chance: random.Random) -> str:
    kind = chance.randrange(7)
    if kind == 0:
        return "".join(chance.choices("0123456789", k=chance.choice((3, 9, 16, 25, 60, 430))))
    if kind == 1:
        return "".join(chance.choices("0123456789 -./()+", k=chance.randrange(1, 60)))
    if kind == 2:
        return "".join(chance.choices("abcdef0123456789:-.", k=chance.randrange(1, 40)))
    if kind == 3:
        return "".join(chance.choices("ABCXYZ0123456789 -", k=chance.randrange(1, 60)))
    if kind == 4:
        return "".join(chance.choices("ab.@-_+'c/o1", k=chance.randrange(1, 40)))
    if kind == 5:
        return "".join(chance.choices("13bc1qazAZ059HK", k=chance.randrange(20, 80)))
    return "".join(chr(chance.choice((chance.randrange(32, 127), chance.randrange(128, 0x3000)))) for _ in range(9))


def text(chance: random.Random) -> str:
    """One text of up to some hundred characters."""
    parts = []
    for _ in range(chance.randrange(1, 9)):
        kind = chance.random()
        if kind < 0.45:
            parts.append(_spoilt(chance.choice(VALUES), chance))
        elif kind < 0.85:
            parts.append(chance.choice(WORDS))
        else:
            parts.append(_noise(chance))
        parts.append(chance.choice(JOINTS))
    return "".join(parts)


_ROWS = (
    "4111 ", "4111-", "4111 1111 1111 1111 ", "4242", "9 ", "9", "12", "219 09 9999 ", "219-09-9999",
    "943 476 5919 ", "212-555-0142 ", "(212) 555-0142 ", "2125550142 ", "212.555.0142.", "+1 202 555 0172 ",
    "030 123456 / ", "1.", "1.1.1.1", "10.0.0.1.", "1.2.2020.", "12/", "01/02/2023/", "2024-01-15-", "2024-01-15 ",
    "a@b.co", "a@b.co+", "a@b.co@", "bob@x.de,", "AB12 ", "DE89 3704 0044 0532 0130 00 ", "GB82WEST12345698765432",
    "00:1A:2B:", "fe80::", "::", '"a.co"', "'a.co", "a.co ", "a.co/", "http://a.co ",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "A1234567", "\uff14111 ", "\u0661\u0662 ", "4111\u200b",
)  # fmt: skip
"""What rows repeat."""


def row(chance: random.Random, most: int = 3_000) -> str:
    """A row of matches that overlap, of up to `most` characters, with something of another kind in it and around it."""
    parts = []
    for _ in range(chance.randrange(1, 4)):
        units = [chance.choice(_ROWS) for _ in range(chance.choice((1, 1, 2)))]
        made = "".join(units * chance.choice((2, 5, 20, 80, 300)))[: chance.randrange(20, most)]
        at = chance.randrange(len(made) + 1)
        parts += [
            made[:at], _spoilt(chance.choice(VALUES), chance), made[at:], chance.choice(JOINTS), chance.choice(WORDS),
        ]  # fmt: skip
        parts.append(chance.choice(JOINTS))
    return "".join(parts)[:most]
