"""Two sites whose wall clocks are set forward and back by hours under load: keys, their ages and nonces do not care."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from interop.account import Account
from interop.fleet import Fleet
from interop.load import reused_bits
from interop.test_killed_under_load import SITES, Pair, pairs_of, two_sites

HOUR_S = 3600.0
JUMPS_S = ((2 * HOUR_S, 0.0), (2 * HOUR_S, -3 * HOUR_S), (-20 * HOUR_S, 20 * HOUR_S), (0.0, 0.0))
"""What the clocks of the two sites are off, one after the other. Twice within, stock would be past its time to live and
kept answers past their window."""
TIME_TO_LIVE_S = 600
AGES = f"stock: {{key_time_to_live_s: {TIME_TO_LIVE_S}, link_key_time_to_live_s: {TIME_TO_LIVE_S}}}\n"
PATIENCE_S = 30.0


def set_clocks(folder: Path, offsets_s: tuple[float, ...]) -> None:
    for site, offset_s in zip(SITES, offsets_s, strict=True):
        new = folder / f"{site}.new"
        new.write_text(str(offset_s), encoding="ascii")
        new.rename(folder / f"{site}.clock")  # whoever reads meanwhile finds the old or the new


def wait_for_keys(pairs: list[Pair]) -> None:
    """Wait until every pair has got several answers more."""
    before = [pair.num_given for pair in pairs]
    deadline_s = time.monotonic() + PATIENCE_S
    while any(pair.num_given < number + 64 for pair, number in zip(pairs, before, strict=True)):
        assert time.monotonic() < deadline_s, [pair.words() for pair in pairs]
        time.sleep(0.02)


def keep_one_back(fleet: Fleet) -> tuple[str, bytes]:
    """Give dave's master bob a key that dave has not fetched yet, and say which."""
    with fleet.client("right", "bob") as bob:
        (key,) = bob.get_keys(fleet.sae("left", "carol"), count=1, size_bits=256, nonce="kept-back")
        return key.key_id, key.take()


def check_the_clocks_jumped(data: Path) -> None:
    """The sites have seen the jumps: their events are stamped with what their clocks said."""
    for site, offsets_s in zip(SITES, zip(*JUMPS_S, strict=True), strict=True):
        lines = (data / site / "events.jsonl").read_text(encoding="utf-8").splitlines()
        hours = {json.loads(line)["utc"][:13] for line in lines}
        assert len(hours) >= len(set(offsets_s)), f"{site} has stamped {hours}"


@pytest.mark.campaign
def test_clocks_that_jump_by_hours_under_load_cost_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    account = Account()
    set_clocks(tmp_path, (0.0, 0.0))
    launcher = str(Path(__file__).with_name("jumping_clock.py"))
    programs = {site: (sys.executable, launcher, str(tmp_path / f"{site}.clock")) for site in SITES}
    with two_sites(tmp_path, programs=programs, more=AGES) as fleet:
        key_id, secret = keep_one_back(fleet)
        pairs = pairs_of(fleet, account)
        for pair in pairs:
            pair.start()
        try:
            for offsets_s in JUMPS_S:
                wait_for_keys(pairs)
                set_clocks(tmp_path, offsets_s)
                for pair in pairs:
                    pair.ask_again()  # within seconds of monotonic time, hours later by the clock
            wait_for_keys(pairs)
        finally:
            for pair in pairs:
                pair.finish()
        assert not any(pair.failures for pair in pairs), [pair.failures for pair in pairs]
        assert keep_one_back(fleet) == (key_id, secret), "the nonce of before the jumps finds its answer"
        with fleet.client("left", "carol") as carol:
            (mate,) = carol.get_keys_by_id(fleet.sae("right", "bob"), [key_id])
        assert mate.take() == secret, "a key of before the jumps has not grown old by them"
    account.close()
    account.faults.reused_pad_bits = reused_bits(tmp_path / "data", sites=SITES)
    print(account)
    assert not account.faults
    assert not account.in_doubt
    assert account.repetitions > len(JUMPS_S)
    check_the_clocks_jumped(tmp_path / "data")
    text = "".join((tmp_path / "data" / site / "events.jsonl").read_text(encoding="utf-8") for site in SITES)
    assert '"stock-expired"' not in text
