"""The written budget of `make test`: seconds of one worker's time per folder, on a free machine of two cores.

Printed beside what a run has taken, never asserted: machines are noisy. Who adds a slow test looks here what it costs.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from store_support import play

__all__ = ["play"]

BUDGET_S: Final = {
    "architecture": 30,
    "docs": 60,
    "interop": 900,
    "oracles": 30,
    "simulation": 250,
    "statistics": 100,
    "unit": 300,
    "vectors": 10,
}
"""Together well under what three workers have in 15 minutes: many of them wait for processes, not for a core."""
HEAVY: Final = frozenset(
    [
        "docs/test_downlink_page",
        "docs/test_light_figures",
        "docs/test_paper_network_page",
        "docs/test_routing_page",
        "interop/test_door_abuse",
        "interop/test_etsi014_client",
        "interop/test_etsi014_http",
        "interop/test_pass_command",
        "interop/test_twin_prepares",
        "oracles/test_satellite_schedule_oracle",
        "simulation/test_world_campaign",
        "simulation/test_world_forecasts",
        "simulation/test_world_intake",
        "simulation/test_world_multicast",
        "simulation/test_world_multipath",
        "simulation/test_world_preparing",
        "simulation/test_world_requests",
        "simulation/test_world_rerouting",
        "simulation/test_world_restarts",
        "simulation/test_world_restore",
        "simulation/test_world_rivals",
        "simulation/test_world_route_policies",
        "simulation/test_world_satellite",
        "simulation/test_world_satellite_ways",
        "simulation/test_world_shares",
        "simulation/test_world_standby",
        "simulation/test_world_stock",
        "simulation/test_world_switches",
        "simulation/test_world_waiting_calls",
        "statistics/test_light_statistics",
        "statistics/test_photon_statistics",
        "statistics/test_secret_key",
        "unit/test_acceptance_plan",
        "unit/test_additive_transform",
        "unit/test_authentication",
        "unit/test_block_exchange",
        "unit/test_calibration",
        "unit/test_call_ends",
        "unit/test_calls",
        "unit/test_check_of_faulty_files",
        "unit/test_closed_output",
        "unit/test_collect_command",
        "unit/test_conference_ends",
        "unit/test_conference_notices",
        "unit/test_conferences",
        "unit/test_day",
        "unit/test_day_passes",
        "unit/test_dead_lines",
        "unit/test_distil_files",
        "unit/test_entropy_server",
        "unit/test_fair_shares",
        "unit/test_fax",
        "unit/test_fibre_command",
        "unit/test_file_delivery",
        "unit/test_file_tampering",
        "unit/test_forecast_file",
        "unit/test_globe_pictures",
        "unit/test_group_changes",
        "unit/test_guaranteed_shares",
        "unit/test_hook",
        "unit/test_host_review",
        "unit/test_incoming_limits",
        "unit/test_life_cycle",
        "unit/test_link_drift",
        "unit/test_link_run",
        "unit/test_map",
        "unit/test_map_atlas",
        "unit/test_media_devices",
        "unit/test_nature2021_passes",
        "unit/test_network_nature2021",
        "unit/test_network_reading",
        "unit/test_network_satellites",
        "unit/test_pass_keys",
        "unit/test_pass_light",
        "unit/test_passes_command",
        "unit/test_patience_until_begun",
        "unit/test_photon_kernel",
        "unit/test_plan_command",
        "unit/test_plan_satellites_command",
        "unit/test_plan_shares",
        "unit/test_plan_with_satellites",
        "unit/test_planning_flow",
        "unit/test_planning_placement",
        "unit/test_planning_policies",
        "unit/test_proofs",
        "unit/test_psk_tls",
        "unit/test_rate_command",
        "unit/test_reconciliation_methods",
        "unit/test_record_counts",
        "unit/test_recordings",
        "unit/test_refilled_shares",
        "unit/test_remote_module",
        "unit/test_report",
        "unit/test_report_backbone",
        "unit/test_resuming_channel",
        "unit/test_routes",
        "unit/test_routes_apart",
        "unit/test_running_sky",
        "unit/test_second_backbone",
        "unit/test_session_amplification",
        "unit/test_session_tags",
        "unit/test_shared_day",
        "unit/test_silent_modules",
        "unit/test_simulate_command",
        "unit/test_steep_shares",
        "unit/test_store_conformance",
        "unit/test_store_lots",
        "unit/test_switching",
        "unit/test_system_command",
        "unit/test_system_ports",
        "unit/test_tcp_channel",
        "unit/test_text_command",
        "unit/test_timing_and_counting",
        "unit/test_tls_transport",
        "unit/test_toeplitz",
        "unit/test_token_key",
        "unit/test_tunnel",
        "unit/test_tunnel_life",
        "unit/test_upkeep",
    ]
)
"""Files that take most of the time of those that are not marked slow: left out where these are, as by `make check`."""
NUM_HEAVIEST: Final = 25
"""Of files that are named with what they took."""
_spent_s: defaultdict[str, float] = defaultdict(float)
_spent_by_file_s: defaultdict[str, float] = defaultdict(float)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave heavy files out, unread, where slow tests are left out."""
    is_heavy = f"{collection_path.parent.name}/{collection_path.stem}" in HEAVY
    return True if is_heavy and "not slow" in config.option.markexpr else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what set-up, call and clean-up of a test took."""
    file = Path(report.location[0])
    _spent_s[file.parts[1]] += report.duration
    _spent_by_file_s["/".join(file.parts[1:])] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print seconds spent beside seconds allowed, by folder."""
    if set(_spent_s) != set(BUDGET_S):  # a part of the tests has no budget
        return
    terminalreporter.section("worker seconds by folder, and the budget")
    for folder, allowed_s in BUDGET_S.items():
        over = "  over budget" if _spent_s[folder] > allowed_s else ""
        terminalreporter.write_line(f"{folder:<14}{_spent_s[folder]:>6.0f}{allowed_s:>6}{over}")
    terminalreporter.section("heaviest files, in worker seconds")
    for name in sorted(_spent_by_file_s, key=_spent_by_file_s.__getitem__, reverse=True)[:NUM_HEAVIEST]:
        terminalreporter.write_line(f"{_spent_by_file_s[name]:>6.0f} {name}")
