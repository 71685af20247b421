"""Judges whole texts by every policy that concerns them.

All guards look at the original text, side by side; what they found is merged once. Guards that need the text alone are
called in place, for they take microseconds; the others run beside each other, and only if no text is blocked already.
Those of the input may be left to run beside the upstream call as well (`gateway.guards.beside`).
"""

from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

from gateway.guards import merge
from gateway.guards.asking import AT_ONCE, Question, ask_all, bound
from gateway.guards.base import Context, Finding, Guard, Stage, Text
from gateway.guards.beside import Beside, may_wait, too_late
from gateway.guards.cache import Key, VerdictCache
from gateway.guards.policy import Draw, Finder, OnBlock, Policy, Run, begin, by_chance, is_sound
from gateway.guards.vault import Form, Vault
from gateway.guards.verdict import Verdict

SPANS = -1
"""Where in the memory the findings of those guards of a policy stand, all together, that judge at once."""

_PATIENT = 1_000
"""Where in the memory the guards of a patient run (`Run.patient`) begin, which are divided otherwise."""

__all__ = ["OnBlock", "Outcome", "Policy", "judge"]


class Outcome(NamedTuple):
    """What became of the texts. `texts` are rewritten, in the order given; empty when `blocked`, for nothing may pass.

    `verdicts` has one of each policy that matched, in the order given. `beside` are guards that have not been asked yet
    and may be asked while the texts are on their way; None when there are none.
    """

    texts: tuple[Text, ...]
    verdicts: tuple[Verdict, ...]
    blocked: Verdict | None = None
    changed: bool = False
    beside: Beside | None = None


async def judge(
    policies: Sequence[Policy],
    texts: Sequence[Text],
    context: Context,
    *,
    vault: Vault | None = None,
    cache: VerdictCache | None = None,
    draw: Draw = by_chance,
    beside: bool = False,
) -> Outcome:
    """Judge `texts`, whose paths differ, and rewrite them as the enforced policies say.

    Args:
        vault: the request's; on input its placeholders are numbered through all texts, on output each text has its own
            numbers after those of the input (`Vault.branch`).
        cache: findings of texts seen before, of all span guards and of others that are `gateway.guards.base.Pure`.
        draw: decides which requests a policy with a `sample` looks at.
        beside: leave those guards for later that may be asked beside the call (`Outcome.beside`); the caller holds the
            answer until they have judged.
    """
    runs = begin(policies, context, draw)
    if sum([len(text.value) for text in texts]) > AT_ONCE:
        for run in runs:
            run.patient = True
    memory = _Memory(cache, context.stage, texts) if cache is not None and runs else None
    later: Beside | None = None
    waiting = blocked = False
    for run in runs:
        if run.live:
            waiting = waiting or bool(run.late)
            if run.at_once:
                _spans(run, texts, memory)
        blocked = blocked or run.blocks
    if waiting:
        later = await _others(runs, texts, context, memory, blocked=blocked, beside=beside)
    verdicts = tuple([run.verdict(context.stage) for run in runs])
    for verdict in verdicts:
        if verdict.enforced and verdict.decision == "block":
            return Outcome((), verdicts, verdict)
    return _rewritten(runs, texts, context, vault, verdicts, later)


class _Memory:
    """The verdict cache, as one judgement sees it: each text is hashed once."""

    __slots__ = ("_cache", "_digests", "_stage")

    def __init__(self, cache: VerdictCache, stage: Stage, texts: Sequence[Text]) -> None:
        self._cache = cache
        self._stage = stage
        self._digests = {text.path: cache.digest(text.value) for text in texts}

    def get(self, run: Run, guard: int, path: str) -> list[Finding] | None:
        """What is remembered of a text of these; None for nothing."""
        return self._cache.get(self._key(run, guard, path), path)

    def put(self, run: Run, guard: int, path: str, found: Sequence[Finding]) -> None:
        self._cache.put(self._key(run, guard, path), found)

    def _key(self, run: Run, guard: int, path: str) -> Key:
        number = guard + _PATIENT if run.patient else guard
        return run.policy.name, run.policy.version, self._stage, number, self._digests[path]


def _spans(run: Run, texts: Sequence[Text], memory: _Memory | None) -> None:
    """Ask those guards of a policy that judge at once about every text, or the memory."""
    began = perf_counter()
    known = 0
    for text in texts:
        found = memory.get(run, SPANS, text.path) if memory is not None else None
        if found is not None:
            known += 1
        else:
            found = _found(run, run.at_once, text)
            if memory is not None and not run.failed:
                memory.put(run, SPANS, text.path, found)
        if found:
            run.found += found
    run.cached = known == len(texts) and not run.late
    run.duration += perf_counter() - began


def _found(run: Run, guards: Sequence[Finder], text: Text) -> list[Finding]:
    everything: list[Finding] = []
    for guard in guards:
        try:
            found = guard.find(text.value, text.path)
            if is_sound(found, text.path, len(text.value)):
                everything += found
            else:
                run.fail("error", f"{guard.name}: nonsense")
        except Exception as error:  # the verdict tells it, and on_error says what follows
            run.fail("error", f"{guard.name}: {type(error).__name__}")
    return everything


async def _others(
    runs: Sequence[Run],
    texts: Sequence[Text],
    context: Context,
    memory: _Memory | None,
    *,
    blocked: bool,
    beside: bool,
) -> Beside | None:
    """Ask the guards that are waited for, but for what is remembered; none of them when a text is blocked already.

    Those that may be asked beside the call are given back instead, if `beside` says so and no text is blocked.
    """
    now: list[Question] = []
    later: list[Question] = []
    for run in runs:
        if run.status == "skipped" or not run.late:
            continue
        if blocked:
            run.fail("skipped")
            continue
        questions = _questions(run, texts, context, memory)
        run.cached = not questions and not run.at_once
        for question in questions:
            waits = beside and may_wait(run.policy, question.guard, context)
            (later if waits else now).append(question)
    if now:
        for question, found in zip(now, await ask_all(now, context), strict=True):
            if found is not None:
                _note(question, found, context, memory)
    if not later:
        return None
    if any(run.blocks for run in runs):
        for question in later:
            question.run.fail("skipped")
        return None
    return Beside(runs, later, context, lambda question, found: _note(question, found, context, memory))


def _questions(run: Run, texts: Sequence[Text], context: Context, memory: _Memory | None) -> list[Question]:
    """Whom to ask for one policy about what is not remembered."""
    questions: list[Question] = []
    for number, guard in enumerate(run.late):
        guard = bound(guard, context)
        unknown: Sequence[Text] = texts
        if memory is not None and getattr(guard, "pure", False) is True:
            unknown = _recalled(run, number, guard, texts, context, memory)
        if unknown:
            questions.append(Question(run, guard, unknown, number))
    return questions


def _note(question: Question, found: list[Finding], context: Context, memory: _Memory | None) -> None:
    """Take what a guard found into its policy's record, and remember it."""
    run, guard = question.run, question.guard
    run.found += too_late(found) if may_wait(run.policy, guard, context) else found
    if memory is not None and getattr(guard, "pure", False) is True:
        for text in question.texts:
            here = [finding for finding in found if finding.path == text.path]
            memory.put(run, question.number, text.path, here)


def _recalled(
    run: Run, number: int, guard: Guard, texts: Sequence[Text], context: Context, memory: _Memory
) -> list[Text]:
    """The texts about which nothing is remembered; what is remembered of the others goes into the record."""
    unknown: list[Text] = []
    for text in texts:
        found = memory.get(run, number, text.path)
        if found is None:
            unknown.append(text)
        elif found:
            run.found += too_late(found) if may_wait(run.policy, guard, context) else found
    return unknown


def _rewritten(
    runs: Sequence[Run],
    texts: Sequence[Text],
    context: Context,
    vault: Vault | None,
    verdicts: tuple[Verdict, ...],
    later: Beside | None,
) -> Outcome:
    """The texts after what the enforced policies found in them."""
    by_path: dict[str, list[tuple[Finding, Form]]] = {}
    for run in runs:
        if run.found and run.policy.enforced:
            for finding in run.found:
                if finding.action in merge.CHANGES:
                    by_path.setdefault(finding.path, []).append((finding, run.policy.form(finding.guard)))
    if not by_path:
        return Outcome(tuple(texts), verdicts, beside=later)
    vault = vault if vault is not None else Vault()
    if context.stage == "input":
        vault.avoid([text.value for text in texts])
    rewritten: list[Text] = []
    for text in texts:
        here = by_path.get(text.path)
        if here:
            into = vault if context.stage == "input" else vault.branch()
            text = Text(text.path, merge.apply(text.value, merge.edits(here, len(text.value)), into))
        rewritten.append(text)
    return Outcome(tuple(rewritten), verdicts, changed=True, beside=later)
