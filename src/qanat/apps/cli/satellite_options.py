"""Options that the commands on satellites' passes and those that plan with them share."""

from __future__ import annotations

from typing import Annotated

import typer

StationOption = Annotated[
    list[str],
    typer.Option(help="nanshan, xinglong, LAT,LON,ALT (degrees, metres) or a file; may be given again."),
]
DaysOption = Annotated[float, typer.Option(help="How long from there.")]
MaskOption = Annotated[float, typer.Option(help="The mask: least elevation, degrees.")]
StaleOption = Annotated[
    bool, typer.Option("--accept-stale", help="Go on with elements more than 30 days from the span.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the passes as CSV to standard output.")]
