"""Our extensions of "get key": what each is called, what makes its value readable, and what it asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from qanat.doors.etsi014.messages import EXTENSION_PREFIX
from qanat.ground.errors import BadParameter, RequirementUnmet
from qanat.ground.identifiers import EventId, NodeId, RequestId, canonical_key_id
from qanat.ground.keys import SecretKey
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import MEASURES, RoutePolicy

MANDATORY_UNKNOWN = "not all extension_mandatory parameters are supported"
MANDATORY_UNMET = "not all extension_mandatory request options could be met"
OPTIONAL_UNHANDLED = "not all extension_optional request options handled"
"""These three texts are the standard's own (clause 5.3, table of status codes); clients compare them."""

CAUSE, REQUEST, PATIENCE, DETAILS, NONCE, MAX_AGE, MAX_HOPS, MULTIPATH, FAR_SIDE, PRIORITY = (
    EXTENSION_PREFIX + name
    for name in (
        *("cause", "request", "patience_s", "details", "nonce"),
        *("max_age_s", "max_hops", "multipath", "far_side_ready", "priority"),
    )
)
AVOID, DOMESTIC, DIRECT, ROUTE = (
    EXTENSION_PREFIX + name for name in ("avoid", "domestic_only", "direct_only", "route")
)
_NONCE = re.compile(r"[A-Za-z0-9._~-]{8,64}")
MOST_S = 1e9
MAX_PRIORITY = 9
MAX_AVOIDED = 64
"""So many sites may be named; each costs a search when none of the ways goes round them."""
MAX_SITE_CHARACTERS = 64
ANY = Requirements()


class OddValue(BadParameter):
    """A value of an extension of ours makes no sense. ``message`` is the standard's text, and stands alone there; what
    the value is to be is the remedy, which whoever used ours is told beside it."""


Extensions = Sequence[Mapping[str, JsonValue]] | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What our extensions ask for. ``told`` is True when the caller used any: only then are ours answered.

    ``require`` is what the keys must fulfil, ``prefer`` what they need not when they cannot. ``priority`` is that of
    this call among others where key is short; ``must_priority``: it is not to be served at a lower one.
    """

    cause: EventId | None = None
    request_id: RequestId | None = None
    patience_s: float | None = None
    nonce: str | None = None
    require: Requirements = ANY
    prefer: Requirements = ANY
    priority: int | None = None
    must_priority: bool = False
    told: bool = False

    def priority_within(self, most: int) -> int | None:
        """Return the priority that this call gets of an application that may have ``most``; None: the application's.

        Raises RequirementUnmet where a higher one is required.
        """
        if self.must_priority and self.priority is not None and self.priority > most:
            raise RequirementUnmet(
                f"priority {self.priority} is above this application's, {most}", remedy="ask for less"
            )
        return None if self.priority is None else min(self.priority, most)

    def unmet_by(self, keys: Sequence[SecretKey], *, of_way: Sequence[str] = ()) -> list[str]:
        """Return the names of what was preferred, and what these keys do not fulfil.

        ``of_way``: what the key manager says of sites on their way, which it alone knows, by names without prefix.
        """
        most, several = self.prefer.max_hops, any(_num_ways(key) < self.prefer.disjoint_routes for key in keys)
        is_far = most is not None and any(len(key.route) - 1 > most for key in keys)
        unmet = [name for name, is_unmet in ((MULTIPATH, several), (MAX_HOPS, is_far)) if is_unmet]
        return unmet + [EXTENSION_PREFIX + name for name in of_way]


NO_WISHES = Wishes()


def _num_ways(key: SecretKey) -> float:
    """Return over how many ways a key came: as many as one likes, when it never left its node."""
    if len(key.route) < 2:
        return math.inf
    return len(key.full_record.routes) if key.full_record is not None else 1


def wishes_of(mandatory: Extensions, optional: Extensions) -> Wishes:
    """Return what our extensions say. A mandatory one that is not ours, or not as it should be, is refused."""
    if not mandatory and not optional:
        return NO_WISHES
    must = _named(mandatory)
    may = {name: value for name, value in _named(optional).items() if name in READERS}
    if not must.keys() <= READERS.keys():
        raise BadParameter(MANDATORY_UNKNOWN)
    _require_readable(must, MANDATORY_UNMET)
    _require_readable(may, OPTIONAL_UNHANDLED)
    given = may | must
    cause, request_id, patience = given.get(CAUSE), given.get(REQUEST), given.get(PATIENCE)
    return Wishes(
        cause=EventId(cause) if isinstance(cause, str) else None,
        request_id=RequestId(request_id) if isinstance(request_id, str) else None,
        patience_s=float(patience) if isinstance(patience, (int, float)) else None,
        nonce=nonce_in(given),
        require=_requirements(must),
        prefer=_requirements(may),
        priority=priority if isinstance(priority := given.get(PRIORITY), int) else None,
        must_priority=PRIORITY in must,
        told=bool(given),
    )


def nonce_in(extension: Mapping[str, JsonValue]) -> str | None:
    """Return the nonce among extensions; raises BadParameter for one that is none."""
    nonce = extension.get(NONCE)
    if nonce is None:
        return None
    if not _is_nonce(nonce):
        raise BadParameter(f"{NONCE} is no nonce", remedy="give 8 to 64 letters, digits and . _ ~ -")
    return str(nonce)


def _named(extensions: Extensions) -> dict[str, JsonValue]:
    pairs = [pair for extension in extensions or () for pair in extension.items()]
    if len({name for name, _ in pairs if name in READERS}) < sum(name in READERS for name, _ in pairs):
        raise BadParameter("an extension is given more than once", remedy="give it once")
    return dict(pairs)


def _requirements(given: Mapping[str, JsonValue]) -> Requirements:
    age, hops, paths = given.get(MAX_AGE), given.get(MAX_HOPS), given.get(MULTIPATH)
    return Requirements(
        max_age_s=float(age) if isinstance(age, (int, float)) else None,
        max_hops=hops if isinstance(hops, int) else None,
        disjoint_routes=paths if isinstance(paths, int) else 1,
        far_side_ready=FAR_SIDE in given,
        policy=_policy(given),
        measure=next((measure for measure in MEASURES if measure == given.get(ROUTE)), None),
    )


def _policy(given: Mapping[str, JsonValue]) -> RoutePolicy:
    avoided = given.get(AVOID)
    sites = frozenset(map(NodeId, map(str, avoided))) if isinstance(avoided, list) else frozenset[NodeId]()
    return RoutePolicy(sites, domestic_only=DOMESTIC in given, direct_only=DIRECT in given)


def _require_readable(given: Mapping[str, JsonValue], refusal: str) -> None:
    if odd := [name for name, value in given.items() if not READERS[name](value)]:
        raise OddValue(refusal, remedy="; ".join(f"{name} is {VALUES[name]}" for name in odd))


def _is_uuid(value: JsonValue) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return canonical_key_id(value) == value
    except BadParameter:
        return False


def _is_nonce(value: JsonValue) -> bool:
    return isinstance(value, str) and _NONCE.fullmatch(value) is not None


def _is_list_of_sites(value: JsonValue) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_AVOIDED:
        return False
    return all(isinstance(name, str) and 1 <= len(name) <= MAX_SITE_CHARACTERS for name in value)


def _is_measure(value: JsonValue) -> bool:
    return value in MEASURES


def _is_true(value: JsonValue) -> bool:
    return value is True


def _number(least: float, most: float) -> Callable[[JsonValue], bool]:
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _whole(least: int, most: int) -> Callable[[JsonValue], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


READERS: Mapping[str, Callable[[JsonValue], bool]] = {
    CAUSE: _is_uuid,
    REQUEST: _is_uuid,
    PATIENCE: _number(0, 86_400),
    DETAILS: _is_true,
    NONCE: _is_nonce,
    MAX_AGE: _number(1, MOST_S),
    MAX_HOPS: _whole(1, 1_000_000),
    MULTIPATH: _whole(2, 64),
    FAR_SIDE: _is_true,
    PRIORITY: _whole(0, MAX_PRIORITY),
    AVOID: _is_list_of_sites,
    DOMESTIC: _is_true,
    DIRECT: _is_true,
    ROUTE: _is_measure,
}
"""Our extensions of "get key" and what makes a value readable."""
VALUES: Mapping[str, str] = {
    CAUSE: "a UUID, of the event that led to this call",
    REQUEST: "a UUID",
    PATIENCE: "a number of seconds, 0 to 86400",
    DETAILS: "true, or left out",
    NONCE: "8 to 64 letters, digits and . _ ~ -",
    MAX_AGE: "a number of seconds from 1",
    MAX_HOPS: "a whole number from 1",
    MULTIPATH: "a whole number from 2, of routes without a common relay",
    FAR_SIDE: "true, or left out",
    PRIORITY: f"a whole number, 0 to {MAX_PRIORITY}",
    AVOID: f"a list of 1 to {MAX_AVOIDED} names of sites",
    DOMESTIC: "true, or left out",
    DIRECT: "true, or left out",
    ROUTE: ", ".join(MEASURES[:-1]) + f" or {MEASURES[-1]}",
}
"""What each value is to be, for people."""
