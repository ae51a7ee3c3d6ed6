"""The compiled search for passes: a grid of moments in, moments of rise, culmination and set out.

Between two moments of the grid the satellite moves along the cubic that has its places and velocities there (Hermite),
in Earth-fixed axes. In each interval where the satellite could be above the mask the elevation is looked at by its sine
and its slope: where the slope changes its sign the extremum is found, and on each side of it the crossing of the mask.
So a pass between two moments of the grid is found however short it is. Far from the station intervals are skipped, by
two bounds on how soon the satellite can be near (``longest_skip``).

State of a satellite, shape (n, 8): place (km) and velocity (km/s) in Earth-fixed axes, 1 / radius, and how fast the
radius grows by its own measure (1/s). Stations, shape (k, 7): place, unit vector of the vertical, sine of the mask.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STATE_COLUMNS = 8
INVERSE_RADIUS, GROWTH = 6, 7

COLUMNS = 8
RISE, CULMINATION, SET, NEAREST, LEAST_RANGE, HIGHEST_SINE, STATION, CUT = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of the answer: seconds since the first moment of rise, culmination, set and least range; that range, km; the
greatest sine of elevation; the number of the station; how the span cuts the pass."""
UP_AT_START, UP_AT_END = 1, 2
"""How the span cuts a pass; both are added where it is longer than the span."""

FAR, STRIDE = 32, 8
"""Longer skips than ``FAR`` intervals end at multiples of ``STRIDE``: the rows that are looked at stay in the cache."""

compiled = njit(cache=True, error_model="numpy")

SAME_MOMENT_S = 1e-6
"""Moments of two blocks of the grid that are no farther apart are one; rounding is a thousand times less."""

TOLERANCE = 1e-5
"""The last step of a search for a root, as a part of the interval. Its error is that of the step before: Newton's way
squares it for the next, and for extrema a millisecond changes nothing."""
MOST_STEPS = 60
CONE_MARGIN_RAD = math.radians(0.25)
"""The ellipsoid's vertical leans from the line to the middle of the Earth by 0.193 degree at most."""
MARGIN = 1.05
"""Rates of the grid are taken so much higher: between its moments they may be."""
MARGIN_OF_CHANGE = 1.5
"""The same of changes from one moment to the next, of which an eccentric orbit has sharper ones in between."""


@compiled
def turn(place: Floats, velocity: Floats, cos: Floats, sin: Floats, rate: float) -> tuple[Floats, Floats]:
    """Turn inertial places (km) and velocities (km/s), shape (n, 3), to the Earth's axes.

    ``cos``, ``sin``: of the sidereal angle, shape (n,); ``rate`` rad/s. Return the state (n, 8) and bounds, all on the
    grid: least and greatest radius (km), the fastest going round (rad/s), the greatest change of that rate and of its
    axis from one moment to the next (rad/s).
    """
    state = np.empty((place.shape[0], STATE_COLUMNS))
    nearest, farthest, fastest, change = np.inf, 0.0, 0.0, 0.0
    last_x, last_y, last_z = 0.0, 0.0, 0.0
    for i in range(place.shape[0]):
        c, s, row = cos[i], sin[i], state[i]
        x, y, z = c * place[i, 0] + s * place[i, 1], c * place[i, 1] - s * place[i, 0], place[i, 2]
        u = c * velocity[i, 0] + s * velocity[i, 1] + rate * y
        v = c * velocity[i, 1] - s * velocity[i, 0] - rate * x
        w = velocity[i, 2]
        row[0], row[1], row[2], row[3], row[4], row[5] = x, y, z, u, v, w
        squared = x * x + y * y + z * z
        row[INVERSE_RADIUS], row[GROWTH] = 1.0 / math.sqrt(squared), (x * u + y * v + z * w) / squared
        turn_x, turn_y, turn_z = (y * w - z * v) / squared, (z * u - x * w) / squared, (x * v - y * u) / squared
        nearest, farthest = min(nearest, squared), max(farthest, squared)
        fastest = max(fastest, turn_x * turn_x + turn_y * turn_y + turn_z * turn_z)
        if i > 0:
            step_x, step_y, step_z = turn_x - last_x, turn_y - last_y, turn_z - last_z
            change = max(change, step_x * step_x + step_y * step_y + step_z * step_z)
        last_x, last_y, last_z = turn_x, turn_y, turn_z
    return state, np.sqrt(np.array([nearest, farthest, fastest, change]))


@compiled
def look(x: float, y: float, z: float, u: float, v: float, w: float, t: Floats) -> tuple[float, float, float, float]:
    """Return sine of elevation, its slope, range times range rate, and range (km), of a place and velocity.

    ``t``: a row of the stations.
    """
    dx, dy, dz = x - t[0], y - t[1], z - t[2]
    squared = dx * dx + dy * dy + dz * dz
    distance = math.sqrt(squared)
    height = t[3] * dx + t[4] * dy + t[5] * dz
    approach = dx * u + dy * v + dz * w
    slope = (t[3] * u + t[4] * v + t[5] * w - height * approach / squared) / distance
    return height / distance, slope, approach, distance


@compiled
def look_at(row: Floats, t: Floats) -> tuple[float, float, float, float]:
    """Return ``look`` at a row of the state."""
    return look(row[0], row[1], row[2], row[3], row[4], row[5], t)


@compiled
def fit(state: Floats, i: int, step: float, cubic: Floats) -> None:
    """Write the Hermite cubic of interval ``i`` (``step`` seconds) to ``cubic`` (3, 4), in powers of its part."""
    for k in range(3):
        a, b = state[i, k], state[i + 1, k]
        c, d = step * state[i, k + 3], step * state[i + 1, k + 3]
        cubic[k, 0], cubic[k, 1] = a, c
        cubic[k, 2], cubic[k, 3] = 3 * (b - a) - 2 * c - d, 2 * (a - b) + c + d


@compiled
def along(cubic: Floats, part: float, step: float, t: Floats) -> tuple[float, float, float, float]:
    """Return ``look`` at a part (0 to 1) of an interval."""
    q0, q1, q2 = cubic[0], cubic[1], cubic[2]
    x = q0[0] + part * (q0[1] + part * (q0[2] + part * q0[3]))
    y = q1[0] + part * (q1[1] + part * (q1[2] + part * q1[3]))
    z = q2[0] + part * (q2[1] + part * (q2[2] + part * q2[3]))
    u = (q0[1] + part * (2 * q0[2] + 3 * part * q0[3])) / step
    v = (q1[1] + part * (2 * q1[2] + 3 * part * q1[3])) / step
    w = (q2[1] + part * (2 * q2[2] + 3 * part * q2[3])) / step
    return look(x, y, z, u, v, w, t)


@compiled
def crossing(cubic: Floats, step: float, t: Floats, ends: tuple[float, float, float, float]) -> float:
    """Return the part where the sine of elevation is ``mask``: Newton's steps, kept between two ends of other sign.

    ``ends``: the two parts, each followed by the sine there.
    """
    low, low_value, high, high_value = ends
    mask = t[6]
    low_value, high_value = low_value - mask, high_value - mask
    rising = high_value > low_value
    part: float = low + (high - low) * low_value / (low_value - high_value)
    for _ in range(MOST_STEPS):
        sine, slope, _, _ = along(cubic, part, step, t)
        value = sine - mask
        if (value > 0) == rising:
            high = part
        else:
            low = part
        slope *= step
        next_part = part - value / slope if slope != 0.0 else -1.0
        if not low <= next_part <= high:
            next_part = 0.5 * (low + high)
        if abs(next_part - part) < TOLERANCE or high - low < TOLERANCE:
            return next_part
        part = next_part
    return part


@compiled
def turning(cubic: Floats, step: float, t: Floats, of_range: bool, values: tuple[float, float]) -> float:
    """Return the part where the slope of the elevation (``of_range``: of the range) is zero, between the two ends of
    the interval, whose ``values`` have other signs: false position, the Illinois way.

    Looked at are the slope times range cubed, and range times range rate: on a straight way both are straight lines.
    """
    low_value, high_value = values
    low, high, side, part = 0.0, 1.0, 0, 0.0
    for _ in range(MOST_STEPS):
        last = part
        part = low + (high - low) * low_value / (low_value - high_value)
        _, slope, approach, distance = along(cubic, part, step, t)
        value = approach if of_range else slope * distance * distance * distance
        if value == 0.0 or abs(part - last) < TOLERANCE or high - low < TOLERANCE:
            return part
        if (value > 0) == (high_value > 0):
            high, high_value = part, value
            if side == 1:
                low_value *= 0.5
            side = 1
        else:
            low, low_value = part, value
            if side == -1:
                high_value *= 0.5
            side = -1
    return part


@compiled
def cone_of(t: Floats, farthest: float) -> float:
    """Return the angle (rad) at the middle of the Earth within which a satellite may be above the mask."""
    mask = math.asin(t[6]) - CONE_MARGIN_RAD
    reach = math.sqrt(t[0] * t[0] + t[1] * t[1] + t[2] * t[2]) * math.cos(mask) / farthest
    return math.acos(reach) - mask if reach < 1.0 else math.pi


@compiled
def longest_skip(cosine: float, slope: float, cone: float, cone_cosine: float, rate: float, bend: float) -> float:
    """Return for how many seconds the satellite surely stays below the mask, zero where it may be above.

    ``cosine`` is that of the angle between satellite and station, seen from the middle of the Earth. The angle cannot
    shrink faster than ``rate``; it is bounded from below by the first terms of arccos(1 - x) = sqrt(2 x) (1 + x / 12 +
    ...), all above zero. And the cosine, which has this ``slope``, cannot bend upwards by more than ``bend``: where the
    satellite goes round by L radians a second it bends by -L^2 times itself, and by the change of L.
    """
    missing = cone_cosine - cosine
    if missing <= 0.0:
        return 0.0
    by_bend = (math.sqrt(slope * slope + 2.0 * bend * missing) - slope) / bend
    x = 1.0 - cosine
    angle = math.sqrt(2.0 * x) * (1.0 + x * (1.0 / 12.0 + x * (3.0 / 160.0 + x * (5.0 / 896.0))))
    return max(by_bend, (angle - cone) / rate)


@compiled
def begin_pass(row: Floats, moment: float, sine: float, distance: float) -> None:
    """Write a pass that has only risen."""
    row[RISE] = row[CULMINATION] = row[NEAREST] = moment
    row[HIGHEST_SINE], row[LEAST_RANGE], row[CUT] = sine, distance, 0.0


@compiled
def end_pass(row: Floats, moment: float, distance: float) -> None:
    """Write the end of a pass."""
    row[SET] = moment
    if distance < row[LEAST_RANGE]:
        row[LEAST_RANGE], row[NEAREST] = distance, moment


@compiled
def half(
    rows: Floats,
    place: int,
    is_up: bool,
    cubic: Floats,
    i: int,
    step: float,
    t: Floats,
    ends: tuple[float, float, float, float],
) -> tuple[int, bool]:
    """Go through a part of interval ``i`` in which the elevation only grows or only falls.

    ``ends``: begin and end of that part, each followed by the sine of elevation there. ``place``: of the next row, or
    of the pass that is under way. Return it and whether the satellite is up.
    """
    end, end_sine, mask = ends[2], ends[3], t[6]
    if not is_up and end_sine >= mask:
        part = crossing(cubic, step, t, ends)
        begin_pass(rows[place], (i + part) * step, mask, along(cubic, part, step, t)[3])
        is_up = True
    if is_up and end_sine > rows[place, HIGHEST_SINE]:
        rows[place, HIGHEST_SINE], rows[place, CULMINATION] = end_sine, (i + end) * step
    if is_up and end_sine < mask:
        part = crossing(cubic, step, t, ends)
        end_pass(rows[place], (i + part) * step, along(cubic, part, step, t)[3])
        return place + 1, False
    return place, is_up


@compiled
def through(
    rows: Floats,
    place: int,
    is_up: bool,
    cubic: Floats,
    i: int,
    step: float,
    t: Floats,
    here: tuple[float, float, float, float],
    there: tuple[float, float, float, float],
) -> tuple[int, bool]:
    """Go through interval ``i``; ``here``, ``there``: ``look`` at its ends. Return as ``half`` does."""
    was_up = is_up
    if (here[1] > 0) == (there[1] > 0):
        place, is_up = half(rows, place, is_up, cubic, i, step, t, (0.0, here[0], 1.0, there[0]))
    else:
        middle = turning(cubic, step, t, False, (here[1] * here[3] ** 3, there[1] * there[3] ** 3))
        sine = along(cubic, middle, step, t)[0]
        place, is_up = half(rows, place, is_up, cubic, i, step, t, (0.0, here[0], middle, sine))
        was_up |= is_up
        place, is_up = half(rows, place, is_up, cubic, i, step, t, (middle, sine, 1.0, there[0]))
    if (was_up or is_up) and here[2] < 0.0 <= there[2]:
        part = turning(cubic, step, t, True, (here[2], there[2]))
        nearest = along(cubic, part, step, t)
        row = rows[place] if is_up else rows[place - 1]
        if nearest[0] >= t[6] and nearest[3] < row[LEAST_RANGE]:
            row[LEAST_RANGE], row[NEAREST] = nearest[3], (i + part) * step
    return place, is_up


@compiled
def one_station(rows: Floats, first: int, state: Floats, bounds: Floats, step: float, t: Floats) -> tuple[Floats, int]:
    """Write the passes over the station ``t`` to the rows from ``first`` on.

    Return the rows, with more room where it was needed, and the place after the last.
    """
    place, cubic, last = first, np.empty((3, 4)), state.shape[0] - 1
    cone = cone_of(t, bounds[1] * 1.001)
    cone_cosine, rate = math.cos(cone), bounds[2] * MARGIN
    bend = rate * rate + bounds[3] * MARGIN_OF_CHANGE / step
    radius = math.sqrt(t[0] * t[0] + t[1] * t[1] + t[2] * t[2])
    i, known, here = 0, 0, look_at(state[0], t)
    is_up = here[0] >= t[6]
    if is_up:
        begin_pass(rows[place], 0.0, here[0], here[3])
        rows[place, CUT] = UP_AT_START
    while i < last:
        row = state[i]
        if not is_up:
            scale = row[INVERSE_RADIUS] / radius
            cosine = (row[0] * t[0] + row[1] * t[1] + row[2] * t[2]) * scale
            slope = (row[3] * t[0] + row[4] * t[1] + row[5] * t[2]) * scale - cosine * row[GROWTH]
            skip = longest_skip(cosine, slope, cone, cone_cosine, rate, bend)
            if skip >= step:
                i += int(min(skip / step, 1e9))
                if skip >= FAR * step:
                    i -= i % STRIDE
                continue
        if known != i:
            here = look_at(row, t)
        there = look_at(state[i + 1], t)
        turns = here[1] > 0.0 >= there[1] or (is_up and (here[1] <= 0.0 < there[1] or here[2] < 0.0 <= there[2]))
        if turns or is_up != (there[0] >= t[6]):
            if place + 3 > rows.shape[0]:
                rows = np.concatenate((rows, np.empty_like(rows)))
            fit(state, i, step, cubic)
            place, is_up = through(rows, place, is_up, cubic, i, step, t, here, there)
        i += 1
        here, known = there, i
    if is_up:
        end_pass(rows[place], last * step, here[3])
        rows[place, CUT] += UP_AT_END
        if here[0] > rows[place, HIGHEST_SINE]:
            rows[place, HIGHEST_SINE], rows[place, CULMINATION] = here[0], last * step
        place += 1
    return rows, place


@compiled
def search(state: Floats, bounds: Floats, step: float, stations: Floats) -> Floats:
    """Return the passes of one satellite, shape (m, COLUMNS): station by station, in order of time.

    ``state`` and ``bounds`` are those of ``turn``, of moments ``step`` seconds apart; ``stations``: (k, 7).
    """
    rows, place = np.empty((1024, COLUMNS)), 0
    for number in range(stations.shape[0]):
        first = place
        if place + 3 > rows.shape[0]:
            rows = np.concatenate((rows, np.empty_like(rows)))
        rows, place = one_station(rows, first, state, bounds, step, stations[number])
        rows[first:place, STATION] = number
    return rows[:place].copy()


@compiled
def join(rows: Floats, num_stations: int, end: float) -> Floats:
    """Return the passes of one satellite (m, COLUMNS) out of those of neighbouring blocks of the grid, block by block.

    They stand station by station, in order of time; what only the end of a block cuts is one pass again. ``end``: of
    the grid, seconds.
    """
    places = np.zeros(num_stations + 1, np.int64)
    for row in rows:
        places[int(row[STATION]) + 1] += 1
    places = np.cumsum(places)
    ordered = np.empty_like(rows)
    for row in rows:
        ordered[places[int(row[STATION])]] = row
        places[int(row[STATION])] += 1
    num_rows = 0
    for row in ordered:
        before = ordered[max(0, num_rows - 1)]
        goes_on = num_rows > 0 and before[STATION] == row[STATION] and before[CUT] >= UP_AT_END
        if goes_on and row[CUT] % UP_AT_END == UP_AT_START and abs(row[RISE] - before[SET]) < SAME_MOMENT_S:
            lengthen(before, row)
        else:
            ordered[num_rows] = row
            num_rows += 1
    for row in ordered[:num_rows]:
        row[CUT] = (UP_AT_START if row[CUT] % UP_AT_END == UP_AT_START and row[RISE] < SAME_MOMENT_S else 0) + (
            UP_AT_END if row[CUT] >= UP_AT_END and row[SET] > end - SAME_MOMENT_S else 0
        )
    return ordered[:num_rows].copy()


@compiled
def lengthen(row: Floats, later: Floats) -> None:
    """Add the later part of a pass to the row of its first part."""
    row[SET] = later[SET]
    row[CUT] = row[CUT] % UP_AT_END + (UP_AT_END if later[CUT] >= UP_AT_END else 0)
    if later[HIGHEST_SINE] > row[HIGHEST_SINE]:
        row[HIGHEST_SINE], row[CULMINATION] = later[HIGHEST_SINE], later[CULMINATION]
    if later[LEAST_RANGE] < row[LEAST_RANGE]:
        row[LEAST_RANGE], row[NEAREST] = later[LEAST_RANGE], later[NEAREST]
