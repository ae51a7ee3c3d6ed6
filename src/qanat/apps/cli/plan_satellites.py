"""``qanat plan satellites``: key by week and year of satellites and stations under weather, with a schedule."""

from __future__ import annotations

import csv
import sys

from qanat.apps.cli.plan_satellites_record import pass_rows, write_record
from qanat.apps.cli.plan_satellites_tables import print_satellite_plan
from qanat.apps.cli.presentation import people_console
from qanat.apps.cli.satellite_planning import SatellitePlanOptions, planned
from qanat.ground.errors import BadParameter


def run_plan_satellites(options: SatellitePlanOptions, *, as_json: bool, as_csv: bool) -> int:
    """Print a plan. Returns 0; raises QanatError for what cannot be planned."""
    if as_json and as_csv:
        raise BadParameter("--json and --csv both print to standard output", remedy="leave one of them out")
    found = planned(options)
    for warning in found.warnings:
        people_console().print(f"[yellow]warning:[/] {warning}", soft_wrap=True)
    if as_json:
        write_record(found, sys.stdout)
    elif as_csv:
        rows = pass_rows(found)
        first = next(rows)  # there are some, else nothing would have been planned
        writer = csv.DictWriter(sys.stdout, list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)
    else:
        print_satellite_plan(found)
    return 0
