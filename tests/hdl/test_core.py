"""Whole programs: the executor against the oracle, output after every program, state and every counter after all."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode, label_code
from ohmspike.hdl.shared.layout import Layout
from support.bench import ExecutorBench
from support.programs import ReferenceExecutor, encode_events, frame, load_state, random_program, read, write
from support.stimulus import random_samples, random_state, shared_chip, varied

STEP, DECIDE, DARK, END = EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END
ANSWER, LABEL = EventCode.ANSWER, [label_code(label) for label in range(5)]

RACE = Chip(name="race", plane_height=2, plane_width=3, patch_height=2, patch_width=2, stride=1, neurons=3, winners=2,
            learners=2, levels=16, weight_bits=4, membrane_bits=6, threshold_bits=7, amplitudes=2, trace_shift=2,
            set_step=0.3, set_bound=1.0, reset_step=0.3, reset_bound=1.0)
THRESHOLD = varied(RACE, fire_mode="threshold", winners=1, learners=3, theta_leak=2, theta_base=12)
READ_OUT = varied(RACE, classes=3, score_bits=8, margin=9, read_out_set_step=0.3, read_out_reset_step=0.3)
FLAWED = varied(READ_OUT, noise_bits=14, stuck_cells="masked", fraction_bits=10)
FREE = varied(THRESHOLD, depression="post", classes=3, score_bits=8, margin=9, read_out_set_step=0.3,
              read_out_reset_step=0.3, theta_base=6)
ONE = varied(RACE, plane_height=1, plane_width=1, patch_height=1, patch_width=1, neurons=1, winners=1, learners=1)

CORNERS = {
    "lanes do not divide neurons": (RACE, 2),
    "one lane": (RACE, 1),
    "lanes equal neurons": (RACE, 3),
    "threshold, lanes do not divide neurons": (THRESHOLD, 2),
    "threshold, lanes equal neurons": (THRESHOLD, 3),
    "threshold, one unit": (varied(THRESHOLD, learners=1, theta_leak=0), 1),
    "one of everything": (ONE, 1),
    "one of everything, threshold": (varied(ONE, fire_mode="threshold", theta_base=3), 1),
    "one unit, some winners": (varied(RACE, learners=1), 2),
    "two levels, one amplitude": (varied(RACE, levels=2, weight_bits=1, amplitudes=1, set_step=1.0, reset_step=1.0), 2),
    "256 levels": (varied(ONE, plane_width=2, patch_width=2, neurons=2, levels=256, weight_bits=8, amplitudes=1,
                          set_step=0.06, reset_step=0.06), 2),
    "16 amplitudes": (varied(RACE, levels=4, weight_bits=2, amplitudes=16), 2),
    "fixed weights": (varied(RACE, weight_store="fixed", weights=tuple(range(15, -1, -1))), 2),
    "lines that no tile sees": (varied(RACE, plane_height=4, plane_width=3, patch_height=1, patch_width=1, stride=2),
                                3),
    "several read pulses to be live": (varied(RACE, min_spikes=3), 3),
    "read-out narrower than a word": (varied(READ_OUT, classes=2), 3),
    "read-out wider than a word": (varied(READ_OUT, classes=5, winners=3), 2),
    "read-out, one lane": (READ_OUT, 1),
    "read-out, fixed weights": (varied(READ_OUT, weight_store="fixed", weights=tuple(range(15, -1, -1))), 2),
    "read-out, one row": (varied(ONE, classes=2, read_out_set_step=0.3, read_out_reset_step=0.3), 1),
    "read-out, scores at their top": (varied(READ_OUT, weight_bits=8, weights=tuple(range(0, 256, 16))), 2),
    "noise": (varied(RACE, noise_bits=13), 2),
    "stuck cells": (varied(RACE, stuck_cells="masked"), 1),
    "threshold, noise, stuck cells": (varied(FLAWED, fire_mode="threshold", winners=1, learners=3, classes=0), 2),
    "read-out wider than a word, noise, stuck cells": (varied(FLAWED, classes=5, winners=3), 2),
    "one of everything, noise, stuck cells": (varied(ONE, classes=2, read_out_set_step=0.3, noise_bits=16,
                                                     stuck_cells="masked"), 1),
    "threshold, tiles accumulate": (varied(THRESHOLD, accumulate_bits=8, accumulate_threshold=3), 3),
    "both accumulate, noise, stuck cells": (varied(
        FLAWED, levels=4, classes=5, winners=3, accumulate_bits=2, accumulate_threshold=1, read_out_accumulate_bits=5,
        read_out_accumulate_threshold=4), 2),
    "free running": (varied(THRESHOLD, depression="post", learners=1), 2),
    "free running, read-out": (FREE, 2),
    "threshold with units, read-out wider than a word": (varied(FREE, depression="pre", classes=5), 3),
    "free running, both accumulate, noise, stuck cells": (varied(
        FREE, levels=4, noise_bits=14, stuck_cells="masked", fraction_bits=10, accumulate_bits=4,
        accumulate_threshold=3, read_out_accumulate_bits=3, read_out_accumulate_threshold=2), 2),
    "small membranes and thresholds": (varied(RACE, membrane_bits=4, threshold_bits=4), 2),
}


def run_programs(layout, make, *, idle=0.0, stall=0.0, seed=0, each=False, context=""):
    """Run the programs that ``make(chip, rng)`` gives, from a random state."""
    chip, rng = layout.chip, np.random.default_rng(seed)
    bench = ExecutorBench(layout, idle=idle, stall=stall, seed=seed)
    state = random_state(chip, rng)
    state.learn = bool(rng.random() < 0.9)
    state.theta_step = int(rng.choice([0, 3, 40]))

    async def session(bench, ctx):
        programs = [load_state(chip, state), *make(chip, rng)]
        await bench.compare(ctx, ReferenceExecutor(chip), programs, each=each, context=f"{context}, seed {seed}")

    bench.run(session)
    return bench


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("ports, programs", [(2, 3), (1, 2)], ids=["fast", "small"])
def test_programs_match_the_oracle(corner, ports, programs):
    chip, lanes = CORNERS[corner]
    run_programs(Layout(chip, lanes, level_ports=ports),
                 lambda chip, rng: [random_program(chip, rng, 14) for _ in range(programs)],
                 idle=0.1, stall=0.1, seed=len(corner) + ports, context=corner)


@pytest.mark.parametrize("learn", [0, 1], ids=["inference", "learning"])
def test_the_small_form_counts_what_comes_as_fast_as_it_can(learn):
    """Frames of many spikes, seen by no tile, by one, or by many: nothing waits but for the core."""
    chip = varied(READ_OUT, plane_height=5, plane_width=7, patch_height=2, patch_width=3, stride=2, neurons=4)

    def programs(chip, rng):
        frames = [frame(chip, np.flatnonzero(rng.random(chip.lines) < density)) for density in (1, 0.5, 0.8)]
        return [write("registers", [learn]) + b"".join(part + encode_events([STEP]) for part in frames)
                + encode_events([DECIDE, LABEL[1]]) + frames[1] + encode_events([DARK, END])] * 2

    for lanes in (1, 4):
        run_programs(Layout(chip, lanes, level_ports=1), programs, seed=22 + lanes, context=f"{lanes} lanes")


FEW = varied(READ_OUT, levels=4, weights=(0, 9, 12, 15))  # few cells in its tables, so quick to load and to compare
TAUGHT = {  # of FEW: three neurons a tile, of which two win; tile 0 on lines 0, 1, 3, 4, tile 1 on 1, 2, 4, 5
    "answer, then label": [0, 1, 2, DECIDE, ANSWER, LABEL[1], END],
    "a label twice, then others": [0, 4, 5, DECIDE, LABEL[2], ANSWER, LABEL[2], LABEL[0], LABEL[1], ANSWER, END],
    "before the race": [LABEL[0], ANSWER, 0, 1, LABEL[1], DECIDE, LABEL[2], END],
    "nothing fired": [0, ANSWER, LABEL[2], ANSWER, END],
    "in a dark sample": [3, 1, DECIDE, DARK, LABEL[0], ANSWER, LABEL[1], 0, STEP, END],
    "dark without a race": [DARK, LABEL[1], ANSWER, DECIDE, END],
    "a race for every tile": [0, 3, DECIDE, ANSWER, LABEL[0], 2, 5, DECIDE, ANSWER, LABEL[0], DECIDE, ANSWER, END],
    "the other tile first": [5, DECIDE, LABEL[2], 0, DECIDE, LABEL[2], ANSWER, END],
    "after steps": [0, STEP, 1, STEP, 2, STEP, DECIDE, STEP, ANSWER, LABEL[1], 0, LABEL[1], STEP, ANSWER, END],
    "forgotten at the end": [0, 1, 2, DECIDE, END, ANSWER, LABEL[0], 4, DECIDE, ANSWER, LABEL[0], END],
    "no such column": [0, 1, DECIDE, LABEL[3], label_code(254), LABEL[2], END, LABEL[4]],
}


@pytest.mark.parametrize("learn, ports", [(0, 2), (1, 2), (1, 1)], ids=["inference", "learning", "small"])
def test_labels_teach_wherever_they_come(learn, ports):
    samples = list(TAUGHT.values())

    def programs(chip, rng):
        return [write("registers", [learn]) + b"".join(map(encode_events, part)) for part in (samples[:6], samples[6:])]

    run_programs(Layout(FEW, 2, level_ports=ports), programs, seed=40 + learn)


@pytest.mark.parametrize("ports", [1, 2])
def test_labels_teach_below_the_margin_alone(ports):
    """Scores stay as they are when a label teaches, so the counter of every margin tells the lead at which it stops."""
    chip = varied(FEW, weight_store="fixed", score_bits=9)

    def programs(chip, rng):
        # two tiles, fires of 2 + 1 pulses: column 0 leads by 6 * (15 - 9) = 36
        sample = write("read_out", np.tile([3, 1, 1], 6)) + encode_events([0, 1, 2, DECIDE])
        return [b"".join(sample + write("registers", [margin], column=4) + encode_events([LABEL[0], LABEL[2], END])
                         for margin in (0, 35, 36, 37, 511))]

    run_programs(Layout(chip, 3, level_ports=ports), programs, seed=43)


@pytest.mark.parametrize("ports, seed, flaws", [(1, 50, {}), (2, 51, {}), (2, 52, {
    "noise_bits": 14, "stuck_cells": "masked"})])
def test_labelled_samples_match_the_oracle(ports, seed, flaws):
    chip = varied(FEW, plane_height=3, classes=4, score_bits=10, margin=60, **flaws)

    def programs(chip, rng):
        batch = random_samples(chip, rng, 20)
        return [encode_events(batch[:10]), encode_events(batch[10:])]

    run_programs(Layout(chip, 2, level_ports=ports), programs, idle=0.05, stall=0.1, seed=seed)


@pytest.mark.parametrize("stall, ports", [(0, 2), (0.7, 2), (0.7, 1)])
def test_races_wait_for_the_read_out(stall, ports):
    """Fires of up to 9 pulses, a race of 6 clocks."""
    chip = varied(FEW, plane_height=1, plane_width=2, patch_height=1, patch_width=1, neurons=9, winners=9,
                  learners=1, score_bits=12, margin=90)
    events = [0, 1, DECIDE, ANSWER, LABEL[1], 0, DECIDE, LABEL[0], DARK, END,
              1, DECIDE, 0, DECIDE, ANSWER, LABEL[2], END]

    def programs(chip, rng):
        return [b"".join(write("registers", [learn]) + write("registers", [report], column=3) + encode_events(events)
                         for learn, report in ((0, 1), (0, 0), (1, 1)))]

    run_programs(Layout(chip, 9, level_ports=ports), programs, stall=stall, seed=60)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("mode", [RACE, THRESHOLD], ids=["race", "threshold"])
def test_long_sessions_match_the_oracle(mode, seed):
    chip = varied(mode, plane_height=3, plane_width=5, patch_height=2, patch_width=3, neurons=4)
    run_programs(Layout(chip, 2 + seed), lambda chip, rng: [random_program(chip, rng, 25) for _ in range(5)],
                 idle=0.3 * seed, stall=0.3 * seed, seed=100 + seed)


def sample(chip, learn_switch=b"", tables=b""):
    """A sample with learning switched and tables rewritten in the middle of it."""
    lines = range(chip.lines)
    program = write("registers", [1]) + frame(chip, lines, padding=True) + encode_events([STEP, 0, STEP, 1, DECIDE])
    program += learn_switch + encode_events([0, chip.lines - 1, STEP, 0]) + tables + encode_events([2 % chip.lines])
    return program + encode_events([DECIDE, DARK, 0, STEP, DECIDE, DARK]) + frame(chip, [0]) + encode_events([END])


@pytest.mark.parametrize("mode, ports", [(RACE, 2), (THRESHOLD, 2), (RACE, 1)], ids=["race", "threshold", "small"])
def test_learning_switched_and_tables_rewritten_within_a_sample(mode, ports):
    def programs(chip, rng):
        tables = b"".join(write(name, rng.integers(0, 1 << 16, (chip.amplitudes, chip.levels)))
                          for name in ("set", "reset"))
        tables += write("weight", rng.integers(0, 1 << chip.weight_bits, chip.levels))
        return [sample(chip), sample(chip, learn_switch=write("registers", [0])), sample(chip, tables=tables)]

    run_programs(Layout(mode, 2, level_ports=ports), programs, seed=5)


@pytest.mark.parametrize("mode", [RACE, THRESHOLD], ids=["race", "threshold"])
def test_a_sample_spread_over_programs_is_the_same_sample(mode):
    events = [0, 1, STEP, 2, 0, STEP, 1, DECIDE, 1, STEP, DARK, 0, END]
    run_programs(Layout(mode, 2), lambda chip, rng: [encode_events([event]) for event in events], seed=8)


@pytest.mark.parametrize("lanes", [1, 3])
def test_samples_of_few_clocks_find_all_forgotten(lanes):
    """Samples shorter than it takes to clear a bank: a stale stamp would be missing among the dark spikes."""
    chip = varied(RACE, plane_height=4, plane_width=6)

    def programs(chip, rng):
        every, parts = frame(chip, range(chip.lines)), []
        for _ in range(12):
            lines = rng.integers(0, chip.lines, rng.integers(0, 7)).tolist()
            parts += [encode_events([*lines, *[DECIDE] * int(rng.integers(2)), END])]
            parts += [every + encode_events([END])] * int(rng.random() < 0.3)
            parts += [encode_events([DARK, END])] * int(rng.random() < 0.5)
        return [b"".join(parts[:len(parts) // 2]), b"".join(parts[len(parts) // 2:])]

    run_programs(Layout(chip, lanes), programs, seed=70 + lanes)


def test_reports_can_be_switched_off():
    def programs(chip, rng):
        fire = frame(chip, range(chip.lines)) + encode_events([DECIDE, END])
        return [fire + write("registers", [0], column=3) + fire, fire + write("registers", [1], column=3) + fire]

    run_programs(Layout(RACE, 2), programs, seed=2)


def test_the_255th_step_is_refused():
    events = [0] + [STEP] * 256 + [1, DECIDE, DARK, END]
    run_programs(Layout(varied(ONE, plane_width=2, patch_width=2), 1), lambda *_: [encode_events(events)], seed=4)


FAILURES = {
    "spike without a line": b"\x01",
    "spike with half a line": b"\x01\x00",
    "frame without a bitmap": b"\x02",
    "unknown opcode": b"\x09\x06",
    "label without a class": b"\x08",
    "no read-out to answer": b"\x07\x08\x00",
    "unknown last opcode": b"\x06\xff",
    "write without operands": b"\x10\x00\x00",
    "write cut in a cell": write("theta", [1, 2])[:-3],
    "write cut between cells": write("theta", [1, 2])[:-4],
    "write without cells": write("theta", [1, 2])[:-8],
    "write of no cells": write("theta", []),
    "read of no cells": read("theta", 0),
    "column outside": read("theta", 0, column=3),
    "row unused": read("theta", 0, row=9),
    "row outside": read("theta", 1, row=2),
    "over the end": read("levels", 30, row=6),
    "write over the end": write("levels", [1] * 8, row=6, column=1),
    "write over row ends": write("levels", [1] * 5, row=1, column=2),
    "no such memory": b"\x11\x0d" + bytes(6) + b"\x06",
    "no memory of a read-out": read("read_out", 1),
    "not writable": write("status", [1]),
    "counters cleared": write("counters", [1, 2]),
    "counters cleared between events": b"\x06" + write("counters", [1]) + b"\x06",
    "identity and status": read("identity", 20) + read("status", 4),
}


def test_every_kind_of_failure_has_its_status_and_harms_nothing_after_it():
    run_programs(Layout(RACE, 2), lambda *_: [b"\x06" + program for program in FAILURES.values()], each=True, seed=1)


@pytest.mark.parametrize("length", [1, 2])
def test_truncated_frame_acts_up_to_its_last_byte(length):
    chip = varied(RACE, plane_height=4, plane_width=5, patch_height=4, patch_width=5, neurons=1, winners=1, learners=1)
    run_programs(Layout(chip, 1), lambda chip, rng: [frame(chip, range(20))[:length + 1], encode_events([DECIDE, END])],
                 seed=3)


@pytest.mark.slow
def test_two_byte_tiles_and_neurons():
    chip = varied(RACE, plane_height=16, plane_width=17, patch_height=1, patch_width=1, neurons=1, winners=1,
                  learners=1, amplitudes=1)
    programs = [encode_events([0, 100, 255, 256, 271, DECIDE, DARK, END])]
    run_programs(Layout(chip, 1), lambda *_: programs, seed=6, context="272 tiles")
    chip = varied(RACE, plane_height=1, plane_width=2, patch_height=1, patch_width=2, neurons=300, amplitudes=1)
    run_programs(Layout(chip, 7), lambda *_: [encode_events([0, STEP, 1, DECIDE, DARK, END])], seed=6,
                 context="300 neurons")


RESETS = {  # chip, registers, events, clocks between which the resets fall, and how many
    "race": (RACE, [1, 3, 12, 1], [0, 1, 2, STEP, 3, DECIDE, 4, DARK, END], (1, 120, 6)),
    "threshold": (THRESHOLD, [1, 3, 12, 1], [0, 1, 2, STEP, 3, DECIDE, 4, DARK, END], (1, 120, 6)),
    "teaching": (FEW, [0, 3, 12, 1, 255], [0, 2, DECIDE, LABEL[0], ANSWER, LABEL[2], DARK, END], (80, 250, 4)),
}


@pytest.mark.parametrize("case, ports", [*((case, 2) for case in RESETS), ("teaching", 1)])
def test_reset_in_mid_operation_keeps_what_lasts(case, ports):
    """Wherever a reset falls: the next sample is right, from the state that the reset left."""
    chip, registers, events, between = RESETS[case]
    layout, seed = Layout(chip, 2, level_ports=ports), 9
    rng = np.random.default_rng(seed)
    bench = ExecutorBench(layout, limit=200_000)
    whole = write("registers", registers) + encode_events(events) * 2

    async def session(bench, ctx):
        reference = ReferenceExecutor(chip)
        initial = random_state(chip, rng)
        initial.learn, initial.theta_step = True, 3
        await bench.compare(ctx, reference, [load_state(chip, initial)], context=f"seed {seed}")
        for after in rng.integers(*between).tolist():
            where = f"{case}, seed {seed}, reset after {after} clocks"
            await bench.execute(ctx, whole, reset_after=after)
            state, report = await bench.state(ctx)
            assert (state.learn, state.theta_step, state.theta_base, report, state.margin) == (0, 0, 0, 1, 0), where
            for table in ("weight", "set", "reset", "read_out_set", "read_out_reset"):
                assert np.array_equal(getattr(state, table), getattr(initial, table)), f"{where}: {table}"
            reference.oracle.state = state  # a sweep cut short leaves some of its column
            reference.reset()
            restart = write("registers", registers)
            await bench.compare(ctx, reference, [restart + encode_events(events)], context=where)

    bench.run(session)


SHARED = varied(READ_OUT, plane_height=3, plane_width=5, learners=1, shared=True, channels=2, pool=2, min_spikes=2,
                learn_share=2048)
TAIL = encode_events([EventCode.STEP, EventCode.DECIDE, EventCode.ANSWER, label_code(1), EventCode.DARK, 3,
                      EventCode.DECIDE, EventCode.END])


@pytest.mark.parametrize("ports, lanes", [(2, 1), (2, 2), (2, 3), (1, 1), (1, 2)])
def test_images_on_a_shared_crossbar_match_the_oracle(ports, lanes):
    def programs(chip, rng):
        return [frame(chip, np.flatnonzero(rng.random(chip.lines) < density)) + TAIL for density in (0.4, 0.2, 1, 0)]

    run_programs(Layout(SHARED, lanes, level_ports=ports), programs, seed=10 * ports + lanes)


@pytest.mark.parametrize("ports, seed", [(2, 0), (2, 1), (1, 2)])
def test_programs_on_random_shared_crossbars_match_the_oracle(ports, seed):
    chip = shared_chip(seed)
    lanes = int(np.random.default_rng(seed).integers(1, min(chip.neurons, 6) + 1))
    run_programs(Layout(chip, lanes, level_ports=ports),
                 lambda chip, rng: [random_program(chip, rng, 12) for _ in range(2)], idle=0.1, stall=0.1, seed=seed)
