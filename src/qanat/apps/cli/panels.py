"""Where each command stands in ``qanat --help``: by what somebody wants to do, in the order in which he would."""

from __future__ import annotations

import typer

PANELS = {
    "See it": ("demo", "doctor", "bench"),
    "Send under keys": ("send", "receive", "text", "fax", "call", "collect", "tunnel", "hook", "contacts", "group"),
    "Run a network": ("up", "node", "twin", "controller", "network", "pki", "audit", "acceptance", "device-emulator"),
    "Plan": ("plan", "simulate", "passes", "pass"),
    "Links and light": ("link", "rate", "distil", "calibrate", "fibre", "detector", "system"),
    "Look things up": ("openapi", "life-cycle"),
}


def put_into_panels(app: typer.Typer) -> None:
    """Give every command of ``app`` its panel and its place there; one without a panel is a fault of whoever added it.

    Raises KeyError, with the command's name.
    """
    panel_of = {name: panel for panel, names in PANELS.items() for name in names}
    order = list(panel_of)
    for command in app.registered_commands:
        command.rich_help_panel = panel_of[_name(command)]
    for group in app.registered_groups:
        group.rich_help_panel = panel_of[str(group.name)]
    app.registered_commands.sort(key=lambda command: order.index(_name(command)))


def _name(command: typer.models.CommandInfo) -> str:
    """Return what a user types: the name given, or that of the function."""
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")
