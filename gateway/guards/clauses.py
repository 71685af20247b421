"""Where a clause of a text ends, for guards that judge names: decided by the text alone, however it is cut."""

import re

_END = re.compile(
    r"""[^\W\d_]{2}[.!?\u2026]["')\]\u2019\u201d]{0,3}\s  # a sentence's, not the point of an initial or a number
    |[;\n\u3002\uff01\uff1b\uff1f]""",
    re.VERBOSE,
)


def split(text: str, most: int) -> tuple[list[str], str]:
    """The complete clauses at the front of `text`, and the rest, which has fewer than `most` characters.

    A clause of more than `most` characters is cut after its last white space before there, if it has any.
    """
    clauses: list[str] = []
    start = 0
    while True:
        found = _END.search(text, start, start + most)
        if found is not None:
            end = found.end()
        elif len(text) - start >= most:
            end = start + whole_words(text[start : start + most])
        else:
            return clauses, text[start:]
        clauses.append(text[start:end])
        start = end


def whole_words(text: str) -> int:
    """The index after the last white space of `text`, before a word that may go on; all of it when it is one word."""
    words = text.rsplit(None, 1)
    if not words or text[-1].isspace():
        return len(text)
    return len(text) - len(words[-1]) or len(text)
