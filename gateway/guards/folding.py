"""Folds characters to the ones they stand for: case, width, styles, diacritics, look-alikes, and what cannot be seen.

The tables of look-alikes are our own selection: letters that are taken for Latin ones in ordinary fonts. Letters of
scripts that people write prose in (Cyrillic, Greek) are folded only inside words that mix scripts, or in texts that are
mostly Latin; see `fold`.
"""

# ruff: noqa: RUF001 (characters that look like others are what this file is about)

import re
import unicodedata

_LIMIT = 8_192
"""Characters remembered; a hostile text may hold every one there is."""
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

_RUNS = re.compile(r"[^\x00-\x7f](?:[^a-zA-Z\n]*[^\x00-\x7f])?")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")
_CONTROL_BYTES = bytes((*range(9), *range(14, 32), 127))
_OTHER_SCRIPT = re.compile("[\u0370-\u052f]")
_WORDS = re.compile("[a-z\u0370-\u052f]+")
_LATIN = re.compile("[a-z]+")


def fold(text: str) -> str:
    """`text` in lower case, as it looks: every character is folded, and what cannot be seen is gone.

    Greek and Cyrillic letters are folded in words that mix them with Latin ones, and in words of look-alikes alone
    when the text has more Latin letters than others. Linear in the length of the text; a character becomes at most
    four, and `origins` says which became which.
    """
    if text.isascii():
        return text.encode("ascii").translate(None, _CONTROL_BYTES).decode("ascii").lower()
    folded = _RUNS.sub(_fold_run, _CONTROLS.sub("", text)).lower()
    if _OTHER_SCRIPT.search(folded) and (latin := sum(map(len, _LATIN.findall(folded)))):
        mostly_latin = 2 * latin > sum(map(len, _WORDS.findall(folded)))
        folded = _WORDS.sub(_fold_mostly_latin_word if mostly_latin else _fold_word, folded)
    return folded


def origins(text: str) -> list[int]:
    """For each character of `fold(text)`, the index in `text` of the one it came from."""
    found: list[int] = []
    for index, character in enumerate(text):
        if character > "\x7f":
            found.extend([index] * len(_FOLDS[ord(character)]))
        elif not _CONTROLS.match(character):
            found.append(index)
    return found


def fold_character(character: str) -> str:
    """What one character that is not ASCII stands for: nothing, itself, or up to four characters in lower case."""
    code = ord(character)
    if _is_unseen(code) or unicodedata.category(character) == "Cf":
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
