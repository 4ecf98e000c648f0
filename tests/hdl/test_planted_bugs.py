"""The bench can fail: bugs planted in the RTL, in memory alone, are caught by programs against the oracle."""

import numpy as np
import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import EventCode, label_code
from ohmspike.hdl.shared.layout import Layout
from support.bench import ExecutorBench
from support.planted import plant
from support.programs import ReferenceExecutor, check, encode_events, frame, load_state, write
from support.stimulus import random_state, varied

RACE = Chip(name="planted", plane_height=2, plane_width=3, patch_height=2, patch_width=2, stride=1, neurons=3,
            winners=2, learners=2, levels=16, weight_bits=4, membrane_bits=5, threshold_bits=6, amplitudes=2,
            trace_shift=2, set_step=0.3, set_bound=1.0, reset_step=0.3, reset_bound=1.0)
THRESHOLD = varied(RACE, fire_mode="threshold", winners=1, theta_leak=2)
FREE = varied(THRESHOLD, depression="post")
READ_OUT = varied(RACE, levels=4, weight_bits=6, weights=(0, 20, 45, 60), classes=3, score_bits=8, margin=16,
                  read_out_set_step=0.3, read_out_reset_step=0.3)
FLAWED = varied(RACE, noise_bits=9, stuck_cells="masked")
TAUGHT_FLAWED = varied(READ_OUT, noise_bits=9, stuck_cells="masked")
ACCUMULATING = varied(RACE, levels=4, weight_bits=4, amplitudes=4, accumulate_bits=4, accumulate_threshold=5)
TAUGHT_ACCUMULATING = varied(READ_OUT, read_out_accumulate_bits=3, read_out_accumulate_threshold=2)
BOTH_ACCUMULATING = varied(TAUGHT_ACCUMULATING, accumulate_bits=4, accumulate_threshold=3)
TAUGHT_FREE = varied(READ_OUT, fire_mode="threshold", depression="post", winners=1)
SHARED = varied(READ_OUT, plane_height=3, plane_width=4, learners=1, shared=True, channels=2, pool=2, min_spikes=3,
                learn_share=2048, amplitudes=4)
MANY = varied(READ_OUT, plane_height=1, plane_width=2, patch_height=1, patch_width=1, neurons=9, winners=9, learners=1)
STREAM = varied(RACE, neurons=5)  # three words of two: too many to hold their scores
ROW = varied(RACE, plane_height=1, plane_width=24, patch_height=1, patch_width=2, stride=2, winners=1, learners=1)
STEP, DECIDE, DARK, END = EventCode.STEP, EventCode.DECIDE, EventCode.DARK, EventCode.END
ANSWER, LABEL = EventCode.ANSWER, [label_code(label) for label in range(3)]

# file, what stands there, what is planted, chip
BUGS = {
    "ties go to the higher lane": ("fast.race", "high_key > low_key", "high_key >= low_key", RACE),
    "ties go to the later word": ("fast.race", "(top.score > best.score)", "(top.score >= best.score)", STREAM),
    "the last winner may win again": ("fast.race", "(score < last.score)", "(score <= last.score)", STREAM),
    "a winner is not struck out": ("fast.race", "eligible.eq(0)", "eligible.eq(1)", RACE),
    "a sweep writes the lane of the next": ("fast.pulses", "1 << lane_4", "1 << sweep.lane", RACE),
    "a random state is stored at the next tile": ("fast.pulses", "random_write_address.eq(stream_3)",
                                                  "random_write_address.eq(stream)", ROW),
    "a sweep does not wait for its own tile": ("fast.pulses", "self.start.tile > sweep.tile",
                                               "self.start.tile >= sweep.tile", RACE),
    "END forgets nothing": ("fast.storage", "self.bank.eq(~self.bank)", "self.bank.eq(self.bank)", RACE),
    "the bank left is not cleared": ("fast.storage", "write.data.eq(silent), write.en.eq(1)", "write.en.eq(0)", RACE),
    "the bank in use is cleared": ("fast.storage", "banked(index, ~self.bank)", "banked(index, self.bank)", ROW),
    "a clear is lost to a spike": ("fast.storage", "with m.If(~noted):", "with m.If(1):", ROW),
    "trace one step too old": ("shared.plasticity", "self.step - self.stamp)", "self.step - self.stamp + 1)", RACE),
    "membranes wrap": ("shared.accumulator", "saturate(membrane + table.weight, layout.chip.membrane_bits)",
                       "(membrane + table.weight)[:layout.chip.membrane_bits]", RACE),
    "wrong xorshift": ("shared.plasticity", '("<<", 5)', '("<<", 6)', RACE),
    "one draw too few": ("fast.pulses", "with m.If(given):", "with m.If(given & (level != 0)):", RACE),
    "lower rail missing": ("shared.plasticity", "Mux(below, 0, ", "Mux(below, top, ", RACE),
    "upper rail missing": ("shared.plasticity", "Mux(above, top, raw)", "Mux(above, 0, raw)", RACE),
    "DARK acts on lines that spoke": ("fast.pulses", "self.line_stamp == SILENT",
                                      "self.line_stamp != SILENT", RACE),
    "a closed tile reads": ("shared.visits", "two.valid & ~closed)", "two.valid)", RACE),
    "fresh membranes keep their charge": ("shared.visits", "fresh.eq(~state.active)", "fresh.eq(0)", THRESHOLD),
    "theta wraps": ("fast.homeostasis", "saturate(raised, chip.threshold_bits)", "raised[:chip.threshold_bits]", RACE),
    "first winner forgotten": ("shared.core", "with m.If(self.walk.rank == 0):", "with m.If(self.walk.rank != 0):",
                               RACE),
    "leak of the wrong size": ("fast.homeostasis", "(theta >> chip.theta_leak)", "(theta >> 3)", THRESHOLD),
    "reads of all steps squared": ("shared.visits", "Mux(same_step, now.step_reads, 0)", "now.step_reads", RACE),
    "the same unit taken again": ("shared.units", "Mux(walk.next == chip.learners - 1, 0, walk.next + 1)", "walk.next",
                                  RACE),
    "answers tie to the higher column": ("shared.read_out", "(picked > self.best_score)", "(picked >= self.best_score)",
                                         READ_OUT),
    "the second best forgets the best before": ("shared.read_out", "self.second_score.eq(self.best_score), any",
                                                "self.second_score.eq(0), any", READ_OUT),
    "the label is its own rival": ("shared.read_out", "with m.Elif(leads):", "with m.If(valid & leads):", READ_OUT),
    "scores wrap": ("fast.read_out", "saturate(score + product, chip.score_bits)",
                    "(score + product)[:chip.score_bits]", READ_OUT),
    "the list outlives the sample": ("shared.read_out", "Mux(self.clear, 0, self.listed + listing)",
                                     "self.listed + listing", READ_OUT),
    "every rank sends as many pulses": ("shared.core", "fire.pulses.eq(chip.winners - self.walk.rank)",
                                        "fire.pulses.eq(chip.winners)", READ_OUT),
    "a fire sends the pulses of the next": ("fast.read_out", "_times(table.weight, pulses[2])",
                                            "_times(table.weight, pulses[1])", READ_OUT),
    "pulses of a fire are counted once": ("fast.read_out", "self._times(sum_of_row, pulses[3])", "sum_of_row", MANY),
    "every rank teaches alike": ("shared.pulses", "chip.trace_of_rank, name",
                               "chip.trace_of_rank[:1] * chip.winners, name", MANY),
    "drawn from the state of a tile": ("fast.pulses", "Mux(sweep.mode.as_value()[2], chip.tiles, sweep.tile)",
                                       "sweep.tile", READ_OUT),
    "taught at the margin": ("shared.answers", "own < lead_wanted", "own <= lead_wanted", READ_OUT),
    "a checksum skips the top bit": ("top.decode", "Mux(self._check, bits == 7,", "Mux(self._check, bits == 6,", RACE),
    "a checksum of another polynomial": ("top.decode", "0xEDB88320", "0x82F63B78", RACE),
    "a checksum goes on from the last one": ("top.decode", "m.d.sync += crc.eq(0)", "pass", RACE),
    "RESET before SET": ("shared.answers",
                         """("POTENTIATE LABEL", PulseMode.POTENTIATE_LABEL, event.line, "DEPRESS RIVAL"),
                ("DEPRESS RIVAL", PulseMode.DEPRESS_RIVAL, read_out.best, "LABEL DONE")""",
                         """("POTENTIATE LABEL", PulseMode.DEPRESS_RIVAL, read_out.best, "DEPRESS RIVAL"),
                ("DEPRESS RIVAL", PulseMode.POTENTIATE_LABEL, event.line, "LABEL DONE")""", READ_OUT),
    "noise of another field": ("shared.plasticity", "(0, 5, 10, 15)", "(0, 5, 10, 16)", FLAWED),
    "noise not centred": ("shared.plasticity", ") - 62", ") - 61", FLAWED),
    "noise of the draw before": ("fast.pulses", "noisy(m, drawn, moved, s", "noisy(m, random, moved, s", FLAWED),
    "steps are never negative": ("fast.pulses", "(signed if layout.noisy else unsigned)(len",
                                 "unsigned(len", FLAWED),
    "a stuck cell moves": ("fast.pulses", "pulse_4 & ~stuck if chip.has_stuck_cells else pulse_4", "pulse_4", FLAWED),
    "stuck as the next row is": ("fast.pulses", "range(3)", "range(2)", FLAWED),
    "stuck as a cell of the tiles is": ("fast.pulses", "stuck = Mux(teaching, row, tile)", "stuck = tile",
                                        TAUGHT_FLAWED),
    "the read-out is without noise": ("shared.plasticity", "noise.eq(noise_of(drawn))", "noise.eq(0)", TAUGHT_FLAWED),
    "a pulse is due beyond the threshold": ("shared.plasticity", "changed <= -threshold, changed >= threshold",
                                            "changed <= -threshold, changed > threshold", ACCUMULATING),
    "a pulse is due on both sides": ("shared.plasticity", "Mux(lower, changed <= -threshold, changed >= threshold)",
                                     "(changed <= -threshold) | (changed >= threshold)", ACCUMULATING),
    "a count is unsigned": ("shared.pulses", "counts.append(count.as_signed())", "counts.append(count)", ACCUMULATING),
    "a count stays when its pulse is given": ("shared.plasticity", "return Mux(due, 0, changed), due",
                                              "return changed, due", ACCUMULATING),
    "every bin counts alike": ("shared.pulses", "amounts.append(bin_ + 1)", "amounts.append(bin_ | 1)", ACCUMULATING),
    "a pulse has the bin of the last sample": ("shared.pulses", "Mux(here, chip.amplitudes - 1, bin_)", "bin_",
                                               ACCUMULATING),
    "what is only counted draws": ("fast.pulses", "with m.If(given):", "with m.If(selected):", ACCUMULATING),
    "what is only counted is given": ("fast.pulses", "pulse_3.eq(given)", "pulse_3.eq(selected)", ACCUMULATING),
    "a count is written beside the next cell": ("fast.pulses", "counted, lane_3, addresses[3], teaching",
                                                "counted, lane_3, addresses[2], teaching", ACCUMULATING),
    "a count is read a clock late": ("fast.pulses", "count.eq(self.level_counts[sweep.lane])",
                                     "count.eq(delayed(m, self.level_counts[sweep.lane]))", ACCUMULATING),
    "every rank counts alike": ("fast.pulses", "else chip.winners - rank)", "else chip.winners)",
                                TAUGHT_ACCUMULATING),
    "pulses of the tiles wait for counts": ("shared.pulses", "~teaching if chip.accumulate_bits else teaching",
                                            "Const(1)", TAUGHT_ACCUMULATING),
    "a label counts at the threshold of the tiles": (
        "shared.core", 'name.replace("accumulated", "accumulate_threshold")', '"accumulate_threshold"',
        BOTH_ACCUMULATING),
    "counts of the tiles are counted for the read-out": (
        "fast.pulses", "self.accumulations.eq(changes & ~teaching)", "self.accumulations.eq(changes)",
        BOTH_ACCUMULATING),
    "pulses of the tiles are counted as given in the read-out": (
        "fast.pulses", "self.read_out_pulses.eq(pulse_4 & teaching)", "self.read_out_pulses.eq(pulse_4)",
        BOTH_ACCUMULATING),
    "a post spike raises silent rows": ("fast.pulses", "resetting | ((sweep.mode == PulseMode.POST) & lowers)",
                                        "resetting", FREE),
    "a silent row is lowered by its own trace": ("shared.pulses", "Mux(silent, (1 << chip.trace_bits) - 1, stamped)",
                                                 "stamped", FREE),
    "rows that a post spike lowers are not counted": (
        "fast.pulses", "sweeping | ((sweep.mode == PulseMode.POST) & resetting_4)", "sweeping", FREE),
    "the table of the row before": ("fast.pulses", "Mux(resetting_3, tables", "Mux(resetting_4, tables", FREE),
    "a row listed twice is taught too early": ("fast.pulses", "SPACING = 6", "SPACING = 5", TAUGHT_FREE),
    "windows of too few lines race": ("shared.windows", "noted >= chip.min_spikes", "noted + 1 >= chip.min_spikes",
                                      SHARED),
    "the other windows learn": ("shared.crossbar", "drawn[20:] >= self", "drawn[20:] < self", SHARED),
    "a window lies in the next region": ("shared.windows", "position * chip.pool // count *",
                                         "(position * chip.pool // count + 1) % chip.pool *", SHARED),
    "all places of a row add up": ("shared.read_out", "Mux(above, place - read.data, 0)", "Mux(above, place, 0)",
                                   SHARED),
    "best places outlive the sample": ("shared.read_out", "write.en.eq(self.clear_all | forgets)",
                                       "write.en.eq(self.clear_all)", SHARED),
    "the best place teaches least": ("shared.pulses", "[0, *reversed(chip.trace_of_rank)]",
                                     "[0, *chip.trace_of_rank]", SHARED),
    "a window lowers the rows that it raised": ("fast.pulses", "None, None, ~self.noted", "None, None, self.noted",
                                                SHARED),
    "a tie is right for any label": ("shared.answers", "(own == best) & (event.line < read_out.best)", "(own == best)",
                                     READ_OUT),
}


def run_samples(chip):
    """A few learning samples with ties, rails, silence and a full membrane."""
    rng, reference = np.random.default_rng(1), ReferenceExecutor(chip)
    bench = ExecutorBench(Layout(chip, max(2, chip.winners)))
    state = random_state(chip, rng)
    state.levels[:] = rng.integers(0, chip.levels, state.levels.shape)
    state.levels[:, :, 1:] = state.levels[:, :, :1]  # ties
    state.theta[:] = 30 if chip.fire_mode == "race" else 0
    state.random[:] = rng.integers(1, 1 << 32, state.random.shape)
    state.learn, state.theta_step, state.theta_base = True, 40, 20
    if chip.noise_bits:
        state.write_noise = 511  # a deviation of 2.3 levels

    labelled = [0, 1, DECIDE, ANSWER, LABEL[2], ANSWER, LABEL[0], END,
                LABEL[1], ANSWER, 1, DECIDE, LABEL[1], ANSWER, END]

    if chip.fire_mode == "threshold":
        labelled = [0, 3, STEP, 0, 3, STEP, *(STEP if code == DECIDE else code for code in labelled)]  # one tile twice

    async def session(bench, ctx):
        if chip.shared:
            state.read_out[:] = rng.integers(0, chip.levels, state.read_out.shape)
            images = [np.flatnonzero(rng.random(chip.lines) < density) for density in (0.5, 0.25, 0.6)]
            program = b"".join(frame(chip, image) + encode_events([DECIDE, ANSWER, LABEL[label], END])
                               for label, image in enumerate(images))
            await bench.compare(ctx, reference, [load_state(chip, state) + program, program])
            return
        if chip.classes:
            state.learn = chip.accumulates
            state.read_out[:] = [[2, 2, 1], [2, 2, 2], [2, 2, 1]] * (chip.read_out_rows // 3)
            alike = write("registers", [0], column=4) + encode_events([0, DECIDE, LABEL[0], END])  # leads by the margin
            program = alike + write("registers", [chip.margin], column=4) + encode_events(labelled * 2)
            await bench.compare(ctx, reference, [load_state(chip, state) + program])
            return
        program = frame(chip, range(3)) + encode_events([-1, 1, 2, -1, 5, -2, 4, 0, -1, 1, -3, -4])
        every = frame(chip, range(chip.lines))
        hasty = every + encode_events([-4, 0, chip.lines - 1, 1, chip.lines - 1, -4]) + every + encode_events([-3, -4])
        await bench.compare(ctx, reference, [load_state(chip, state), program, program, write("theta", [0] * 6),
                                             frame(chip, range(6)) + encode_events([-1, -1, 0, -1, -2, -4]), hasty,
                                             check("random", 1, row=1) + check("levels", 3, row=1, column=1)])

    bench.run(session)


@pytest.mark.parametrize("chip", [RACE, STREAM, THRESHOLD, FREE, TAUGHT_FREE, READ_OUT, SHARED, MANY, ROW,
                                  FLAWED, TAUGHT_FLAWED, ACCUMULATING, TAUGHT_ACCUMULATING, BOTH_ACCUMULATING], ids=[
    "race", "stream", "threshold", "free", "taught free", "read-out", "shared", "many winners", "row", "flawed",
    "flawed read-out", "accumulating", "accumulating read-out", "both accumulating"])
def test_without_a_bug_all_is_well(chip):
    run_samples(chip)


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bug_is_caught(monkeypatch, bug):
    name, old, new, chip = BUGS[bug]
    monkeypatch.setattr("support.bench.Executor", plant(monkeypatch, name, old, new).Executor)
    with pytest.raises(AssertionError, match="program"):
        run_samples(chip)
