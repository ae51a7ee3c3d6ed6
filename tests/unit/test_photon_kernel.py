"""The click sampler against its plain twin: the same stream, click for click, however it is cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from qanat.kernels.click_law import ALIAS_COLUMNS, NUM_CELLS, DetectorMemory, click_law, click_table
from qanat.kernels.photon_sampling import ClickSampler, first_state, sample_clicks
from qanat.kernels.reference import photon_sampling as plain
from qanat.physics.clicks import cell_odds
from qanat.physics.systems import BACKBONE_625

SEED = (3, 1, 4, 1, 5)
BRIGHT = cell_odds(BACKBONE_625, loss_db=0.0)


MEMORY = DetectorMemory.alike(hold_off_slots=30, p_afterpulse=0.2, decay_slots=15.0)
UNLIKE = DetectorMemory((0, 5, 30, 625), (0.0, 0.9, 0.1, 0.5), (1.0, 300.0, 0.2, 20.0))
"""Four detectors of four kinds, one of which has no after-pulses."""


def sampler(memory: DetectorMemory = MEMORY) -> ClickSampler:
    return ClickSampler(BRIGHT, memory=memory, seed_words=SEED)


def test_the_generator_is_xoshiro256_plus_plus() -> None:
    """First words from state (1, 2, 3, 4), as the reference C code gives them (vector of the crate rand_xoshiro)."""
    expected = [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205, 9973669472204895162]
    assert list(islice(plain.random_words((1, 2, 3, 4)), 6)) == expected


@pytest.mark.parametrize("p_afterpulse", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("hold_off_slots", [0, 1, 30, 625])
def test_the_compiled_sampler_equals_its_plain_twin(hold_off_slots: int, p_afterpulse: float) -> None:
    memory = DetectorMemory.alike(hold_off_slots=hold_off_slots, p_afterpulse=p_afterpulse, decay_slots=40.0)
    slots, cells = sampler(memory).sample(100_000)
    expected = plain.sample_clicks(click_table(BRIGHT), num_slots=100_000, memory=memory, seed_words=SEED)
    assert (slots.tolist(), cells.tolist()) == expected
    assert slots.size > 500


def test_four_detectors_of_four_kinds_equal_their_plain_twin() -> None:
    slots, cells = sampler(UNLIKE).sample(100_000)
    expected = plain.sample_clicks(click_table(BRIGHT), num_slots=100_000, memory=UNLIKE, seed_words=SEED)
    assert (slots.tolist(), cells.tolist()) == expected


DIM = cell_odds(BACKBONE_625, loss_db=16.0)
HALF_AS_BRIGHT = cell_odds(BACKBONE_625, loss_db=3.0)
DARK = cell_odds(BACKBONE_625, loss_db=90.0)


@pytest.mark.parametrize("memory", [MEMORY, UNLIKE], ids=["alike", "unlike"])
def test_new_tables_equal_the_plain_twin_click_for_click(memory: DetectorMemory) -> None:
    """Bright, dim, dark and bright again, at slots that fall into hold-offs and before charges go."""
    renewals = [(20_000, DIM), (20_001, BRIGHT), (50_000, DARK), (50_040, DIM), (70_000, BRIGHT)]
    stream, parts = sampler(memory), []
    for first_slot, odds in renewals:
        parts.append(stream.sample(first_slot - stream.next_slot))
        stream.renew(odds)
    parts.append(stream.sample(100_000 - stream.next_slot))
    expected = plain.sample_clicks(
        click_table(BRIGHT),
        num_slots=100_000,
        memory=memory,
        seed_words=SEED,
        renewals=[(first_slot, click_table(odds)) for first_slot, odds in renewals],
    )
    slots, cells = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    assert (slots.tolist(), cells.tolist()) == expected
    assert (np.diff(slots.astype(np.int64)) > 0).all()


@pytest.mark.parametrize("piece", [29, 200, 626])
def test_hold_off_is_kept_across_new_tables(piece: int) -> None:
    """Tables change in the middle of nearly every hold-off: the shortest gap is the hold-off still, and no shorter."""
    stream, parts = sampler(replace(MEMORY, hold_off_slots=(625,) * 4)), []
    for number in range(2000):
        stream.renew(BRIGHT if number % 2 else HALF_AS_BRIGHT)
        parts.append(stream.sample(piece))
    slots, cells = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    for detector in range(4):
        clicks = slots[(cells >> detector) & 1 == 1]
        assert clicks.size > 40
        assert np.diff(clicks).min() >= 626
    assert min(np.diff(slots[(cells >> detector) & 1 == 1]).min() for detector in range(4)) < 650, "and hardly longer"


def test_a_charge_goes_off_under_a_table_that_gives_no_light() -> None:
    memory = DetectorMemory.alike(hold_off_slots=30, p_afterpulse=0.9, decay_slots=15.0)
    stream = sampler(memory)
    while not (stream.sample(1)[0]).size:
        pass
    stream.renew(DARK)
    assert stream.sample(300)[0].size > 0


@pytest.mark.parametrize("chunk", [1, 7, 1000, 19_999])
def test_chunks_of_any_size_give_the_same_clicks(chunk: int) -> None:
    whole = sampler().sample(20_000)
    stream, parts = sampler(), []
    while stream.next_slot < 20_000:
        parts.append(stream.sample(min(chunk, 20_000 - stream.next_slot)))
    assert np.array_equal(np.concatenate([part[0] for part in parts]), whole[0])
    assert np.array_equal(np.concatenate([part[1] for part in parts]), whole[1])


def test_a_full_output_is_resumed_where_it_stopped() -> None:
    law = click_law(click_table(BRIGHT), MEMORY)
    state = first_state(law, SEED)
    found: list[int] = []
    while min(state.candidate[0], state.release.min()) < 20_000:
        slots, cells = np.empty(5, np.uint64), np.empty(5, np.uint8)
        count = sample_clicks(state, law, 20_000, slots, cells)
        found += slots[:count].tolist()
    assert found == sampler().sample(20_000)[0].tolist()


@pytest.mark.parametrize("hold_off_slots", [1, 30, 625])
def test_a_detector_sleeps_for_exactly_its_hold_off(hold_off_slots: int) -> None:
    slots, cells = sampler(replace(MEMORY, hold_off_slots=(hold_off_slots,) * 4)).sample(3_000_000)
    for detector in range(4):
        clicks = slots[(cells >> detector) & 1 == 1]
        assert np.diff(clicks).min() == hold_off_slots + 1


def test_slots_increase_and_every_record_holds_a_click() -> None:
    slots, cells = sampler().sample(100_000)
    assert (np.diff(slots.astype(np.int64)) > 0).all()
    assert (cells & 15).all()
    assert cells.max() < NUM_CELLS


def test_a_long_dark_stretch_gives_an_empty_chunk() -> None:
    dim = replace(BACKBONE_625.receiver.detector, p_dark_per_gate=0.0)
    odds = cell_odds(replace(BACKBONE_625, receiver=replace(BACKBONE_625.receiver, detector=dim)), loss_db=120.0)
    stream = ClickSampler(odds, memory=MEMORY, seed_words=SEED)
    slots, cells = stream.sample(1000)
    assert (slots.size, cells.size, slots.dtype, cells.dtype) == (0, 0, np.uint64, np.uint8)
    assert stream.next_slot == 1000


@pytest.mark.parametrize("loss_db", [0.0, 16.0, 60.0])
def test_the_table_holds_the_odds_it_was_made_from(loss_db: float) -> None:
    odds = cell_odds(BACKBONE_625, loss_db=loss_db)
    odds[::16] = 0
    table = click_table(odds)
    own = table.thresholds.astype(np.float64) / 2.0**56 / ALIAS_COLUMNS
    drawn = own.copy()
    np.add.at(drawn, table.aliases, 1 / ALIAS_COLUMNS - own)
    assert drawn[:NUM_CELLS] == pytest.approx(odds / odds.sum(), abs=1e-15)
    assert not drawn[NUM_CELLS:].any()
    assert np.exp(1 / table.inverse_log_silent) == pytest.approx(1 - odds.sum(), rel=1e-12)


@pytest.mark.parametrize("odds", [np.zeros(192), np.full(192, 1 / 100), -np.full(192, 1e-6)])
def test_odds_that_are_no_odds_are_refused(odds: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cell odds"):
        click_table(odds)


def test_silence_holds_what_alice_prepares_in_it() -> None:
    odds = cell_odds(BACKBONE_625, loss_db=0.0)
    table = click_table(odds)
    shares = np.diff(np.concatenate([[0], table.silent.astype(np.float64)])) / 2.0**56
    assert shares == pytest.approx(odds[::16] / odds[::16].sum(), abs=1e-15)
    assert shares[8] > 1 / 8 / 4  # vacuum stays silent more often than it is sent


def test_a_preparation_that_cannot_be_silent_is_never_drawn_in_silence() -> None:
    odds = cell_odds(BACKBONE_625, loss_db=0.0)
    odds[[0, 160, 176]] = 0
    silent = click_table(odds).silent.tolist()
    assert silent[0] == 0
    assert silent[9:] == [1 << 56] * 3


def test_slips_are_refused() -> None:
    with pytest.raises(ValueError, match="hold_off_slots"):
        DetectorMemory.alike(hold_off_slots=-1)
    with pytest.raises(ValueError, match="p_afterpulse"):
        DetectorMemory.alike(hold_off_slots=1, p_afterpulse=1.0)
    with pytest.raises(ValueError, match="decay_slots"):
        DetectorMemory.alike(hold_off_slots=1, decay_slots=0.0)
    with pytest.raises(ValueError, match="num_slots"):
        sampler().sample(0)
