"""What ``qanat call`` does: a call of two, or a conference, told to people or as JSON."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from qanat.adapters.media_devices import find_devices
from qanat.apps.cli.presentation import counted
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.cli.service_place import (
    people_of,
    print_json,
    print_report,
    stopped_by_signals,
    tell,
    tell_waits,
    terms_of,
)
from qanat.ground.errors import BadParameter
from qanat.services.call import LOST_S, SILENCE_TOLD_S, CallReport, MediumReport
from qanat.services.conference import GONE, ConferenceReport
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia


def run_call(
    recipients: Sequence[str], *, who: Who, sealing: Sealing, media: CallMedia, seconds_s: float | None, as_json: bool
) -> int:
    """Call one, or several together, for some time or until Ctrl-C or until the others hang up; 0 after a call.

    NOT_DONE where nothing came of one of them, or nothing any more when it ended, or it heard nothing of this end, or
    did not say that it knows of the end, and where one who was called is not in a conference at its end, and did not
    leave of its own.
    """
    if not recipients:
        raise BadParameter("nobody is called", remedy="name a contact, or several, or a group")
    people = people_of(who)
    named = Counter(one.name for name in recipients for one in people.members(name))
    is_conference = len(named) > 1
    for name in (name for name, times in named.items() if times > 1):
        tell(f"{name} is named more than once, and called once")

    async def work() -> CallReport | ConferenceReport:
        stop = stopped_by_signals()
        async with UserServices(people, terms=terms_of(sealing)) as user:
            tell_waits(user)
            if is_conference:
                return await user.confer(recipients, media, seconds_s=seconds_s, stop=stop, say=tell)
            return await user.call(recipients[0], media, seconds_s=seconds_s, stop=stop, say=tell)

    report = asyncio.run(work())
    if isinstance(report, ConferenceReport):
        say_conference(report)
    else:
        say_call(report)
    if as_json:
        told = {"cipher": sealing.cipher, "conference" if is_conference else "call": asdict(report)}
        status = print_report(told, done="the call was held")
        return NOT_DONE if is_dead(report) else status
    return NOT_DONE if is_dead(report) else 0


def run_devices(*, as_json: bool) -> int:
    """Tell the devices that calls can use; 0."""
    found = find_devices()
    if as_json:
        print_json({"devices": [asdict(one) for one in found]})
        return 0
    for one in found:
        print(f"{one.kind:<12} {one.word:<40} {one.description}".rstrip())
    if not found:
        tell("no camera, microphone or speaker is listed here; files, 'test' and 'none' go everywhere")
    return 0


NOT_DONE = 2
CONFERENCE_ENDINGS = {
    "unsaid": "the line to {peer} closed without a last word: its program was ended, or the line broke",
    "silent": f"no sign of life of {{peer}} for {LOST_S:g} s, neither a datagram nor a word on its line",
}
"""Of the caller, at a member."""
ENDINGS = {
    "unsaid": " (the other end's line closed without a last word: its program was ended, or the line broke)",
    "silent": f" (ended here: no sign of life of {{peer}} for {LOST_S:g} s, neither a datagram nor a word on its line)",
    "unheard": f" (ended by {{peer}}, which had no sign of life from here for {LOST_S:g} s)",
}


def is_dead(report: CallReport | ConferenceReport) -> bool:
    """Return whether nothing came in a call, or nothing any more when it ended; of a conference, whether that was so of
    one of the others when it was in it last, or one is not in it at its end and has not left. At a member those do not
    count that went before the end: the caller has told of them."""
    if isinstance(report, CallReport):
        return report.is_dead
    seen = [one for one in _last_of_each(report) if not (report.caller and one.ended in GONE)]
    return any(one.is_dead for one in seen) or not all(one.has_left for one in report.absent)


def _last_of_each(report: ConferenceReport) -> list[CallReport]:
    """Return what was seen of each member when it was in the conference last, and for long enough to tell."""
    telling = [one for one in report.members if one.datagrams_opened or one.nothing_came or one.ended_badly]
    return list({one.peer: one for one in telling}.values())


def say_call(report: CallReport, say: Callable[[str], None] = tell) -> None:
    """Tell what one end of a call saw; raises what ``say`` raises."""
    ending = ENDINGS.get(report.ended, "").format(peer=report.peer)
    say(f"call with {report.peer}, {report.duration_s:.1f} s{ending}; {_seen(report)}")
    _say_refused(report.refused, say)
    if report.recording is not None:
        say(f"recorded in {report.recording}")
    _say_dead(report, say)


def _say_dead(report: CallReport, say: Callable[[str], None], *, of: str = "call", caller: str = "") -> None:
    """Tell what kept a call from getting through, where something did, and what to do; ``caller``: of a conference, at
    its members."""
    peer = report.peer
    if of != "call" and report.ended in CONFERENCE_ENDINGS:
        say(f"the {of} ended here: {CONFERENCE_ENDINGS[report.ended].format(peer=peer)}")
    if report.ended == "unanswered":
        say(f"{peer} has not said that it knows of the end: it may not have heard it; its losses are not known")
    if report.nothing_came and not report.keys_received:
        say(f"nothing of the {of} came from {peer}, of which no key came here: see that key can be had between the two")
    elif report.nothing_came:
        say(
            f"nothing of the {of} came from {peer}: let UDP through between the two (each {of} has ports of its own), "
            "and see that the address is right"
        )
    elif report.ended == "silent":
        again = "; then call again" if of == "call" else ""
        say(f"{peer} is silent: see that its program runs, and the network in between{again}")
    elif report.ended == "unheard":
        if of != "call":
            taken = f"took it out of the {of}" if peer == caller else f"left the {of}, as it took this end for gone"
            say(f"{peer} had heard nothing of this end for {report.unheard_s:.1f} s, and {taken}")
        again = f"; {peer} calls again while the {of} lasts" if peer == caller else "; then call again"
        say(f"this program stood still, or nothing of it got through: see to that, and to the network{again}")
    elif report.fell_silent:
        say(f"nothing of the {of} came from {peer} any more: see that UDP still goes through between the two")
    if report.unheard_s > SILENCE_TOLD_S and (report.nothing_came or report.ended != "unheard"):
        say(
            f"{peer} had heard nothing of this end for {report.unheard_s:.1f} s when the {of} ended: let UDP through "
            "between the two"
        )


def say_conference(report: ConferenceReport, say: Callable[[str], None] = tell) -> None:
    """Tell what one end of a conference saw: of each other member, then of all; raises what ``say`` raises."""
    for one in report.members:
        how = f" ({GONE[one.ended]})" if one.ended in GONE else ""
        say(f"{one.peer}, in the conference for {one.duration_s:.1f} s{how}; {_seen(one, is_member=True)}")
        _say_refused(one.refused, say, origin=f" from {one.peer}")
        if one.recording is not None:
            say(f"{one.peer} is recorded in {one.recording}")
    for one in _last_of_each(report):
        _say_dead(one, say, of="conference", caller=report.caller)
    for absence in report.absent:
        say(f"{absence.name} was not in the conference at its end: {absence.reason}")
    say(
        f"conference of {report.duration_s:.1f} s, {counted(report.rounds, 'round')}; sealed here under "
        f"{counted(report.keys_sent, 'key')} of all members, and {counted(report.tag_keys, 'key')} of two for tags"
    )
    _say_refused(report.refused, say, origin=" from who is no member")
    if report.mix is not None:
        say(f"the sound of all is in {report.mix}")


def _seen(report: CallReport, *, is_member: bool = False) -> str:
    """Return what came of one other and went to it: frames, datagrams that the line lost, keys, delay. ``is_member``:
    of a conference, in which nothing but a last word tells how many it sent before the first that came."""

    def of(name: str, medium: MediumReport) -> str:
        lacking = f" ({medium.lacking:,} left out, as the one before was lost)" if medium.lacking else ""
        shown = f"{medium.decoded:,} of {medium.received:,} shown{lacking}, {medium.lost:,} lost"
        return f"{name}: {counted(medium.sent, 'frame')} sent, {'none came' if is_loss_unknown else shown}"

    is_loss_unknown = not report.losses_known and not report.datagrams_opened
    lost = f"{counted(report.datagrams_missing, 'datagram')} lost on the way here ({100 * report.share_missing:.1f} %)"
    if is_loss_unknown:
        lost = "how many datagrams were lost on the way here is not known, as none came"
    silence = f", and nothing at all in its last {report.silent_s:.1f} s" if report.fell_silent else ""
    if is_member and not report.losses_known and not is_loss_unknown:
        silence += "; how many before the first that came, and after the last, is not known, as no last word told"
    elif not report.losses_known and not is_loss_unknown and (report.ended not in ("", "unheard") or silence):
        last = "these" if silence else f"its last {report.silent_s:.1f} s"
        silence += f"; how many in {last} is not known, as no last word told"
    return (
        f"{of('audio', report.audio)}; {of('video', report.video)}; "
        f"{lost}{silence}; "
        f"{counted(report.keys_sent, 'key')} out, {report.keys_received} in; "
        f"delay {report.delay_median_ms:.1f} ms (median), {report.delay_p99_ms:.1f} ms (99 %)"
    )


def _say_refused(refused: Mapping[str, int], say: Callable[[str], None], *, origin: str = "") -> None:
    """``origin``: whose datagrams they were, where several could have sent them."""
    if refused:
        say(f"not accepted{origin}: " + ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items())))
