"""Event streams: files of strangers, and the events they become, against plain Python."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip, Phase
from ohmspike.chip.events import EventCode
from ohmspike.chip.instructions import counter_names
from ohmspike.chip.limits import STEP_MAX
from ohmspike.host.coding.streams import stream_events
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.streams import Stream, load_stream
from ohmspike.sim.model.exact import ExactModel


def chip_of(lines=12, mode="race", **changes):
    return dataclasses.replace(Chip.preset("tiny"), name="own", classes=0, schedule=(Phase(),), plane_height=1,
                               plane_width=lines, patch_height=1, patch_width=lines, neurons=6, fire_mode=mode,
                               membrane_bits=20, winners=2 if mode == "race" else 1, min_spikes=1, theta_base=0,
                               **changes)


def stream_of(*samples, **fields):
    """A stream of lists of (time, line)."""
    spikes = [spike for sample in samples for spike in sample]
    time, line = (np.array([spike[i] for spike in spikes], None if spikes else int) for i in (0, 1))
    return Stream(time, line, np.cumsum([0] + [len(sample) for sample in samples]), **fields)


def samples_of(batch):
    return [batch.codes[batch.offsets[s]:batch.offsets[s + 1]].tolist() for s in range(len(batch))]


def oracle(spikes, width, mode, learn):
    """Events of one sample of integer times."""
    first = min((time for time, _ in spikes), default=0)
    bins = [((time - first) // width, line) for time, line in spikes]
    last = max((bin_ for bin_, _ in bins), default=0)
    codes = []
    for bin_ in range(last + 1):
        codes += [EventCode.STEP] * (bin_ > 0) + sorted(line for when, line in bins if when == bin_)
    if mode == "threshold":
        return [*codes, EventCode.STEP, EventCode.END]
    return codes + [EventCode.DECIDE] + [EventCode.DARK] * learn + [EventCode.END]


def counters_after(chip, batch):
    """What the exact model counts while it learns a batch."""
    model = ExactModel(chip)
    model.state.learn = True
    model.run(batch)
    return dict(zip(counter_names(chip), model.state.counters.tolist(), strict=True))


SAMPLES = st.lists(st.lists(st.tuples(st.integers(-40, 200), st.integers(0, 11)), max_size=12), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(samples=SAMPLES, width=st.integers(1, 50), mode=st.sampled_from(["race", "threshold"]), learn=st.booleans())
def test_events_are_those_of_the_oracle(samples, width, mode, learn):
    batch = stream_events(chip_of(mode=mode), stream_of(*samples), learn=learn, width=width)
    assert samples_of(batch) == [oracle(spikes, width, mode, learn) for spikes in samples]
    assert batch.codes.dtype == np.int32 and batch.offsets.dtype == np.int64


@settings(max_examples=100, deadline=None)
@given(samples=SAMPLES, width=st.integers(1, 50), unit=st.sampled_from([1e-3, 0.1, 1 / 3, 7.0]),
       shift=st.integers(0, 9))
def test_floats_fall_into_the_bins_of_the_integers_they_stand_for(samples, width, unit, shift):
    scaled = [[((time + shift) * unit, line) for time, line in spikes] for spikes in samples]
    found = stream_events(chip_of(), stream_of(*scaled), learn=True, width=width * unit)
    assert samples_of(found) == [oracle(spikes, width, "race", True) for spikes in samples]


@settings(max_examples=100, deadline=None)
@given(times=st.lists(st.integers(0, 10**6), min_size=1, max_size=30), mode=st.sampled_from(["race", "threshold"]),
       real=st.booleans())
def test_without_a_width_the_longest_sample_just_fits(times, mode, real):
    chip = chip_of(mode=mode)
    stream = stream_of([(float(time) if real else time, 3) for time in times], [(0, 1)])
    found = samples_of(stream_events(chip, stream, learn=False))
    assert found[0].count(EventCode.STEP) <= STEP_MAX and found[0].count(3) == len(times)
    if not real:
        longest = max(times) - min(times)
        width = math.ceil((longest + 1) / (STEP_MAX + (mode == "race")))
        assert found[0] == oracle([(time, 3) for time in times], width, mode, False)


def test_a_sample_of_too_many_steps_is_refused_and_254_are_not():
    for mode, most in (("race", 254), ("threshold", 253)):
        chip = chip_of(mode=mode)
        batch = stream_events(chip, stream_of([(0, 1), (most, 1)]), learn=True, width=1)
        counted = counters_after(chip, batch)
        assert counted["steps"] == STEP_MAX and counted["refused"] == 0
        with pytest.raises(DataError, match=r"at most 254 steps, not 255 \(sample 1\)") as caught:
            stream_events(chip, stream_of([], [(0, 1), (most + 1, 1)]), learn=True, width=1)
        assert "wider bins" in caught.value.hint


def test_the_width_of_the_file_is_that_of_the_stream_unless_another_is_asked_for():
    stream = stream_of([(0, 1), (10, 2)], bin=10.0)
    assert samples_of(stream_events(chip_of(), stream, learn=False))[0].count(EventCode.STEP) == 1
    assert samples_of(stream_events(chip_of(), stream, learn=False, width=2))[0].count(EventCode.STEP) == 5
    for width in (0, -1.5, math.inf, math.nan):
        with pytest.raises(DataError, match="the width of a bin must be above 0"):
            stream_events(chip_of(), stream, learn=False, width=width)


def test_a_line_that_the_chip_does_not_have_is_refused():
    for line in (12, -1):
        with pytest.raises(DataError, match=rf"line must be 0 to 11 for the chip own, not {line} \(sample 1\)"):
            stream_events(chip_of(12), stream_of([(0, 11)], [(0, line)]), learn=False)


@pytest.mark.parametrize("mode", ["race", "threshold"])
def test_a_chip_carries_out_every_event_of_a_stream(mode):
    rng = np.random.default_rng(1)
    stream = stream_of(*[rng.integers(0, (300, 12), (count, 2)).tolist() for count in rng.integers(0, 40, 50)])
    counted = counters_after(chip_of(mode=mode), stream_events(chip_of(mode=mode), stream, learn=True))
    assert counted["samples"] == 50 and counted["in_spikes"] == len(stream.time) and counted["refused"] == 0


def test_part_of_a_stream_is_a_stream():
    stream = stream_of([(0, 1)], [(5, 2), (6, 3)], [(1, 4)], labels=np.array([0, 1, 2]))
    part = stream[1:]
    assert len(part) == 2 and part.line.tolist() == [2, 3, 4] and part.offsets.tolist() == [0, 2, 3]
    assert part.labels.tolist() == [1, 2] and part.classes == 3 and len(stream[2:1]) == 0
    whole = samples_of(stream_events(chip_of(), stream, learn=True, width=1))
    assert samples_of(stream_events(chip_of(), part, learn=True, width=1)) == whole[1:]


# files

GOOD = {"time": np.array([3, 1, 2]), "line": np.array([0, 5, 5]), "offsets": np.array([0, 2, 3])}


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=SAMPLES, real=st.booleans(), labelled=st.booleans())
def test_what_is_saved_is_loaded(tmp_path, samples, real, labelled):
    stream = stream_of(*samples)
    time = stream.time.astype(np.float32 if real else np.int16)
    labels = {"labels": np.arange(len(samples), dtype=np.uint8)} if labelled else {}
    line = stream.line.astype(np.uint16)
    found = load_stream(saved(tmp_path, time=time, line=line, offsets=stream.offsets, **labels))
    assert np.array_equal(found.time, time) and found.time.dtype == (np.float64 if real else np.int64)
    assert np.array_equal(found.line, stream.line) and np.array_equal(found.offsets, stream.offsets)
    assert found.classes == (len(samples) if labelled else None) and found.bin is None and len(found) == len(samples)


def test_bin_is_read_and_other_arrays_are_told(tmp_path):
    lines = []
    assert load_stream(saved(tmp_path, **GOOD, bin=2, polarity=np.zeros(3)), lines.append).bin == 2.0
    assert lines == [f"{tmp_path / 'a.npz'}: not used: polarity"]


@pytest.mark.parametrize(("changes", "message"), [
    ({"time": None}, "time is missing"),
    ({"offsets": None}, "offsets is missing"),
    ({"time": np.zeros((3, 1))}, r"time must be numbers of shape \(spikes,\), not float64 of \(3, 1\)"),
    ({"time": np.array(["a"] * 3)}, "time must be numbers"),
    ({"time": np.array([0, np.nan, 1])}, "time must be finite"),
    ({"time": np.array([0, np.inf, 1])}, "time must be finite and at most .*, not 0.0 to inf"),
    ({"time": np.array([0, 2**63, 1], np.uint64)}, "time must be finite and at most"),
    ({"line": np.zeros(2, int)}, r"line must be integers of shape \(3,\), not int64 of \(2,\)"),
    ({"line": np.zeros(3)}, "line must be integers"),
    ({"line": np.array([0, -1, 2])}, "line must be 0 to .*, not -1 to 2"),
    ({"offsets": np.zeros(0, int)}, r"offsets must be integers of shape \(samples \+ 1,\)"),
    ({"offsets": np.array([0, 4])}, "offsets must be 0 to 3, not 0 to 4"),
    ({"offsets": np.array([1, 3])}, "offsets must rise from 0 to 3, the number of spikes, not from 1 to 3"),
    ({"offsets": np.array([0, 2])}, "offsets must rise from 0 to 3, the number of spikes, not from 0 to 2"),
    ({"offsets": np.array([0, 3, 2, 3])}, "offsets must rise from 0 to 3, .* and fall"),
    ({"labels": np.array([1])}, r"labels must be integers of shape \(2,\), not int64 of \(1,\)"),
    ({"labels": np.array([1, -1])}, "labels must be 0 to 65535, not -1 to 1"),
    ({"bin": 0}, "bin must be one number above 0, not 0"),
    ({"bin": np.array([1, 2])}, "bin must be one number above 0"),
    ({"line": np.array([0, None, 2])}, "line: must be numbers, not Python objects"),
])
def test_what_is_wrong_with_a_stream_is_said(tmp_path, changes, message):
    arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
    with pytest.raises(DataError, match=message):
        load_stream(saved(tmp_path, **arrays))
