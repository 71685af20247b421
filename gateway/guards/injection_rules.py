"""The rules of the guard `injection`, as a table: which words, in which order, how far apart, say how much.

A rule's pattern is a sequence of classes of `gateway.guards.injection_words` with, between two of them, the most
characters that may stand there; no sentence ends in between. A score is how sure the rule alone makes us. Rules of one
name are forms of one thing and count once.
"""

from dataclasses import dataclass
from typing import Literal

Category = Literal[
    "instruction_override",
    "system_prompt_extraction",
    "jailbreak",
    "refusal_suppression",
    "delimiter",
    "exfiltration",
    "encoded_payload",
    "indirect",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """One form of an attack. `anchor` is the class in `pattern` whose words make a text worth a look; `gaps` are the
    most characters between two words."""

    name: str
    category: Category
    score: float
    pattern: tuple[str, ...]
    gaps: tuple[int, ...]
    anchor: str


def _rule(name: str, category: Category, score: float, pattern: str) -> Rule:
    """A rule from `CLASS 20 CLASS* 8 CLASS`; the star marks the class whose words are rarest."""
    parts = pattern.split()
    classes = tuple(part.rstrip("*") for part in parts[::2])
    anchor = next(part.rstrip("*") for part in parts[::2] if part.endswith("*"))
    return Rule(name, category, score, classes, tuple(map(int, parts[1::2])), anchor)


_ROWS: tuple[tuple[str, Category, float, str], ...] = (
    ("override-prior", "instruction_override", 0.9, "OVERRIDE* 24 PRIOR 24 INSTR"),
    ("override-prior", "instruction_override", 0.9, "OVERRIDE* 24 INSTR 16 PRIOR"),
    ("override-prior", "instruction_override", 0.9, "PRIOR 16 INSTR 16 OVERRIDELAST*"),
    ("override-prior", "instruction_override", 0.75, "OVERRIDE* 16 EVERYTHING 30 PRIOR"),
    ("override-prior", "instruction_override", 0.75, "OVERRIDE* 20 PRIOR 40 INSTEAD"),
    ("override-prior", "instruction_override", 0.5, "OVERRIDE* 20 PRIOR 16 TEXT"),
    ("override-prior", "instruction_override", 0.65, "OVERRIDE* 20 PRIOR 16 INFO"),
    ("override-prior", "instruction_override", 0.72, "OVERRIDE* 16 EVERYTHING 16 DO"),
    ("override-prior", "instruction_override", 0.72, "OVERRIDE* 16 EVERYTHING 20 TEXT 20 DO"),
    ("override-prior", "instruction_override", 0.5, "OVERRIDE* 16 ALL 16 TEXT"),
    ("override-own", "instruction_override", 0.8, "OVERRIDE* 16 YOUR 24 INSTR"),
    ("override-own", "instruction_override", 0.8, "OVERRIDE* 16 SYSTEMPROMPT"),
    ("override-own", "instruction_override", 0.7, "OVERRIDE* 12 ALL 24 INSTR"),
    ("override-own", "instruction_override", 0.4, "OVERRIDE* 16 INSTR"),
    ("not-follow", "instruction_override", 0.8, "NOTFOLLOW* 20 PRIOR 20 INSTR"),
    ("not-follow", "instruction_override", 0.75, "NOTFOLLOW* 12 YOUR 20 INSTR"),
    ("not-follow", "instruction_override", 0.6, "NOTFOLLOW* 12 ALL 20 INSTR"),
    ("instructions-void", "instruction_override", 0.65, "PRIOR 16 INSTR 40 VOID*"),
    ("instructions-void", "instruction_override", 0.45, "PRIOR 16 TEXT 40 VOID*"),
    ("change-own", "instruction_override", 0.65, "CHANGE 10 YOUR 20 INSTR*"),
    ("override-prior", "instruction_override", 0.75, "OVERRIDE* 16 YOUKNOW"),
    ("change-own", "instruction_override", 0.6, "YOUR 8 OWNPROMPT* 4 ARENOW"),
    ("change-own", "instruction_override", 0.75, "CHANGE 10 YOUR 20 SYSTEMPROMPT*"),
    ("new-task", "instruction_override", 0.5, "YOUR 6 NEWTASK*"),
    ("new-task", "instruction_override", 0.25, "NEWTASK*"),
    ("new-task", "instruction_override", 0.35, "FROMNOW* 24 YOUARE"),
    ("system-prompt", "system_prompt_extraction", 0.85, "REVEAL 24 YOUR 20 SYSTEMPROMPT*"),
    ("system-prompt", "system_prompt_extraction", 0.85, "REVEAL 24 YOUR 20 SYSTEM* 12 PROMPT"),
    ("system-prompt", "system_prompt_extraction", 0.8, "REVEAL 24 THEPROMPT*"),
    ("system-prompt", "system_prompt_extraction", 0.8, "STRONGREVEAL 24 SYSTEMPROMPT*"),
    ("system-prompt", "system_prompt_extraction", 0.85, "WHAT 12 YOUR 20 SYSTEMPROMPT*"),
    ("system-prompt", "system_prompt_extraction", 0.8, "WHAT 12 YOUR 16 SYSTEM* 12 PROMPT"),
    ("system-prompt", "system_prompt_extraction", 0.7, "WHAT 12 THEPROMPT*"),
    ("own-prompt", "system_prompt_extraction", 0.75, "STRONGREVEAL 20 YOUR 16 OWNPROMPT*"),
    ("own-prompt", "system_prompt_extraction", 0.7, "WHAT 10 YOUR 16 OWNPROMPT*"),
    ("own-prompt", "system_prompt_extraction", 0.55, "REVEAL 12 YOUR 16 OWNPROMPT*"),
    ("own-prompt", "system_prompt_extraction", 0.8, "WHAT 12 OWNPROMPT* 12 YOUWERE"),
    ("own-prompt", "system_prompt_extraction", 0.75, "REVEAL 24 OWNPROMPT* 16 YOUWERE"),
    ("repeat-above", "system_prompt_extraction", 0.8, "REPEAT* 24 TEXT 16 ABOVE"),
    ("repeat-above", "system_prompt_extraction", 0.8, "REPEAT* 16 EVERYTHING 24 ABOVE"),
    ("repeat-above", "system_prompt_extraction", 0.75, "REPEAT* 16 ABOVE 16 TEXT"),
    ("from-the-start", "system_prompt_extraction", 0.6, "BEGINNING* 40 YOUAREQUOTED"),
    ("persona", "jailbreak", 0.75, "SUREPERSONA*"),
    ("persona", "jailbreak", 0.75, "ACTAS 20 PERSONA*"),
    ("persona", "jailbreak", 0.6, "SWITCH 20 PERSONA*"),
    ("persona", "jailbreak", 0.8, "YOUARENOW 20 PERSONA*"),
    ("persona", "jailbreak", 0.75, "FROMNOW 40 PERSONA*"),
    ("special-mode", "jailbreak", 0.8, "YOUARENOW 16 DEVMODE*"),
    ("special-mode", "jailbreak", 0.7, "YOUARE 20 DEVMODE*"),
    ("special-mode", "jailbreak", 0.6, "AI 60 DEVMODE*"),
    ("special-mode", "jailbreak", 0.6, "DEVMODE* 60 AI"),
    ("special-mode", "jailbreak", 0.7, "FROMNOW 40 DEVMODE*"),
    ("unbound", "jailbreak", 0.8, "YOUARENOW 60 UNBOUND*"),
    ("unbound", "jailbreak", 0.75, "ACTAS 60 UNBOUND*"),
    ("unbound", "jailbreak", 0.75, "FROMNOW 60 UNBOUND*"),
    ("unbound", "jailbreak", 0.75, "OVERRIDE 24 SAFETY*"),
    ("unbound", "jailbreak", 0.7, "EVADE 16 SAFETY*"),
    ("unbound", "jailbreak", 0.75, "NOTFOLLOW 16 SAFETY*"),
    ("unbound", "jailbreak", 0.65, "YOUARE 30 UNBOUND*"),
    ("unbound", "jailbreak", 0.5, "AI 24 UNBOUND*"),
    ("unbound", "jailbreak", 0.45, "UNBOUND* 16 AI"),
    ("you-are-now", "jailbreak", 0.3, "YOUARENOW*"),
    ("authority", "jailbreak", 0.45, "AUTHORITY*"),
    ("never-refuse", "refusal_suppression", 0.5, "NEG 16 REFUSE*"),
    ("no-warnings", "refusal_suppression", 0.3, "NEG 24 DISCLAIMER*"),
    ("begin-with-yes", "refusal_suppression", 0.6, "BEGINWITH 40 COMPLIANT*"),
    ("must-comply", "refusal_suppression", 0.45, "MUST*"),
    ("fake-system", "delimiter", 0.75, "FAKESYSTEM*"),
    ("fake-turn", "delimiter", 0.7, "TEMPLATE* 40 TEMPLATE"),
    ("fake-turn", "delimiter", 0.45, "TEMPLATE*"),
    ("fake-role", "delimiter", 0.75, "ROLE* 60 YOUARE"),
    ("fake-role", "delimiter", 0.8, "ROLE* 80 OVERRIDE"),
    ("fake-role", "delimiter", 0.4, "ROLE*"),
    ("end-of-prompt", "delimiter", 0.75, "ENDPROMPT* 60 NEWTASK"),
    ("end-of-prompt", "delimiter", 0.45, "ENDPROMPT*"),
    ("send-data", "exfiltration", 0.8, "SEND 60 DATA 60 URL*"),
    ("send-data", "exfiltration", 0.7, "SEND 60 URL* 80 DATA"),
    ("image-with-data", "exfiltration", 0.8, "MDIMAGE* 100 MDLINK 160 SLOT"),
    ("decode-and-do", "encoded_payload", 0.72, "DECODE* 80 EXECUTE"),
    ("told-to-the-model", "indirect", 0.75, "TOAI* 80 ORDER"),
    ("told-to-the-model", "indirect", 0.45, "TOAI*"),
    ("boast", "indirect", 0.6, "INSTEAD 30 PWNED*"),
    ("boast", "indirect", 0.4, "PWNED*"),
    ("override-prior", "instruction_override", 0.75, "NEWTASK* 40 SUPERSEDE"),
    ("override-prior", "instruction_override", 0.7, "SUPERSEDE* 24 PRIOR 24 INSTR"),
    ("override-prior", "instruction_override", 0.6, "SUPERSEDE* 16 ALL 8 PRIOR"),
    ("lawless", "jailbreak", 0.6, "LAWLESS* 30 MORALS"),
    ("anyhow", "jailbreak", 0.55, "ANYHOW*"),
    ("switched-off", "jailbreak", 0.65, "SWITCHEDOFF*"),
    ("unbound", "jailbreak", 0.55, "UNBOUND* 24 UNBOUND"),
    ("unbound", "jailbreak", 0.3, "UNBOUND*"),
    ("pretext", "jailbreak", 0.5, "PRETEXT*"),
    ("persona", "jailbreak", 0.7, "YOUARE 6 PERSONA*"),
    ("despite-own", "instruction_override", 0.72, "DESPITE*"),
    ("instructions-void", "instruction_override", 0.65, "MISTAKEN*"),
    ("system-note", "delimiter", 0.65, "SYSTEMNOTE*"),
    ("end-of-prompt", "delimiter", 0.75, "ENDPROMPT* 30 ROLE"),
    ("two-voices", "jailbreak", 0.4, "TWOVOICES*"),
    ("any-request", "refusal_suppression", 0.5, "OBEY 24 ANYREQUEST*"),
    ("any-request", "refusal_suppression", 0.75, "FROMNOW 80 OBEY 24 ANYREQUEST*"),
    ("any-request", "refusal_suppression", 0.72, "MUST 40 FROMNOW*"),
    ("any-request", "refusal_suppression", 0.72, "FROMNOW* 60 MUST"),
    ("system-prompt", "system_prompt_extraction", 0.65, "INITIAL*"),
    ("system-prompt", "system_prompt_extraction", 0.75, "REVEAL 16 TEXT 16 YOUWERE*"),
    ("system-prompt", "system_prompt_extraction", 0.7, "WHAT 4 YOUWERE* 16 PRIOR"),
    ("system-prompt", "system_prompt_extraction", 0.4, "REVEAL 12 YOUR 16 CONFIG*"),
    ("system-prompt", "system_prompt_extraction", 0.35, "STRONGREVEAL 12 CONFIG*"),
    ("own-prompt", "system_prompt_extraction", 0.45, "OWNPROMPT 4 YOUWERE*"),
    ("repeat-above", "system_prompt_extraction", 0.7, "REPEAT* 24 TEXT 20 PRIOR 12 MSG"),
    ("repeat-above", "system_prompt_extraction", 0.6, "REPEAT* 16 ALL 12 PRIOR 12 MSG"),
    ("from-the-start", "system_prompt_extraction", 0.75, "BEGINNING* 20 YOUAREQUOTED 40 REPEAT"),
    ("if-told", "indirect", 0.6, "IFTOLD* 80 INSTEAD"),
    ("do-first", "indirect", 0.55, "DOFIRST*"),
    ("from-the-user", "indirect", 0.45, "FROMTHEUSER*"),
    ("memory", "indirect", 0.6, "KEEP 60 MEMORY*"),
    ("send-loot", "exfiltration", 0.75, "LOOT 60 HANDOVER 30 ATSOMEONE*"),
    ("send-loot", "exfiltration", 0.75, "HANDOVER 60 LOOT 40 ATSOMEONE*"),
    ("send-loot", "exfiltration", 0.65, "FROMNOW* 30 HANDOVER 24 LOOT"),
    ("tool-call", "indirect", 0.4, "TOOLCALL*"),
)

RULES: tuple[Rule, ...] = tuple(_rule(*row) for row in _ROWS)
