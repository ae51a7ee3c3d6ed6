"""Writes docs/reference-etsi014-cases.md from the statements and the cases: ``PYTHONPATH=tests python -m
interop.etsi014_page``."""

from __future__ import annotations

from pathlib import Path

from interop.etsi014_cases import CASES, Case, Handshake, Step
from interop.etsi014_statements import CLAUSES, SOURCES, STATEMENTS

PAGE = "docs/reference-etsi014-cases.md"
HEAD = f"""# ETSI GS QKD 014: every demand, and the cases that check it

Made from `tests/interop/etsi014_statements.py` and `etsi014_cases.py` by `PYTHONPATH=tests python -m
interop.etsi014_page`; a test holds it equal. The demands of V1.1.1 (2019-02) stand in our own words; where they differ
from the standard's, the standard rules.

The {len(CASES)} cases run in `tests/interop/test_etsi014_cases.py` against a running network: three user sites around
a trusted relay, its links' twins making key, calls as raw HTTP over mutual TLS. What the doors answer beyond the
standard, and why, is in [reference-etsi014.md](reference-etsi014.md).

## Demands

| Clause | Demand | Binds | Cases |
|---|---|---|---|
"""


def page() -> str:
    """Return the text of the page."""
    lines = [HEAD.rstrip("\n")]
    for statement in STATEMENTS:
        names = [case.name for case in CASES if statement.name in case.statements]
        cases = ", ".join(f"`{_cell(name)}`" for name in names) or _elsewhere(statement.elsewhere)
        lines.append(f"| {statement.clause} | {statement.words} | {statement.binds} | {cases} |")
    lines += ["", *_clauses(), "", "## Cases", "", "| Case | What it shows | Calls and answers |", "|---|---|---|"]
    lines += [f"| `{_cell(case.name)}` | {_cell(case.title)} | {_calls(case)} |" for case in CASES]
    return "\n".join(lines) + "\n"


def _clauses() -> list[str]:
    """Return which clause numbers were checked, and against what."""
    lines = [
        "## Clause numbers",
        "",
        "The standard's own text was not at hand when this page was made. Its clause numbers were compared with what",
        "others quote of it in public; a number that one source has is weaker than one that two have, and one without",
        "any is ours.",
        "Wherever the code names a clause, it names it by these numbers.",
        "",
        "| Clause | Subject | Checked against |",
        "|---|---|---|",
    ]
    lines += [f"| {one.number} | {one.subject} | {', '.join(one.sources) or 'nothing'} |" for one in CLAUSES]
    return [*lines, "", *(f"- {mark}: {source}" for mark, source in SOURCES.items())]


def _elsewhere(where: str) -> str:
    return f"`tests/{where}`" if where.endswith(".py") else where


def _calls(case: Case) -> str:
    return "; ".join(_call(step) for step in case.steps)


def _call(step: Step | Handshake) -> str:
    if isinstance(step, Handshake):
        return f"{step.who} by TLS {step.version}: {'accepted' if step.accepted else 'refused'}"
    call = step.call.removeprefix("/") or "/"
    told = "same keys" if step.same else f"{step.keys[0]} x {step.keys[1]} bits" if step.keys else ""
    return " ".join(part for part in (step.by, step.method, call, str(step.status), told) if part)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    (Path(__file__).parents[2] / PAGE).write_text(page(), encoding="utf-8")
