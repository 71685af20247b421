"""Characters that do not show, and the scripts of letters, by ranges of code points (Unicode 16)."""

import re
from collections.abc import Iterable
from typing import Literal

Kind = Literal["control", "zero-width", "joiner", "bidi", "bidi-mark", "tag", "variation", "filler", "soft-hyphen"]
Script = Literal[
    "latin", "greek", "cyrillic", "armenian", "hebrew", "arabic", "devanagari", "bengali", "gurmukhi", "gujarati",
    "tamil", "telugu", "kannada", "malayalam", "sinhala", "thai", "lao", "tibetan", "myanmar", "georgian", "ethiopic",
    "khmer", "mongolian", "hangul", "hiragana", "katakana", "han",
]  # fmt: skip

INVISIBLE: dict[Kind, str] = {
    "control": r"\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f",
    "zero-width": r"\u200b\u034f\u180e\u2060-\u2065\u206a-\u206f\ufeff\ufff0-\ufffb\U0001d173-\U0001d17a",
    "joiner": r"\u200c\u200d",
    "bidi": r"\u202a-\u202e\u2066-\u2069",
    "bidi-mark": r"\u200e\u200f\u061c",
    "tag": r"\U000e0000-\U000e007f",
    "variation": r"\ufe00-\ufe0f\u180b-\u180d\u180f\U000e0100-\U000e01ef",
    "filler": r"\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0",
    "soft-hyphen": r"\xad",
}
"""What each kind holds, as the inside of a set. Tabs, line and form feeds are no control characters here."""

ASCII_CONTROLS = bytes((*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F))

LOOK_BACK = 32
"""Characters before an invisible one that may say why it is there."""

_RANGE = re.compile(r"\\[xuU]([0-9a-f]+)(?:-\\[xuU]([0-9a-f]+))?")
_FLAGS = "|".join("".join(chr(0xE0000 + ord(letter)) for letter in region) for region in ("gbeng", "gbsct", "gbwls"))
RUNS = re.compile(
    f"\U0001f3f4(?:{_FLAGS})\U000e007f|"
    + "|".join(f"(?P<k{at}>[{set_}]+)" for at, set_ in enumerate(INVISIBLE.values()))
)
"""The three flags that are written with tags (they are no run), and every run of one kind."""
ANY = re.compile(f"[{''.join(INVISIBLE.values())}]")
KINDS: tuple[Kind, ...] = tuple(INVISIBLE)

_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_MAY_BE_JOINED = re.compile(
    "[\u0590-\u115e\u1161-\u17b3\u17b6-\u180a\u1820-\u1fff\u2100-\u27ff\u2900-\ud7ff\uf900-\ufdff\ufe0f\U00010000-\U000dffff]"
)
_MAY_VARY = re.compile(
    "[0-9#*\xa9\xae\u1000-\u109f\u1800-\u180a\u1820-\u18aa\u2010-\u2027\u2030-\u205e\u2100-\u3163\u3165-\u9fff\uf900-\ufaff\uff01-\uff9f\U00010000-\U000dffff]"
)


def members(kind: Kind) -> str:
    """Every character of `kind`."""
    ranges = ((int(first, 16), int(last or first, 16)) for first, last in _RANGE.findall(INVISIBLE[kind]))
    return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))


def excused(kind: Kind, text: str, start: int, end: int) -> bool:
    """Is the run of `kind` from `start` to `end` one that ordinary writing has?

    A joiner between letters of scripts that join and between emoji, one variation selector after what has variants, a
    direction mark close behind text that runs from right to left, a byte order mark at the start, a blank of braille in
    braille. Runs of several never are.
    """
    if end - start > 1:
        return False
    before = text[start - 1] if start else ""
    if kind == "joiner":
        return _MAY_BE_JOINED.match(before) is not None
    if kind == "variation":
        return _MAY_VARY.match(before) is not None
    if kind == "bidi-mark":
        return _RIGHT_TO_LEFT.search(text, max(0, start - LOOK_BACK), start) is not None
    if kind == "filler":
        return "\u2800" <= before <= "\u28ff" if text[start] == "\u2800" else "\u1100" <= before <= "\u11ff"
    return start == 0 and text[start] == "\ufeff"


SCRIPTS: dict[Script, str] = {
    "latin": r"A-Za-z\xaa\xba\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u1d00-\u1d25\u1d6b-\u1d77\u1e00-\u1eff\u2c60-\u2c7f"
    r"\ua720-\ua7ff\uab30-\uab6f\ufb00-\ufb06\uff21-\uff3a\uff41-\uff5a",
    "greek": r"\u0370-\u03ff\u1f00-\u1fff",
    "cyrillic": r"\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "armenian": r"\u0530-\u058f\ufb13-\ufb17",
    "hebrew": r"\u0590-\u05ff\ufb1d-\ufb4f",
    "arabic": r"\u0600-\u06ff\u0750-\u077f\u0870-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
    "devanagari": r"\u0900-\u097f\ua8e0-\ua8ff",
    "bengali": r"\u0980-\u09ff",
    "gurmukhi": r"\u0a00-\u0a7f",
    "gujarati": r"\u0a80-\u0aff",
    "tamil": r"\u0b80-\u0bff",
    "telugu": r"\u0c00-\u0c7f",
    "kannada": r"\u0c80-\u0cff",
    "malayalam": r"\u0d00-\u0d7f",
    "sinhala": r"\u0d80-\u0dff",
    "thai": r"\u0e00-\u0e7f",
    "lao": r"\u0e80-\u0eff",
    "tibetan": r"\u0f00-\u0fff",
    "myanmar": r"\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f",
    "georgian": r"\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f",
    "ethiopic": r"\u1200-\u139f\u2d80-\u2ddf",
    "khmer": r"\u1780-\u17ff",
    "mongolian": r"\u1800-\u18af",
    "hangul": r"\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff",
    "hiragana": r"\u3040-\u309f",
    "katakana": r"\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "han": r"\u2e80-\u2fd5\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
}
"""Where each script's letters stand, as the inside of a set."""

_LETTERS = re.compile(r"[^\W\d_]+")


def letters(text: str) -> int:
    """Letters of any script in `text`."""
    return sum(map(len, _LETTERS.findall(text)))


def other_scripts(scripts: Iterable[Script]) -> re.Pattern[str]:
    """What finds runs of letters of none of `scripts`."""
    return re.compile(rf"[^\W\d_{''.join(SCRIPTS[script] for script in scripts)}]+")
