"""The compiled loops of a fit: how likely readings are, by a Gaussian filter, or on a grid of states held at the rails.

Both follow one hidden state *x*, 0 at the lower rail and 1 at the upper. A pulse takes it to ``after(x)`` and misses by
a normal error of variance ``spread(x)``, which adds up; a reading misses by a normal error of variance ``reading``,
which does not. ``after`` and ``spread`` are tables over evenly spaced states with straight lines between and beyond:
exact for NeuroSim's curve, whose step is a straight line in *x*.

The Gaussian filter (Kalman's, extended where the table bends) lets states pass the rails. The grid holds them there: a
state is a probability on nodes from rail to rail, the outermost ones collect what would pass (Rabiner 1989, forward
algorithm).
"""

import math

import numpy as np
from numba import njit

from .process import CONTINUED, RAIL

__all__ = ["gaussian", "on_grid", "simulated"]

_TINY = 1e-300
_CUT = 1e-10
_REACH, _SIGHT = 5.5, 8.0
"""How many deviations a pulse reaches, and how many of a reading's a state may be away from it."""

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@njit(cache=True)
def _on_line(table, low, step, x):
    """Value and slope of a table at ``x``."""
    position = (x - low) / step
    index = int(math.floor(position))
    index = min(max(index, 0), len(table) - 2)
    slope = table[index + 1] - table[index]
    return table[index] + (position - index) * slope, slope / step


@njit(cache=True)
def gaussian(seen, pulses, kinds, begins, after, spread, low, step, reading, start, first_variance, expected,
             deviation):
    """Negative logarithm of the likelihood; fills what was expected of each reading and its deviation.

    Parameters
    ----------
    seen : float array of shape (points,)
        Readings as states.
    pulses : int array of shape (points,)
        Pulses since the reading before, or since the branch began.
    kinds : int array of shape (points,)
        0 SET, 1 RESET.
    begins : int array of shape (points,)
        1 where a branch begins after another one of its cell, 2 where nothing is known before, 0 elsewhere.
    after, spread : float arrays of shape (2, states)
        By kind.
    low, step : float
        First state of the tables, and their distance.
    reading : float
        Variance of a reading.
    start : int
        :data:`~.process.RAIL`, :data:`~.process.LOOSE` or :data:`~.process.CONTINUED`.
    first_variance : float array of shape (2,)
        Of a state that begins loosely, by kind.
    """
    total, state, variance = 0.0, 0.0, 1.0
    for point in range(len(seen)):
        kind = kinds[point]
        if begins[point] == 2 or (begins[point] == 1 and start != CONTINUED):
            state = float(kind)
            variance = 1e-9 if start == RAIL else first_variance[kind]
        for _ in range(pulses[point]):
            moved, slope = _on_line(after[kind], low, step, state)
            wide, _ = _on_line(spread[kind], low, step, state)
            state = moved
            variance = variance * slope * slope + max(wide, 0.0)
        whole = variance + reading
        miss = seen[point] - state
        expected[point], deviation[point] = state, math.sqrt(whole)
        total += 0.5 * (miss * miss / whole + math.log(whole)) + _HALF_LOG_2PI
        state += miss * variance / whole
        variance *= reading / whole
    return total


_FINE = 512
_BELOW = np.array([0.5 * math.erfc(-(z / _FINE - 8.0) / math.sqrt(2)) for z in range(16 * _FINE + 2)])


@njit(cache=True)
def _share(edge, mean, deviation):
    """Normal distribution below ``edge``, from a table: to 1e-7, and ten times as fast."""
    position = ((edge - mean) / deviation + 8.0) * _FINE
    if position <= 0.0:
        return 0.0
    if position >= 16.0 * _FINE:
        return 1.0
    index = int(position)
    return _BELOW[index] + (position - index) * (_BELOW[index + 1] - _BELOW[index])


@njit(cache=True)
def _transitions(after, spread, low, step, nodes, ends_at_rail):
    """Where a pulse takes each node: first node reached, and the shares of it and the next ones, by kind."""
    h = 1.0 / (nodes - 1)
    widest = 0.0
    for kind in range(2):
        for node in range(nodes):
            wide, _ = _on_line(spread[kind], low, step, node * h)
            widest = max(widest, wide)
    width = int(2 * math.ceil(_REACH * math.sqrt(widest) / h)) + 4
    width = min(width, nodes)
    first = np.empty((2, nodes), np.int64)
    shares = np.zeros((2, nodes, width))
    for kind in range(2):
        for node in range(nodes):
            mean, _ = _on_line(after[kind], low, step, node * h)
            if ends_at_rail:
                mean = min(max(mean, 0.0), 1.0)
            wide, _ = _on_line(spread[kind], low, step, node * h)
            # a node stands for its bin, which widens each pulse by h² / 12
            deviation = math.sqrt(max(wide - h * h / 12, 0.09 * h * h))
            begin = int(math.floor((mean - _REACH * deviation) / h))
            begin = max(0, min(begin, nodes - width))
            first[kind, node] = begin
            below = 0.0 if begin == 0 else _share((begin - 0.5) * h, mean, deviation)
            for index in range(width):
                reached = begin + index
                upper = 1.0 if reached == nodes - 1 else _share((reached + 0.5) * h, mean, deviation)
                shares[kind, node, index] = upper - below
                below = upper
            # states within half a bin of a rail are not at it: their mean is a quarter of a bin away
            if begin == 0:
                inside = 0.25 * (_share(h / 2, mean, deviation) - _share(0.0, mean, deviation))
                shares[kind, node, 0] -= inside
                shares[kind, node, 1] += inside
            if begin + width == nodes:
                inside = 0.25 * (_share(1.0, mean, deviation) - _share(1.0 - h / 2, mean, deviation))
                shares[kind, node, width - 1] -= inside
                shares[kind, node, width - 2] += inside
    return first, shares


@njit(cache=True)
def _seen_from(reading_value, position, h, deviation):
    """Density of a reading from a node's bin."""
    above = _share(position + h / 2, reading_value, deviation)
    return max(above - _share(position - h / 2, reading_value, deviation), 0.0) / h


@njit(cache=True)
def on_grid(seen, pulses, kinds, begins, after, spread, low, step, reading, start, first_variance, nodes, ends_at_rail,
            foresee, expected, deviation):
    """The same of states that are held at the rails, on a grid.

    Parameters
    ----------
    nodes : int
        Of the grid; their distance should be a third of a pulse's deviation, and no more than a reading's.
    ends_at_rail : bool
        A pulse's own step ends at the rail before it misses (NeuroSim), or only what comes of both is held (the chip's
        contract, 5.5).
    foresee : bool
        Fill ``expected`` and ``deviation``; without, states far from a reading are left out, which is much faster.
    """
    h = 1.0 / (nodes - 1)
    noise = math.sqrt(max(reading - h * h / 12, 0.09 * h * h))  # the mean over a bin adds h² / 12
    first, shares = _transitions(after, spread, low, step, nodes, ends_at_rail)
    width = shares.shape[2]
    now, then = np.zeros(nodes), np.zeros(nodes)
    left, right = 0, 0
    total = 0.0
    for point in range(len(seen)):
        kind = kinds[point]
        if begins[point] == 2 or (begins[point] == 1 and start != CONTINUED):
            now[:] = 0.0
            rail = 0 if kind == 0 else nodes - 1
            if start == RAIL:
                now[rail] = 1.0
                left = right = rail
            else:
                scale = math.sqrt(first_variance[kind])
                reach = min(nodes - 1, int(_REACH * scale / h) + 1)
                whole = 0.0
                for index in range(reach + 1):
                    part = math.exp(-0.5 * (index * h / scale) ** 2)
                    now[index if kind == 0 else nodes - 1 - index] = part
                    whole += part
                now /= whole
                left, right = (0, reach) if kind == 0 else (nodes - 1 - reach, nodes - 1)
        for pulse in range(pulses[point]):
            low_node, high_node = nodes, -1
            for node in range(left, right + 1):
                low_node = min(low_node, first[kind, node])
                high_node = max(high_node, first[kind, node] + width - 1)
            if not foresee and pulse == pulses[point] - 1:
                nearest = min(max(int((seen[point] - _SIGHT * noise) / h), low_node), high_node)
                high_node = max(min(int((seen[point] + _SIGHT * noise) / h) + 1, high_node), nearest)
                low_node = nearest
            then[low_node:high_node + 1] = 0.0
            for node in range(left, right + 1):
                part = now[node]
                if part > 0.0:
                    begin = first[kind, node]
                    for index in range(max(0, low_node - begin), min(width, high_node + 1 - begin)):
                        then[begin + index] += part * shares[kind, node, index]
            now[left:right + 1] = 0.0
            now, then = then, now
            left, right = low_node, high_node
            top = 0.0
            for node in range(left, right + 1):
                top = max(top, now[node])
            while left < right and now[left] < _CUT * top:
                now[left] = 0.0
                left += 1
            while right > left and now[right] < _CUT * top:
                now[right] = 0.0
                right -= 1
        if foresee:
            mean, square, whole = 0.0, 0.0, 0.0
            for node in range(left, right + 1):
                position = node * h
                mean += now[node] * position
                square += now[node] * position * position
                whole += now[node]
            mean /= whole
            expected[point] = mean
            deviation[point] = math.sqrt(max(square / whole - mean * mean, 0.0) + noise * noise)
        seen_so, top = 0.0, 0.0
        for node in range(left, right + 1):
            now[node] *= _seen_from(seen[point], node * h, h, noise)
            seen_so += now[node]
            top = max(top, now[node])
        if seen_so < _TINY:
            # a reading that no state explains: go on from the state nearest to it
            total += 700.0 + abs(seen[point] - 0.5) / noise
            node = min(max(int(round(seen[point] / h)), 0), nodes - 1)
            now[left:right + 1] = 0.0
            now[node] = 1.0
            left = right = node
            continue
        total -= math.log(seen_so)
        for node in range(left, right + 1):
            now[node] /= seen_so
        top /= seen_so
        while left < right and now[left] < _CUT * top:
            now[left] = 0.0
            left += 1
        while right > left and now[right] < _CUT * top:
            now[right] = 0.0
            right -= 1
    return total


@njit(cache=True)
def simulated(pulses, kinds, begins, after, spread, low, step, reading, start, held, ends_at_rail, normal):
    """Readings that a device of these tables might have given, as states.

    Parameters
    ----------
    held : bool
        States stay between the rails.
    normal : float array of shape (at least sum of pulses + points,)
        Drawn from the normal distribution.
    """
    seen = np.empty(len(pulses))
    state, used = 0.0, 0
    for point in range(len(pulses)):
        kind = kinds[point]
        if begins[point] == 2 or (begins[point] == 1 and start != CONTINUED):
            state = float(kind)
        for _ in range(pulses[point]):
            moved, _ = _on_line(after[kind], low, step, state)
            wide, _ = _on_line(spread[kind], low, step, state)
            if held and ends_at_rail:
                moved = min(max(moved, 0.0), 1.0)
            state = moved + math.sqrt(max(wide, 0.0)) * normal[used]
            used += 1
            if held:
                state = min(max(state, 0.0), 1.0)
        seen[point] = state + math.sqrt(reading) * normal[used]
        used += 1
    return seen
