"""Judges whole texts by every policy that concerns them.

All guards look at the original text, side by side; what they found is merged once. Guards that need the text alone are
called in place, for they take microseconds; the others run beside each other, and only if no text is blocked already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from gateway.guards import merge
from gateway.guards.asking import Question, ask_all
from gateway.guards.base import Context, Finding, SpanGuard, Stage, Text
from gateway.guards.cache import VerdictCache
from gateway.guards.policy import Draw, OnBlock, Policy, Run, begin, by_chance, is_sound
from gateway.guards.vault import Form, Vault
from gateway.guards.verdict import Verdict

SPANS = -1
"""Where in the memory the findings of a policy's span guards stand, all together."""

__all__ = ["OnBlock", "Outcome", "Policy", "judge"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the texts. `texts` are rewritten, in the order given; empty when `blocked`, for nothing may pass.

    `verdicts` has one of each policy that matched, in the order given.
    """

    texts: tuple[Text, ...]
    verdicts: tuple[Verdict, ...]
    blocked: Verdict | None = None
    changed: bool = False


async def judge(
    policies: Sequence[Policy],
    texts: Sequence[Text],
    context: Context,
    *,
    vault: Vault | None = None,
    cache: VerdictCache | None = None,
    draw: Draw = by_chance,
) -> Outcome:
    """Judge `texts`, whose paths differ, and rewrite them as the enforced policies say.

    Args:
        vault: the request's; on input its placeholders are numbered through all texts, on output each text has its own
            numbers after those of the input (`Vault.branch`).
        cache: findings of texts seen before. Of the guards that are waited for, only those are remembered that say of
            themselves, by an attribute `pure` that is True, that what they find hangs on the one text alone.
        draw: decides which requests a policy with a `sample` looks at.
    """
    runs = begin(policies, context, draw)
    memory = _Memory(cache, context.stage, texts) if cache is not None and runs else None
    waited_for = False
    for run in runs:
        if run.live:
            waited_for = waited_for or bool(run.policy.asked)
            if run.policy.spans:
                _spans(run, texts, memory)
    if waited_for:
        await _others(runs, texts, context, memory)
    verdicts = tuple([run.verdict(context.stage) for run in runs])
    for verdict in verdicts:
        if verdict.enforced and verdict.decision == "block":
            return Outcome((), verdicts, verdict)
    return _rewritten(runs, texts, context, vault, verdicts)


class _Memory:
    """The verdict cache, as one judgement sees it: each text is hashed once."""

    __slots__ = ("_cache", "_digests", "_stage")

    def __init__(self, cache: VerdictCache, stage: Stage, texts: Sequence[Text]) -> None:
        self._cache = cache
        self._stage = stage
        self._digests = {text.path: cache.digest(text.value) for text in texts}

    def get(self, policy: Policy, guard: int, path: str) -> list[Finding] | None:
        return self._cache.get((policy.name, policy.version, self._stage, guard, self._digests[path]), path)

    def put(self, policy: Policy, guard: int, path: str, found: Sequence[Finding]) -> None:
        self._cache.put((policy.name, policy.version, self._stage, guard, self._digests[path]), found)


def _spans(run: Run, texts: Sequence[Text], memory: _Memory | None) -> None:
    """Ask a policy's span guards about every text, or the memory."""
    began = perf_counter()
    policy = run.policy
    known = 0
    for text in texts:
        found = memory.get(policy, SPANS, text.path) if memory is not None else None
        if found is not None:
            known += 1
        else:
            found = _found(run, policy.spans, text)
            if memory is not None and not run.failed:
                memory.put(policy, SPANS, text.path, found)
        if found:
            run.found += found
    run.cached = known == len(texts) and not policy.asked
    run.duration += perf_counter() - began


def _found(run: Run, guards: Sequence[SpanGuard], text: Text) -> list[Finding]:
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


async def _others(runs: Sequence[Run], texts: Sequence[Text], context: Context, memory: _Memory | None) -> None:
    """Ask the guards that are waited for, but for what is remembered; none of them when a text is blocked already."""
    blocked = any(run.blocks for run in runs)
    questions: list[tuple[int, Question]] = []
    for run in runs:
        if run.status == "skipped" or not run.policy.asked:
            continue
        if blocked:
            run.fail("skipped")
            continue
        begun = len(questions)
        for number, guard in enumerate(run.policy.asked):
            unknown = list(texts)
            if memory is not None and getattr(guard, "pure", False) is True:
                unknown = _recalled(run, number, texts, memory)
            if unknown:
                questions.append((number, Question(run, guard, unknown)))
        run.cached = len(questions) == begun and not run.policy.spans
    answers = await ask_all([question for _, question in questions], context)
    for (number, question), found in zip(questions, answers, strict=True):
        if found is None:
            continue
        question.run.found += found
        if memory is not None and getattr(question.guard, "pure", False) is True:
            for text in question.texts:
                here = [finding for finding in found if finding.path == text.path]
                memory.put(question.run.policy, number, text.path, here)


def _recalled(run: Run, number: int, texts: Sequence[Text], memory: _Memory) -> list[Text]:
    """The texts about which nothing is remembered; what is remembered of the others goes into the record."""
    unknown: list[Text] = []
    for text in texts:
        found = memory.get(run.policy, number, text.path)
        if found is None:
            unknown.append(text)
        else:
            run.found += found
    return unknown


def _rewritten(
    runs: Sequence[Run],
    texts: Sequence[Text],
    context: Context,
    vault: Vault | None,
    verdicts: tuple[Verdict, ...],
) -> Outcome:
    """The texts after what the enforced policies found in them."""
    by_path: dict[str, list[tuple[Finding, Form]]] = {}
    for run in runs:
        if run.found and run.policy.enforced:
            for finding in run.found:
                if finding.action in merge.CHANGES:
                    by_path.setdefault(finding.path, []).append((finding, run.policy.form(finding.guard)))
    if not by_path:
        return Outcome(tuple(texts), verdicts)
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
    return Outcome(tuple(rewritten), verdicts, changed=True)
