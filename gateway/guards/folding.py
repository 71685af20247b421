"""Folds characters to the ones they stand for: case, width, styles, diacritics, look-alikes, and what cannot be seen.

The tables of look-alikes are our own selection: letters that are taken for Latin ones in ordinary fonts. Letters of
scripts that people write prose in (Cyrillic, Greek) are folded only inside words that mix scripts, or in texts that are
mostly Latin; see `fold`.
"""

# ruff: noqa: RUF001 (characters that look like others are what this file is about)

import re
import unicodedata

_LIMIT = 1 << 16
"""Characters remembered; a hostile text may hold every one there is."""
_CASELESS = ("Lo", "So", "Sm", "Cn", "Co")
"""Categories of characters that stand for nothing else, unless they are made of others or look like one."""
_EXPANSION = 4
"""Characters one character may become; longer ligatures stay as they are, so that a text cannot be blown up."""

_ALIKE = {
    "a": "ᴀɑɐᎪꓮա", "b": "ʙɓƄᏴꓐ", "c": "ᴄɔᏟꓚ", "d": "ᴅɖɗᎠꓓ", "e": "ᴇǝɛᎬꓰ", "f": "ꜰɟꓝ", "g": "ɢɡɠᏀꓖց", "h": "ʜɦɥᎻꓧհ",
    "i": "ɪıɩɨᎥꓲ", "j": "ᴊɾᎫꓙ", "k": "ᴋʞᏦꓗ", "l": "ʟɭǀᏞꓡӏ", "m": "ᴍɯᎷꓟ", "n": "ɴɳꓠո", "o": "ᴏɵꓳօ", "p": "ᴘᏢꓑ",
    "q": "ϙԛզ", "r": "ʀɹᏒꓣ", "s": "ꜱʂᏚꓢ", "t": "ᴛʇʈᎢꓔ", "u": "ᴜʉʊꓴս", "v": "ᴠʋʌᏙꓦ", "w": "ᴡʍᏔꓪԝ", "x": "ꓫ",
    "y": "ʏʎᎩꓬ", "z": "ᴢᏃꓜ",
}  # fmt: skip
_ALIKE_IN_WORDS = {
    "a": "аα", "b": "вьβ", "c": "сς", "d": "ԁ", "e": "еэεє", "g": "ґ", "h": "нһη", "i": "іιї", "j": "ј", "k": "кκ",
    "l": "ӏ", "m": "м", "n": "пиπ", "o": "оοσ", "p": "рρ", "r": "гя", "s": "ѕ", "t": "тτ", "u": "цυμ", "v": "ѵν",
    "w": "шωщ", "x": "хχ", "y": "уγ", "z": "зζ",
}  # fmt: skip
"""Greek and Cyrillic letters, diacritics already gone."""

_SEEN_AS = {other: letter for letter, others in _ALIKE.items() for other in others}
_IN_WORDS = str.maketrans({other: letter for letter, others in _ALIKE_IN_WORDS.items() for other in others})

_SPELT = {
    "ø": "o", "ł": "l", "đ": "d", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "‐": "-", "‑": "-", "–": "-",
    "—": "-", "−": "-", "‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‹": "'",
    "›": "'", "⁄": "/", "∕": "/",
}  # fmt: skip
"""Latin letters without a decomposition, dashes and quotes."""

_INVISIBLE = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810)}
_UNSEEN = ((0xFE00, 0xFE0F), (0xE0000, 0xE0FFF))
_MARKS = ((0x0300, 0x036F), (0x0483, 0x0489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
_STYLED = (0x1F110, 0x1F130, 0x1F150, 0x1F170, 0x1F1E6)
"""The first of 26 letters in brackets, squares, circles and flags."""

_STABLE = (
    "\u0391-\u03a1\u03b1-\u03c1\u03c3-\u03c9\u0410-\u0418\u041a-\u0438\u043a-\u044f\u0588-\u05ff\u061d-\u0674\u08e3-\u0957"
    "\u0960-\u09db\u3001-\u3035\u303b-\u309a\u30a0-\u30fe\u3400-\ua4cf\uab6a-\ud7ff"
)
"""Letters of other scripts that fold to themselves in lower case, so that nobody needs to look at them one by one."""
_UNSTABLE = re.compile(f"[^\t-\r\x20-\x7e{_STABLE}]+")
_CONTROL_BYTES = bytes((*range(9), *range(14, 32), 127))
_OTHER_SCRIPT = re.compile("[\u0370-\u052f]")
_MIXED = re.compile("[a-z][\u0370-\u052f]|[\u0370-\u052f][a-z]")
_OTHER_WORDS = re.compile("[a-z]*[\u0370-\u052f][a-z\u0370-\u052f]*")
_LATIN = re.compile("[a-z]+")
_NOT_LATIN = re.compile("[^a-z]+")
_NOT_OTHER = re.compile("[^\u0370-\u052f]+")
_TYPOGRAPHIC = (("\u2019", "'"), ("\u2018", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u201e", '"'), ("\u2013", "-"),
                ("\u2014", "-"), ("\u2026", "..."), ("\xb5", "\u03bc"))  # fmt: skip
"""What editors put into texts that are else Latin-1, and the one sign of Latin-1 that folds to what is not in it."""


def fold(text: str) -> str:
    """`text` in lower case, as it looks: every character is folded, and what cannot be seen is gone.

    Greek and Cyrillic letters are folded in words that mix them with Latin ones, and in words of look-alikes alone
    when the text has more Latin letters than others. Linear in the length of the text; a character becomes at most
    four, and `origins` says which became which.
    """
    if text.isascii():
        return text.encode("ascii").translate(None, _CONTROL_BYTES).decode("ascii").lower()
    western = text
    for character, said in _TYPOGRAPHIC:
        western = western.replace(character, said)
    try:
        return _western(western.encode("latin-1"))
    except UnicodeEncodeError:
        folded = _UNSTABLE.sub(_fold_run, text).lower()
    return _look_alikes(folded) if _OTHER_SCRIPT.search(folded) else folded


def _western(raw: bytes) -> str:
    """What a text in Latin-1 folds to."""
    for byte, several in _LATIN1_SEVERAL:
        raw = raw.replace(byte, several)
    return raw.translate(_LATIN1, _LATIN1_GONE).decode("latin-1")


def _look_alikes(folded: str) -> str:
    """`folded` with Greek and Cyrillic letters read as Latin ones where they are taken for them."""
    latin = len(_NOT_LATIN.sub("", folded))
    if not latin:
        return folded
    if latin > len(_NOT_OTHER.sub("", folded)):
        return _OTHER_WORDS.sub(_fold_mostly_latin_word, folded)
    return _OTHER_WORDS.sub(_fold_word, folded) if _MIXED.search(folded) else folded


def origins(text: str) -> list[int]:
    """For each character of `fold(text)`, the index in `text` of the one it came from."""
    found: list[int] = []
    for index, character in enumerate(text):
        found.extend([index] * len(_FOLDS[ord(character)]))
    return found


def fold_character(character: str) -> str:
    """What one character that is not ASCII stands for: nothing, itself, or up to four characters in lower case."""
    code = ord(character)
    category = unicodedata.category(character)
    if _is_unseen(code) or category == "Cf":
        return ""
    if code in (0x85, 0x2028, 0x2029):
        return "\n"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"  # half of a pair is no character, and no library takes it for one
    for first in _STYLED:
        if first <= code < first + 26:
            return chr(ord("a") + code - first)
    if seen := _SEEN_AS.get(character):
        return seen
    if category in _CASELESS and not unicodedata.decomposition(character):
        return _SPELT.get(character, character)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold()).lower()
    if any(ord(c) < 0x0530 or 0x1E00 <= ord(c) <= 0x1FFF for c in folded):
        folded = "".join(c for c in unicodedata.normalize("NFD", folded) if not _within(ord(c), _MARKS))
    folded = "".join(_SEEN_AS.get(c) or _SPELT.get(c, c) for c in folded)
    return folded if len(folded) <= _EXPANSION else character


def _is_unseen(code: int) -> bool:
    return code in _INVISIBLE or _within(code, _UNSEEN) or _within(code, _MARKS)


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


class _Folds(dict[int, str]):
    """Folded characters by code point, worked out when first met."""

    def __missing__(self, code: int) -> str:
        folded = fold_character(chr(code))
        if len(self) < _LIMIT:
            self[code] = folded
        return folded


_FOLDS = _Folds((code, chr(code)) for code in range(128))
_FOLDS.update(dict.fromkeys(_CONTROL_BYTES, ""))

_LATIN1 = bytes(
    ord(seen) if len(seen := _FOLDS[code].lower()) == 1 and seen < "\u0100" else code for code in range(256)
)
_LATIN1_GONE = bytes(code for code in range(256) if not _FOLDS[code])
_LATIN1_SEVERAL = tuple(
    (bytes((code,)), _FOLDS[code].encode("latin-1")) for code in range(128, 256) if len(_FOLDS[code]) > 1
)


def _fold_run(run: re.Match[str]) -> str:
    return run.group().translate(_FOLDS)


def _fold_word(word: re.Match[str]) -> str:
    text = word.group()
    if text.isascii() or not _LATIN.search(text):
        return text
    return text.translate(_IN_WORDS)


def _fold_mostly_latin_word(word: re.Match[str]) -> str:
    text = word.group()
    if text.isascii():
        return text
    seen = text.translate(_IN_WORDS)
    return seen if seen.isascii() or _LATIN.search(text) else text
