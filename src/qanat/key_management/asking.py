"""Asking the controller for ways that the table of routes does not tell: that avoid sites, or are best by a measure.

Its answer holds while the table of routes that it had is in force; how old link key is changes sooner. While it does
not answer, keys go the ways of the last table, and of earlier answers, that are as they should be. Whoever says which
way: each is looked at by the description of the network before a key goes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import CONTROLLER, NodeId, Topic
from qanat.ground.route_policy import ANY_ROUTE, Measure, RoutePolicy
from qanat.key_management.context import Context
from qanat.key_management.memory import forget_oldest
from qanat.key_management.obstacles import is_way
from qanat.key_management.wire import RouteAnswer, RouteQuestion, Routes

AGES_HOLD_S = 5.0
"""So long the freshest way is taken to be it: links tell how old their key is as seldom as that."""
ASK_AGAIN_S = 0.25
PATIENCE_S = 1.5
"""So long, and no longer than the caller has, an answer is waited for."""
SILENCE_S = 5.0
"""A controller that did not answer is not waited for again before this time has passed."""
ANSWERS_KEPT = 1024
ANSWERED = Topic("routes/answered")


@dataclass(frozen=True, slots=True)
class ToldWays:
    """Ways that are as they were asked for, the best first; ``disjoint`` and ``cut`` of them as in ``RouteChoices``.

    ``is_best``: the first is known to be the best by the measure.
    """

    ways: Routes
    disjoint: Routes = ()
    cut: tuple[NodeId, ...] = ()
    is_best: bool = True


NOTHING_TOLD: Mapping[NodeId, ToldWays] = MappingProxyType({})


class WaysUnknown(KeyShortage):
    """The controller alone could tell a way, and it does not answer. Stays inside this room."""

    @property
    def told(self) -> KeyShortage:
        """What the caller hears."""
        return KeyShortage(self.message, remedy=self.remedy, retry_after_s=self.retry_after_s)


@dataclass(slots=True)
class _Kept:
    answer: RouteAnswer
    heard_monotonic_s: float


@dataclass(slots=True)
class RouteDesk:
    """What one node has asked its controller, and was told."""

    _context: Context
    _answers: dict[RouteQuestion, _Kept] = field(default_factory=dict)
    _silent_until_s: float = float("-inf")

    async def ask(self, target: NodeId, policy: RoutePolicy, measure: Measure | None, deadline: Deadline) -> ToldWays:
        """Return the ways to ``target`` that a policy allows, the best by the measure (the widest, where none matters)
        first; raises WaysUnknown where none is known, NoRoute where nothing leads there."""
        question = question_of(target, policy, measure)
        if not self._holds(question):
            await self._ask(question, deadline)
        told = self._told(question, policy) if self._holds(question) else self._from_table(question, policy)
        if not told.ways:
            raise self._unknown(question)
        return told

    def best(self, target: NodeId, policy: RoutePolicy, measure: Measure) -> tuple[NodeId, ...] | None:
        """Return the best way as it was told last; None where none was."""
        kept = self._answers.get(question_of(target, policy, measure))
        return kept.answer.ways[0] if kept is not None and kept.answer.ways else None

    def on_answer(self, word: RouteAnswer) -> None:
        """Keep what the controller tells, and wake who waits for it."""
        self._silent_until_s = float("-inf")
        self._answers.pop(word.question, None)
        self._answers[word.question] = _Kept(word, self._context.clock.monotonic_s())
        forget_oldest(self._answers, keep=ANSWERS_KEPT)
        self._context.tasks.notify(ANSWERED)

    # --- inside ---

    def _holds(self, question: RouteQuestion) -> bool:
        """Return whether there is an answer that is as new as the table in force."""
        if (kept := self._answers.get(question)) is None:
            return False
        age_s = self._context.clock.monotonic_s() - kept.heard_monotonic_s
        if question.measure == "freshest" and age_s > AGES_HOLD_S:
            return False
        return (kept.answer.table_epoch, kept.answer.table_version) >= self._context.routes.stamp

    async def _ask(self, question: RouteQuestion, deadline: Deadline) -> None:
        """Ask, again and again, until there is an answer or it is too late for one."""
        context = self._context
        now_s = context.clock.monotonic_s()
        until_s = min(deadline.monotonic_s, now_s + PATIENCE_S) if now_s >= self._silent_until_s else now_s
        while not self._holds(question):
            await context.courier.send(CONTROLLER, question)
            again_s = min(until_s, context.clock.monotonic_s() + ASK_AGAIN_S)
            while not self._holds(question) and await context.tasks.wait(ANSWERED, until_monotonic_s=again_s):
                pass  # it may have been the answer to another question
            if context.clock.monotonic_s() >= until_s:
                break
        if not self._holds(question) and until_s > now_s:
            self._silent_until_s = context.clock.monotonic_s() + SILENCE_S

    def _told(self, question: RouteQuestion, policy: RoutePolicy) -> ToldWays:
        answer = self._answers[question].answer
        ways, disjoint = (self._checked(some, question.target, policy) for some in (answer.ways, answer.disjoint))
        return ToldWays(ways, disjoint, answer.cut, is_best=ways[:1] == answer.ways[:1])

    def _from_table(self, question: RouteQuestion, policy: RoutePolicy) -> ToldWays:
        """Return the ways that were told before, for whatever reason, and are allowed."""
        routes, target = self._context.routes, question.target
        kept = self._answers.get(question)
        earlier, apart = (kept.answer.ways, kept.answer.disjoint) if kept is not None else ((), ())
        table = routes.ways(target)
        ways = self._checked(tuple(dict.fromkeys((*earlier, *table))), target, policy)
        disjoint = max(apart, self._checked(routes.choices(target).disjoint, target, policy), key=len)
        is_best = question.measure == "widest" and policy == ANY_ROUTE and not earlier
        return ToldWays(ways, self._checked(disjoint, target, policy), is_best=is_best)

    def _checked(self, ways: Routes, target: NodeId, policy: RoutePolicy) -> Routes:
        network, here = self._context.network, self._context.node
        return tuple(
            way for way in ways if way[:1] == (here,) and way[-1:] == (target,) and is_way(network, way, policy)
        )

    def _unknown(self, question: RouteQuestion) -> WaysUnknown:
        context, kept = self._context, self._answers.get(question)
        if kept is not None and self._holds(question):
            who, remedy = "the controller knows none", "give all sites and the controller the same network file"
        else:
            who, remedy = "the controller, which would know, does not answer", "bring the controller up again"
        return WaysUnknown(
            f"of the ways from {context.node!r} to {question.target!r} that are known here none is as it was asked to"
            f" be; {who}",
            remedy=f"{remedy}; ask again in a moment",
            retry_after_s=context.settings.wait_s,
        )


def question_of(target: NodeId, policy: RoutePolicy, measure: Measure | None) -> RouteQuestion:
    """Return the one spelling of a question: the same is asked, and answered, once."""
    avoid = tuple(sorted(policy.avoid))
    return RouteQuestion(target, avoid, policy.domestic_only, policy.direct_only, measure or "widest")
