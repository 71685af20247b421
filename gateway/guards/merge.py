"""From what all guards of a stage found in one text to what is done about it. Pure.

Findings that overlap become one edit over all they cover: what any of them wanted hidden is hidden, to its last
character. The gravest action wins (block, redact, mask, hash); of equally grave findings the longest, then the first,
gives the edit its name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.guards.base import SEVERITY, Action, Finding
from gateway.guards.vault import Form, Vault

CHANGES: frozenset[Action] = frozenset({"hash", "mask", "redact", "block"})
"""The actions that do something about a text; `flag` and `allow` only tell."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a text: `start` to `end` is done away with, as `action` and `form` say, under the name `rule`."""

    start: int
    end: int
    action: Action
    rule: str
    form: Form


def edits(found: Iterable[tuple[Finding, Form]], length: int) -> list[Edit]:
    """What is done about a text of `length` characters, in order and without overlap.

    A finding about the whole text (0 to 0) covers all of it. Findings that only tell are left out.
    """
    spans = sorted(
        (
            (finding.start, finding.end if finding.end else length, finding, form)
            for finding, form in found
            if finding.action in CHANGES
        ),
        key=lambda span: span[:2],
    )
    made: list[Edit] = []
    group: list[tuple[int, int, Finding, Form]] = []
    reach = 0
    for span in spans:
        if group and span[0] >= reach:
            made.append(_edit(group, reach))
            group = []
        group.append(span)
        reach = max(reach, span[1])
    if group:
        made.append(_edit(group, reach))
    return made


def _edit(group: Sequence[tuple[int, int, Finding, Form]], reach: int) -> Edit:
    _, _, finding, form = max(group, key=lambda span: (SEVERITY[span[2].action], span[1] - span[0], -span[0]))
    return Edit(group[0][0], reach, finding.action, finding.rule, form)


def apply(text: str, changes: Sequence[Edit], vault: Vault) -> str:
    """`text` after `changes`, which are as `edits` gives them.

    Raises:
        ValueError: one of them blocks; such a text is refused, not rewritten.
    """
    parts: list[str] = []
    done = 0
    for edit in changes:
        if edit.action == "block":
            raise ValueError("a blocked text is not rewritten")
        parts.append(text[done : edit.start])
        parts.append(vault.replacement(edit.action, edit.rule, edit.form, text[edit.start : edit.end]))
        done = edit.end
    parts.append(text[done:])
    return "".join(parts)
