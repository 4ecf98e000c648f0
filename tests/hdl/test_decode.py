"""The decoder and the record writer on their own: what reaches the core, what comes out, and in how many clocks."""

import random
import zlib

import pytest

from ohmspike.chip import Chip
from ohmspike.chip.events import label_code
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.ports import EventKind
from ohmspike.hdl.top.decode import Decoder, RecordWriter
from support.bench import Bench, Scoreboard
from support.programs import check, encode_events, frame, read, runs, write
from support.stimulus import varied

CHIP = Chip(name="decode", plane_height=3, plane_width=5, patch_height=3, patch_width=5, stride=1, neurons=5, winners=3,
            levels=4, weight_bits=2, amplitudes=2)


def kind(event):
    """An event as the decoder offers it; the line counts for a SPIKE and a LABEL alone."""
    event_kind = EventKind(event["kind"])
    return (event_kind, event["line"]) if event_kind in (EventKind.SPIKE, EventKind.LABEL) else event_kind


class Core:
    """What stands in for the core: accesses take a seeded while, a read gives a number made from its place."""

    def __init__(self, bench, *, delay, seed):
        self.dut, self._delay, self._draw = bench.dut, delay, random.Random(seed)
        self.accesses = []
        bench.add(self.run, background=True)

    async def run(self, ctx):
        dut = self.dut
        ctx.set(dut.idle, 1)
        sampled = ctx.tick().sample(dut.access_valid, dut.access_ready, dut.access)
        while True:
            ready = self._draw.random() >= self._delay
            ctx.set(dut.access_ready, ready)
            access = dut.access
            ctx.set(dut.access_data, ctx.get(access.row) * 16 + ctx.get(access.column))
            _, reset, valid, ready, access = await sampled
            if valid and ready and not reset:
                self.accesses.append((access.row, access.column, access.neuron.word, access.neuron.lane, access.write,
                                      access.data if access.write else None))


def run_program(program, layout=None, *, idle=0.0, stall=0.0, dark=0, seed=0, known=True):
    """Events, accesses and output of a program, the bench's clocks of its bytes, events and output beside them."""
    bench = Bench(Decoder(layout or Layout(CHIP, 2), runs=known))
    source = bench.source(bench.dut.program, idle=idle, seed=seed)
    events = bench.sink(bench.dut.events, stall=stall, seed=seed + 1)
    output = bench.sink(bench.dut.output, stall=stall, seed=seed + 2)
    core = Core(bench, delay=stall, seed=seed + 3)
    source.send(*({"data": byte, "last": index == len(program) - 1} for index, byte in enumerate(program)))

    async def testbench(ctx):
        ctx.set(bench.dut.dark, dark)
        await bench.settle(ctx, lambda: output.items and output.items[-1]["last"])

    bench.run(testbench)
    assert not source.items, "the status came before the end of the program"
    return [kind(event) for event in events.items], core.accesses, bytes(item["data"] for item in output.items), output


def spike(line):
    return EventKind.SPIKE, line


MIXED = (encode_events([3, -1, 14, 300, -2, -3, -4]) + b"\x00" + frame(CHIP, [0, 7, 8, 14], padding=True)
         + write("theta", [1, 2, 3], column=3) + frame(CHIP, []) + read("theta", 2, column=1) + encode_events([1]))


@pytest.mark.parametrize("idle, stall", [(0, 0), (0.4, 0.4), (0.8, 0), (0, 0.8)])
def test_a_program_becomes_events_accesses_and_output(idle, stall):
    # two cells of row 0, the write of the third leaves the one row of `theta`
    events, accesses, output, _ = run_program(MIXED, idle=idle, stall=stall, seed=2)
    where, board = f"seed 2, idle {idle}, stall {stall}", Scoreboard("decoder")
    board.compare(events, [spike(3), EventKind.STEP, spike(14), spike(300), EventKind.DECIDE, EventKind.DARK,
                           EventKind.END, spike(0), spike(7), spike(8), spike(14)], where)
    board.compare(accesses, [(0, 3, 1, 1, 1, 1), (0, 4, 2, 0, 1, 2)], where)
    board.compare(output, [2], where)


@pytest.mark.parametrize("idle, stall", [(0, 0), (0.5, 0.5)])
def test_labels_are_told_from_lines(idle, stall):
    program = encode_events([0x0201, -5, label_code(0), 0x0102, label_code(254), -5]) + b"\x08\x07\x08"
    events, _, output, _ = run_program(program, idle=idle, stall=stall, seed=3)
    Scoreboard("decoder").compare(events, [spike(0x0201), EventKind.ANSWER, (EventKind.LABEL, 0), spike(0x0102),
                                           (EventKind.LABEL, 254), EventKind.ANSWER, (EventKind.LABEL, 7)])
    assert output == b"\x01"  # the last label has no class


@pytest.mark.parametrize("lanes", [1, 2, 3, 5])
@pytest.mark.parametrize("stall", [0, 0.5])
def test_bursts_run_over_row_ends_at_any_number_of_lanes(lanes, stall):
    layout = Layout(CHIP, lanes)
    program = read("levels", 9, row=2, column=3) + write("levels", range(9), row=2, column=3)
    places = [divmod(2 * 5 + 3 + index, 5) for index in range(9)]
    _, accesses, output, _ = run_program(program, layout, stall=stall, idle=stall, seed=4)
    board = Scoreboard(f"{lanes} lanes, stall {stall}, seed 4")
    board.compare(accesses, [(row, column, *divmod(column, lanes), 0, None) for row, column in places]
                  + [(row, column, *divmod(column, lanes), 1, index) for index, (row, column) in enumerate(places)])
    board.compare(output, [*(row * 16 + column for row, column in places), 0])


@pytest.mark.parametrize("idle, stall", [(0, 0), (0.5, 0.5)])
def test_check_puts_out_the_crc_of_what_read_puts_out(idle, stall):
    for name, count, row, column in (("levels", 7, 1, 3), ("theta", 3, 0, 2), ("counters", 5, 0, 1), ("set", 0, 1, 0)):
        programs = (read(name, count, row=row, column=column), check(name, count, row=row, column=column) + b"\x00")
        (_, reads, cells, _), (_, checks, output, _) = (
            run_program(program, idle=idle, stall=stall, seed=5) for program in programs)
        assert output == zlib.crc32(cells[:-1]).to_bytes(4, "little") + b"\x00", (name, count)
        assert checks == reads


def test_a_check_that_leaves_its_memory_puts_out_nothing():
    for program in (check("theta", 6), check("theta", 1, column=5), check("theta", 1, row=1)):
        _, _, output, _ = run_program(program + b"\x06")
        assert output == b"\x02"
    assert run_program(check("theta", 1)[:-1])[2] == b"\x01"


@pytest.mark.parametrize("program, expected", [
    (encode_events([1, 2, 3]), 3 * 4), (encode_events([-1, -4]), 2 * 2),
    (encode_events([-5, label_code(3)]), 2 + 3), (b"\x00" * 7, 7),
    (frame(CHIP, []), 2 + 2), (frame(CHIP, range(15)), 2 + 2 + 15), (frame(CHIP, [3, 9, 10]), 2 + 2 + 3),
    (runs([]), 2 + 1), (runs(range(15)), 2 + 4 + 15), (runs([3, 9, 10]), 2 + 3 + 3),
    (write("theta", [1, 2]), 11 + 2 * (4 + 2)), (read("theta", 2), 11 + 2 * (4 + 2)),
    (read("set", 3, column=2), 11 + 2 + 3 * (2 + 2)), (write("random", []), 11),
    (check("theta", 2), 11 + 2 * (4 * 8 + 2) + 4), (check("set", 3, column=2), 11 + 2 + 3 * (2 * 8 + 2) + 4),
    (check("levels", 0), 11 + 4),
])
def test_throughput_is_what_is_stated(program, expected):
    *_, output = run_program(program)
    assert output.taken[-1] == expected


def test_a_dark_sample_refuses_a_frame_as_a_whole():
    events, *_ = run_program(frame(CHIP, [1, 2]) + encode_events([5]), dark=1)
    assert events == [EventKind.REFUSE, spike(5)]


@pytest.mark.parametrize("idle, stall", [(0, 0), (0.5, 0.5)])
def test_runs_become_the_spikes_of_a_frame(idle, stall):
    wide = Layout(varied(CHIP, plane_height=9, plane_width=11), 2)
    for lines in ([], [98], [0], range(99), range(40, 48), [31, 32, 63, 64, 98], [5, 6, 7, 60, 61]):
        for program in (runs(lines) + b"\x04", b"\x00" + runs(lines)):
            events, _, output, _ = run_program(program, wide, idle=idle, stall=stall, seed=len(lines))
            assert [event for event in events if event != EventKind.DECIDE] == [spike(line) for line in lines]
            assert output == b"\x00"


@pytest.mark.parametrize("program, spikes", [
    (runs([3])[:-1], []), (runs([3, 9])[:-1], [3]), (runs([])[:-1], []), (bytes([9, 0x20 | 14, 0x21, 0]), [14]),
    (bytes([9, 0xE0, 0xE0, 0x40, 0]), range(14)), (bytes([9, 31, 0]), []), (bytes([9, 0x2F, 0, 6]), [])])
def test_runs_that_are_cut_short_or_leave_the_plane_end_the_program(program, spikes):
    """A byte that reaches beyond the last of 15 lines does nothing, nor does the last byte where no 0 ends the runs."""
    events, _, output, _ = run_program(program)
    assert events == [spike(line) for line in spikes] and output == b"\x01"


def test_a_dark_sample_refuses_runs_as_a_whole():
    events, *_ = run_program(runs([1, 2, 9]) + encode_events([5]), dark=1)
    assert events == [EventKind.REFUSE, spike(5)]


def test_runs_are_unknown_to_a_chip_without_them():
    assert run_program(runs([1]) + b"\x06", known=False)[::2] == ([], b"\x01")


def test_reset_forgets_the_program():
    bench = Bench(Decoder(Layout(CHIP, 2)))
    source, output = bench.source(bench.dut.program), bench.sink(bench.dut.output)
    core = Core(bench, delay=0, seed=0)
    source.send(*({"data": byte, "last": 0} for byte in write("theta", [1, 2])[:-1]))

    async def testbench(ctx):
        await bench.settle(ctx, lambda: not source.items)
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        source.send({"data": 0, "last": 1})
        await bench.settle(ctx, lambda: output.items)

    bench.run(testbench)
    assert len(core.accesses) == 1 and output.items == [{"data": 0, "last": 1}]


WRITERS = {
    "one byte each": (CHIP, 2),
    "one neuron": (varied(CHIP, neurons=1, winners=1), 1),
    "255 tiles": (varied(CHIP, plane_height=15, plane_width=17, patch_height=1, patch_width=1), 2),
    "256 tiles, two bytes": (varied(CHIP, plane_height=16, plane_width=16, patch_height=1, patch_width=1), 2),
    "256 neurons": (varied(CHIP, neurons=256), 7),
    "257 neurons, two bytes": (varied(CHIP, neurons=257), 7),
}


def write_fires(layout, fires, *, idle=0.0, stall=0.0, seed=0):
    bench = Bench(RecordWriter(layout))
    source = bench.source(bench.dut.output_spikes, idle=idle, seed=seed)
    sink = bench.sink(bench.dut.output, stall=stall, seed=seed + 1)
    for tile, neuron, first in fires:
        word, lane = divmod(neuron or 0, layout.lanes)
        source.send({"tile": tile or 0, "neuron": {"word": word, "lane": lane}, "first": first, "end": tile is None})

    async def testbench(ctx):
        await bench.settle(ctx, lambda: not source.items)
        while not ctx.get(bench.dut.idle):
            await ctx.tick()

    bench.run(testbench)
    return sink.items, sink.taken, source.accepted


@pytest.mark.parametrize("corner", WRITERS)
@pytest.mark.parametrize("idle, stall", [(0, 0), (0.4, 0.6)])
def test_output_spikes_become_records(corner, idle, stall):
    chip, lanes = WRITERS[corner]
    draw, fires, expected = random.Random(6), [], []
    for _ in range(12):
        tile = draw.randrange(chip.tiles)
        expected += tile.to_bytes(1 if chip.tiles <= 255 else 2, "little")
        for rank in range(chip.winners):
            neuron = draw.choice([draw.randrange(chip.neurons), chip.neurons - 1])
            fires.append((tile, neuron, rank == 0))
            expected += neuron.to_bytes(1 if chip.neurons <= 256 else 2, "little")
    fires.append((None, None, 0))
    expected += [255] * (1 if chip.tiles <= 255 else 2)
    came, *_ = write_fires(Layout(chip, lanes), fires, idle=idle, stall=stall, seed=6)
    Scoreboard(corner).compare(came, expected, "seed 6")


def test_a_record_is_a_byte_per_clock_after_1_clock():
    chip, lanes = WRITERS["256 tiles, two bytes"]
    _, taken, accepted = write_fires(Layout(chip, lanes), [(3, 1, 1), (3, 2, 0)])
    assert [clock - accepted[0] for clock in taken] == [1, 2, 3, 5]  # a fire is taken in the clock between


@pytest.mark.parametrize("stall", [0, 0.6])
def test_answers_come_between_output_spikes_a_byte_per_clock(stall):
    layout = Layout(varied(CHIP, neurons=300, classes=4, margin=0), 7)
    bench = Bench(RecordWriter(layout))
    answers, fires = bench.source(bench.dut.answers), bench.source(bench.dut.output_spikes)
    sink = bench.sink(bench.dut.output, stall=stall, seed=7)
    answers.send({"label": 3, "score": 0x56789A, "margin": 0xABCDEF}, {"label": 0xFE, "score": 1, "margin": 0})

    async def testbench(ctx):
        await bench.settle(ctx, lambda: not answers.items)
        fires.send({"tile": 0, "neuron": {"word": 41, "lane": 6}, "first": 1, "end": 0})
        await bench.settle(ctx, lambda: not fires.items)
        answers.send({"label": 0, "score": 0xFFFFFF, "margin": 0xFFFFFF})
        await bench.settle(ctx, lambda: not answers.items)
        while not ctx.get(bench.dut.idle):
            await ctx.tick()

    bench.run(testbench)
    neuron = (41 * 7 + 6).to_bytes(2, "little")
    assert bytes(sink.items) == (b"\x03\x9a\x78\x56\xef\xcd\xab" b"\xfe\x01" + bytes(5)
                                 + b"\x00" + neuron + b"\x00" + b"\xff" * 6)
    if not stall:
        assert [clock - answers.accepted[0] for clock in sink.taken[:8]] == [1, 2, 3, 4, 5, 6, 7, 9]
