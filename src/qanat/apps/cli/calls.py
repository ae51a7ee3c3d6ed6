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
from qanat.services.call import CallReport, MediumReport
from qanat.services.conference import ConferenceReport
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia


def run_call(
    recipients: Sequence[str], *, who: Who, sealing: Sealing, media: CallMedia, seconds_s: float | None, as_json: bool
) -> int:
    """Call one, or several together, for some time or until Ctrl-C or until the others hang up; 0 after a call."""
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
                return await user.confer(recipients, media, seconds_s=seconds_s, stop=stop)
            return await user.call(recipients[0], media, seconds_s=seconds_s, stop=stop)

    report = asyncio.run(work())
    if isinstance(report, ConferenceReport):
        say_conference(report)
    else:
        say_call(report)
    if as_json:
        told = {"cipher": sealing.cipher, "conference" if is_conference else "call": asdict(report)}
        status = print_report(told, done="the call was held")
        return NOT_DONE if is_silent(report) else status
    return NOT_DONE if is_silent(report) else 0


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
UNSAID = " (the other end's line closed without a last word: its program was ended, or the line broke)"


def is_silent(report: CallReport | ConferenceReport) -> bool:
    """Return whether nothing came in a call of two."""
    return isinstance(report, CallReport) and report.nothing_came


def say_call(report: CallReport, say: Callable[[str], None] = tell) -> None:
    """Tell what one end of a call saw; raises what ``say`` raises."""
    ending = UNSAID if report.ended == "unsaid" else ""
    say(f"call with {report.peer}, {report.duration_s:.1f} s{ending}; {_seen(report)}")
    _say_refused(report.refused, say)
    if report.nothing_came:
        say(
            f"nothing of the call came from {report.peer}: let UDP through between the two (each call has ports of its "
            "own), and see that the address is right"
        )
    elif report.recording is not None:
        say(f"recorded in {report.recording}")


def say_conference(report: ConferenceReport, say: Callable[[str], None] = tell) -> None:
    """Tell what one end of a conference saw: of each other member, then of all; raises what ``say`` raises."""
    for one in report.members:
        say(f"{one.peer}, in the conference for {one.duration_s:.1f} s; {_seen(one)}")
        _say_refused(one.refused, say, origin=f" from {one.peer}")
        if one.recording is not None:
            say(f"{one.peer} is recorded in {one.recording}")
    for absence in report.absent:
        say(f"{absence.name} was not in the conference at its end: {absence.reason}")
    say(
        f"conference of {report.duration_s:.1f} s, {counted(report.rounds, 'round')}; sealed here under "
        f"{counted(report.keys_sent, 'key')} of all members, and {counted(report.tag_keys, 'key')} of two for tags"
    )
    _say_refused(report.refused, say, origin=" from who is no member")
    if report.mix is not None:
        say(f"the sound of all is in {report.mix}")


SILENCE_TOLD_S = 3.0
"""A shorter silence is told of nobody: datagrams have pauses between them, and those before the end may be lost."""


def _seen(report: CallReport) -> str:
    """Return what came of one other and went to it: frames, datagrams that the line lost, keys, delay."""

    def of(name: str, medium: MediumReport) -> str:
        shown = f"{medium.decoded:,} of {medium.received:,} shown, {medium.lost:,} lost"
        return f"{name}: {counted(medium.sent, 'frame')} sent, {shown}"

    silence = (
        f", and nothing at all in its last {report.silent_s:.1f} s"
        if report.datagrams_opened and report.silent_s > SILENCE_TOLD_S
        else ""
    )
    return (
        f"{of('audio', report.audio)}; {of('video', report.video)}; "
        f"{counted(report.datagrams_missing, 'datagram')} lost on the way here ({100 * report.share_missing:.1f} %)"
        f"{silence}; "
        f"{counted(report.keys_sent, 'key')} out, {report.keys_received} in; "
        f"delay {report.delay_median_ms:.1f} ms (median), {report.delay_p99_ms:.1f} ms (99 %)"
    )


def _say_refused(refused: Mapping[str, int], say: Callable[[str], None], *, origin: str = "") -> None:
    """``origin``: whose datagrams they were, where several could have sent them."""
    if refused:
        say(f"not accepted{origin}: " + ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items())))
