"""The page of all alarms, written from their table: docs/reference-alarms.md."""

from __future__ import annotations

from qanat.ground.alarms import ALARMS, AlarmKind, Ends

HEAD = """# Alarms

Written from `src/qanat/ground/alarms.py` by `python -m qanat.apps.alarm_page`; a test holds the two equal.

An alarm is an event of kind `alarm` in a site's log (`events.jsonl`), on the terminal of `qanat up`, `node` and
`controller`, and in the audit log. Its data: `code`, `severity`, `text` and `remedy` in the words of the moment,
`etsi015`, the notification of [ETSI GS QKD 015](reference-etsi015.md) that carries it, `about`, what it is about, and
its own fields, such as `link_id` of a link's. One alarm of a code lasts for each thing that it is about. While it lasts
it is not told again; its end is told once, with the same fields, as they were when it was last raised,
and `cleared` true, `times` (how often it was raised) and `lasted_s`.

- **told from**: how often it must be raised before it is told.
- **over**: what ends it, and how long it must have been quiet before the end is told: what flickers is one alarm.
  *told*: the part that raised it says so. *block*: the link makes a block again. *quiet*: nobody raises it any more.
  *never*: it has happened, and a person is to look at it; within the time it counts as the same.

A module's alarm whose code is not here, such as that of a vendor's device, comes as `module-alarm` or `module-warning`,
with its own code as `module_code`. Codes written in capitals are the names of errors (`src/qanat/ground/errors.py`).

| code | severity | about | what it says | remedy | told from | over | ETSI 015 |
|---|---|---|---|---|---|---|---|
"""


def alarm_page() -> str:
    """Return the page as Markdown."""
    return HEAD + "".join(_row(kind) for _, kind in sorted(ALARMS.items(), key=lambda item: item[0].lower()))


def _row(kind: AlarmKind) -> str:
    told = "once" if kind.times == 1 else f"{kind.times} times in {kind.within_s:g} s"
    over = f"{kind.ends.value}, {kind.quiet_s:g} s"
    if kind.ends is Ends.NEVER:
        over = f"never; {kind.quiet_s:g} s"
    cells = (f"`{kind.code}`", kind.severity, kind.about, kind.text, kind.remedy, told, over, f"`{kind.etsi015}`")
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    print(alarm_page(), end="")
