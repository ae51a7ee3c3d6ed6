"""The one table of alarms: every code that any part of the network raises, and how it is treated.

A part raises a code with the words of the moment; severity, hysteresis and the name in ETSI GS QKD 015 come from here
(``alarm_board.py`` keeps the hysteresis, ``EventRecorder.alarm`` records). docs/reference-alarms.md is written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from qanat.ground.errors import QanatError
from qanat.ground.identifiers import LinkId
from qanat.ground.orders import Alarm, Severity


class Ends(StrEnum):
    """What ends an alarm."""

    TOLD = "told"
    """The part that raised it says that it is over."""
    BLOCK = "block"
    """The link that it is about has made a block."""
    QUIET = "quiet"
    """Nobody raises it any more."""
    NEVER = "never"
    """It is something that has happened, and has no end; a person is to look at it."""


@dataclass(frozen=True, slots=True)
class AlarmKind:
    """A row. ``about``: what one alarm of it is about; two links that fail are two alarms.

    Told when it was raised ``times`` times within ``within_s``, and not again while it lasts; over when ``ends`` says
    so and it was not raised for ``quiet_s`` since. One without an end counts as the same for ``quiet_s``.
    """

    code: str
    severity: Severity
    about: str
    text: str
    remedy: str
    ends: Ends
    quiet_s: float
    etsi015: str = "alarm"
    times: int = 1
    within_s: float = 0.0
    is_of_file: bool = False
    """Of a file that somebody is mending: told again when its words change."""


def _kinds(
    severity: Severity, about: str, ends: Ends, quiet_s: float, *rows: tuple[str, str, str], etsi015: str = "alarm"
) -> list[AlarmKind]:
    return [AlarmKind(code, severity, about, text, remedy, ends, quiet_s, etsi015) for code, text, remedy in rows]


def _passing(severity: Severity, *rows: tuple[str, str, str]) -> list[AlarmKind]:
    """Return kinds of a link that a single event does not show: the second within a quarter of an hour does."""
    return [
        AlarmKind(code, severity, "link", text, remedy, Ends.BLOCK, LINK_QUIET_S, "sdqkdn_link_down", 2, 900.0)
        for code, text, remedy in rows
    ]


SOURCE_QUIET_S = 2.0
LINK_QUIET_S = 10.0
WORDS_QUIET_S = 60.0
INCIDENT_S = 3600.0

_LINK = _kinds(
    "critical",
    "link",
    Ends.BLOCK,
    LINK_QUIET_S,
    ("QberTooHigh", "the error rate is above the threshold", "look for misalignment, and for somebody who listens"),
    ("NoSecretKey", "the proof leaves no secret bit of a block", "less loss, a longer block, or better detectors"),
    ("CalibrationFailed", "a link could not be calibrated", "do what the text of its reason says"),
    ("EntropyFailed", "the generator that devices draw from has failed", "have it checked; no key is made meanwhile"),
    ("QuantumLayerError", "the light or the devices failed", "look at the devices"),
    ("AuthenticationFailed", "a tag does not fit: words were altered on the way", "look at the line between the ends"),
    ("VerificationFailed", "the two keys differ after error correction", "nothing once; look at the devices if often"),
    ("FrameError", "bytes came that are no frame", "look at the line, and at the versions of both ends"),
    ("PeerProtocolError", "the other party broke the protocol", "look at its log; update the older side"),
    ("QanatError", "a session ended without a key", "keep the log and report it"),
    ("JobFailed", "a worker's job failed", "a fault of the program or of this machine: keep the log and report it"),
    etsi015="sdqkdn_link_down",
) + _passing(
    "critical",
    ("ChannelError", "the line between the parties failed", "look at the line between the ends"),
    ("ChannelClosed", "the other party went away", "look whether it runs"),
    ("ChannelTimeout", "the other party fell silent", "look whether it runs, and at the line"),
)
_LINK += _passing("warning", ("PeerStopped", "the other end says that it has stopped", "look at its log"))

_RUN = _kinds(
    "critical",
    "run of a command",
    Ends.NEVER,
    INCIDENT_S,
    ("TooShort", "the light of a run is too short for a block that gives key", "a longer run; the text says how long"),
    ("no-synchronization", "the slots of the two ends cannot be matched", "look at the synchronization light"),
    ("detector-dead", "a detector does not click", "look at its bias, its fibre and its cooling"),
    ("no-delay-maximum", "no delay of a gate stands out", "scan a wider range, or look at the fibre"),
    ("no-light", "nothing arrives", "look at source and fibre"),
    ("controller-stuck", "a polarization controller does not turn", "free it, or have it exchanged"),
    ("ratio-not-reached", "the extinction ratio asked for was not reached", "look at the optics, or ask for less"),
    etsi015="sdqkdn_interface_out",
)

_SOURCE = (
    _kinds(
        "critical",
        "link",
        Ends.TOLD,
        SOURCE_QUIET_S,
        ("device-unreachable", "a device's door does not answer", "look at its power and at the network to it"),
        ("device-certificate", "a device's certificate, or ours, is refused", "look at the files named for the link"),
        ("device-refuses", "a device refuses the request", "look at what the device allows this application"),
        ("device-protocol", "a device answers what the standard does not know", "look at its version"),
        ("device-repeats-keys", "a device has handed out a key twice", "take it out of service"),
        ("device-ids-unknown", "a device does not know ids of its peer", "look whether the two devices are a pair"),
        etsi015="sdqkdn_interface_down",
    )
    + _kinds(
        "critical",
        "link",
        Ends.TOLD,
        SOURCE_QUIET_S,
        ("key-files-unreadable", "a key file cannot be read", "look at the files and their rights"),
        ("key-file-missing", "a key file that the other end has is missing here", "bring the same files to both ends"),
        ("keys-differ", "the two ends were given different keys", "look at the devices: they are no pair, or altered"),
        ("exchange-altered", "a word between the ends has a wrong tag", "look at the line between the sites"),
        ("module-failed", "a module's own store cannot write", "make room on its disk"),
        etsi015="sdqkdn_interface_down",
    )
    + _kinds(
        "warning",
        "link",
        Ends.TOLD,
        SOURCE_QUIET_S,
        ("device-slow", "a device gives no key for a while", "look at its light, and whether its rate fits the demand"),
        ("key-files-empty", "the key files are used up", "put new ones into the folders of both ends"),
        ("peer-refuses-keys", "the other end cannot use the keys that were offered", "look at its alarms"),
        etsi015="sdqkdn_link_overloaded",
    )
)

_SITE = [
    AlarmKind(
        *("module-alarm", "critical", "link", "a module raised a code of its own"),
        *("look it up in the module's manual", Ends.BLOCK, LINK_QUIET_S, "sdqkdn_interface_down"),
    ),
    AlarmKind(
        *("module-warning", "warning", "link", "a module raised a code of its own, as a warning"),
        *("look it up in the module's manual", Ends.BLOCK, LINK_QUIET_S),
    ),
    AlarmKind(
        *("module-away", "critical", "link", "the process with the QKD module of a link does not answer"),
        *(
            "start it again, or have it go on where it stands still; the link is then tried at once",
            Ends.TOLD,
            SOURCE_QUIET_S,
            "sdqkdn_interface_down",
        ),
    ),
    AlarmKind(
        *(
            "module-preparing",
            "warning",
            "link",
            "the twin of a link compiles its kernels, or waits for another that does",
        ),
        *("wait a minute or two: it is done once a machine", Ends.TOLD, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("module-keeps-block", "warning", "module", "a module did not release a block"),
        *("look at the device; its copy is to be destroyed", Ends.QUIET, WORDS_QUIET_S, "sdqkdn_interface_down"),
    ),
    AlarmKind(
        *("reserve-low", "warning", "link", "the authentication reserve of a link comes to its end"),
        *("let the link make key, or bring new initial key to both ends", Ends.TOLD, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("store-failed", "critical", "site", "a key store cannot write, or cannot read what is in it"),
        *("make room on the disk, or look at its health", Ends.QUIET, WORDS_QUIET_S),
    ),
    AlarmKind(
        *("site-not-opened", "critical", "site", "a site cannot be opened; the next call tries again"),
        *("look at the disk, the memory and the open files of the machine", Ends.TOLD, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("no-passes", "critical", "network", "no satellite passes: its elements or its stations are not usable"),
        *(
            "fetch newer elements into the network file; `qanat network check` says what is wrong",
            Ends.NEVER,
            INCIDENT_S,
        ),
    ),
    AlarmKind(
        *("store-restored", "critical", "site", "a key store was put back from an older copy; its stock is destroyed"),
        *("never restore key stores; links without reserve need new initial keys", Ends.NEVER, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("peer-epoch-went-back", "critical", "peer", "a peer uses an older copy of its key store"),
        *("a restored store must not be used; make new initial keys", Ends.NEVER, INCIDENT_S),
    ),
    AlarmKind(
        *("relay-altered", "critical", "ways", "a batch of keys came otherwise than it was sent; it is destroyed"),
        *("look at the software and the memory of the relays named", Ends.NEVER, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("work-failed", "warning", "work", "a piece of work failed; it is done again"),
        *("see the events before this one", Ends.QUIET, WORDS_QUIET_S),
    ),
    AlarmKind(
        *("odd-word", "warning", "peer", "a word came that its sender may not say"),
        *("update the older side", Ends.QUIET, WORDS_QUIET_S),
    ),
    AlarmKind(
        *("initial-key-refused", "warning", "link", "an initial key was brought and cannot be taken in"),
        *("bring the file of this very link, whole", Ends.TOLD, SOURCE_QUIET_S),
        is_of_file=True,
    ),
    AlarmKind(
        *("certificate-ended", "critical", "site", "its own certificate was revoked or ran out: nobody speaks with it"),
        *("make a new one with `qanat pki renew`, and bring it where the old one lies", Ends.TOLD, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("certificates-kept", "warning", "site", "new certificate files do not count, the former ones do"),
        *("look at the folder `pki`", Ends.TOLD, SOURCE_QUIET_S),
        is_of_file=True,
    ),
    AlarmKind(
        *("limits-kept", "warning", "site", "the file of limits does not hold; the former limits do"),
        *("mend the file or its disk", Ends.TOLD, SOURCE_QUIET_S),
        is_of_file=True,
    ),
    AlarmKind(
        *("forecasts-kept", "warning", "site", "the file of forecasts does not hold; the former forecasts do"),
        *("mend the file", Ends.TOLD, SOURCE_QUIET_S),
        is_of_file=True,
    ),
    AlarmKind(
        *("quota-not-written", "warning", "site", "what an application was given today cannot be written down"),
        *("mend the file or its disk", Ends.QUIET, WORDS_QUIET_S),
    ),
    AlarmKind(
        *("audit-not-written", "critical", "site", "the audit log cannot be written; keys go on being given"),
        *("make room on its disk, and check it", Ends.QUIET, WORDS_QUIET_S),
    ),
]

_CONTROL = [
    AlarmKind(
        *("switch-failed", "critical", "link", "a switch on the way of a link does not turn"),
        *("look at the switch, and at its driver", Ends.TOLD, SOURCE_QUIET_S, "sdqkdn_link_down"),
    ),
    AlarmKind(
        *("node-silent", "critical", "site", "a key manager does not answer the controller"),
        *(
            "bring it up again, or renew its certificate where it was revoked or has ended; routes then lead over it by"
            " themselves",
            Ends.TOLD,
            SOURCE_QUIET_S,
        ),
    ),
    AlarmKind(
        *("line-silent", "critical", "pair of sites", "two sites that answer the controller do not reach each other"),
        *(
            "look at the network between them: firewall, route, proxy; keys of others go round it where a way stands",
            Ends.TOLD,
            SOURCE_QUIET_S,
        ),
    ),
    AlarmKind(
        *("controller-silent", "critical", "site", "there is no line to the controller: no key is ordered"),
        *("bring the controller or its standby up; keys in stock are given meanwhile", Ends.TOLD, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("other-controller-silent", "warning", "controller", "one of the two controllers does not answer the other"),
        *("bring it up again: while it is away nobody takes over from the other", Ends.TOLD, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("guarantee-not-kept", "warning", "pair of applications", "links give too little for a guaranteed rate"),
        *("mend what is out of order, or lower the guarantee", Ends.TOLD, SOURCE_QUIET_S),
    ),
    AlarmKind(
        *("link-failing", "critical", "link", "a link has failed several orders in a row; routes avoid it"),
        *("do what its own alarm says; it is tried again by itself", Ends.TOLD, SOURCE_QUIET_S, "sdqkdn_link_down"),
    ),
]

ALARMS: Mapping[str, AlarmKind] = {kind.code: kind for kind in (*_LINK, *_RUN, *_SOURCE, *_SITE, *_CONTROL)}
"""All kinds by their codes."""


def code_of(fault: QanatError) -> str:
    """Return the code of a fault that ended a session: the name of the nearest of its classes that has a row."""
    return next(kind.__name__ for kind in type(fault).__mro__ if kind.__name__ in ALARMS)


def module_alarm(code: str, text: str, remedy: str, link_id: LinkId | None) -> Alarm:
    """Return what a module tells its key manager; the severity is the table's."""
    return Alarm(code, ALARMS[code].severity, text, remedy, link_id)
