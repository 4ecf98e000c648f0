"""From the bytes of a program to events and memory accesses, and from output spikes and answers to bytes."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import (
    ANSWER_BYTES,
    CHECK_BYTES,
    MEMORIES,
    RUN_LINES_MAX,
    RUN_SKIP_BITS,
    RUN_SKIP_MAX,
    STORE_COLUMNS,
    Opcode,
    Status,
    memory,
    neuron_bytes,
    tile_bytes,
)
from ohmspike.hdl.shared.layout import Layout
from ohmspike.hdl.shared.ports import EventKind, access_shape, answer_shape, event_shape, output_spike_shape

from .store import byte_shape, replay_shape

__all__ = ["Decoder", "RecordWriter", "byte_shape"]

CRC_POLYNOMIAL = 0xEDB88320  # ISO-HDLC, low bit first

PLAIN_EVENTS = {
    Opcode.STEP: EventKind.STEP,
    Opcode.DECIDE: EventKind.DECIDE,
    Opcode.DARK: EventKind.DARK,
    Opcode.END: EventKind.END,
    Opcode.ANSWER: EventKind.ANSWER,
}


class RecordWriter(wiring.Component):
    """Write output spikes and answers as the records of docs/link.md; they never come at once.

    Timing
    ------
    Throughput
        One byte per clock, and a clock to take a spike or an answer.
    Latency
        1 clock from what is taken to its first byte.
    Reset
        Drops the record under way.

    Members
    -------
    output_spikes : :py:`In(stream.Signature(output_spike_shape(layout)))`
    answers : :py:`In(stream.Signature(answer_shape()))`
    output : :py:`Out(stream.Signature(8))`
    idle : :py:`Out(1)`
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        super().__init__({
            "output_spikes": In(stream.Signature(output_spike_shape(layout))),
            "answers": In(stream.Signature(answer_shape())),
            "output": Out(stream.Signature(8)),
            "idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        layout, chip = self._layout, self._layout.chip
        spike = self.output_spikes.payload
        tile_count, neuron_count = tile_bytes(chip), neuron_bytes(chip)
        longest = max(tile_count + neuron_count, ANSWER_BYTES if chip.classes else 0)
        record = Signal(8 * longest)
        left = Signal(range(longest + 1))
        tile, neuron = Signal(8 * tile_count), Signal(8 * neuron_count)
        m.d.comb += [
            tile.eq(Mux(spike.end, -1, spike.tile)),
            neuron.eq(spike.neuron.word * layout.lanes + spike.neuron.lane),
            self.output_spikes.ready.eq(left == 0),
            self.answers.ready.eq(left == 0),
            self.idle.eq((left == 0) & ~self.output_spikes.valid & ~self.answers.valid),
            self.output.valid.eq(left != 0),
            self.output.payload.eq(record[:8]),
        ]
        with m.If(self.output.valid & self.output.ready):
            m.d.sync += [record.eq(record >> 8), left.eq(left - 1)]
        with m.If(self.output_spikes.valid & self.output_spikes.ready):
            with m.If(spike.end):
                m.d.sync += [record.eq(tile), left.eq(tile_count)]
            with m.Elif(spike.first):
                m.d.sync += [record.eq(Cat(tile, neuron)), left.eq(tile_count + neuron_count)]
            with m.Else():
                m.d.sync += [record.eq(neuron), left.eq(neuron_count)]
        if chip.classes:
            with m.If(self.answers.valid & self.answers.ready):
                m.d.sync += [record.eq(self.answers.payload), left.eq(ANSWER_BYTES)]
        return m


class Decoder(wiring.Component):
    """Carry out a program (docs/link.md): decode, expand frames, run bursts over memories, end with a status.

    Timing
    ------
    Throughput
        One byte per clock, one clock more for every event, as long as the core takes it at once; a FRAME or RUNS one
        clock more in all. A burst takes ``11 + column`` clocks (opcode included), and every cell ``cell_bytes + 1`` and
        those of the access (:attr:`~ohmspike.hdl.shared.timing.Timing.access`). A CHECK takes 4 clocks more, a cell
        ``8 * cell_bytes + 1`` and those of the access. With a store, a program takes a clock more at its end, and
        a REPLAY 9 clocks; a round of it one more than its instructions, and those in which the store seeks.
    Latency
        The status comes when the core is idle.
    Reset
        Forgets the program.

    Parameters
    ----------
    layout : :class:`Layout`
    runs : :class:`bool`
        The instruction RUNS is known.
    store : :class:`int`
        Rows of the store; 0: there is none, and no REPLAY.

    Members
    -------
    program : :py:`In(stream.Signature(byte_shape()))`
    output : :py:`Out(stream.Signature(byte_shape()))`
        What reads deliver, then the status with ``last``. Output spikes are put between by the chip.
    events, access... :
        Towards :class:`~ohmspike.hdl.fast.core.Core`.
    idle, dark : :py:`In(1)`
        The core and the record writer are idle; the sample is dark.
    order, start, turn, drop, active, resumes, over
        With a store: towards its :class:`~ohmspike.hdl.top.store.Replayer`.
    """

    def __init__(self, layout: Layout, *, runs: bool = False, store: int = 0):
        self._layout, self._runs_known, self._store_rows = layout, runs, store
        super().__init__({
            "program": In(stream.Signature(byte_shape())),
            "output": Out(stream.Signature(byte_shape())),
            "events": Out(stream.Signature(event_shape())),
            "access": Out(access_shape(layout)),
            "access_valid": Out(1),
            "access_ready": In(1),
            "access_data": In(layout.access_bits),
            "idle": In(1),
            "dark": In(1),
        } | ({
            "order": Out(replay_shape()),
            "start": Out(1),
            "turn": Out(1),
            "drop": Out(1),
            "active": In(1),
            "resumes": In(1),
            "over": In(1),
        } if store else {}))
        self._replay = Signal()  # the operands are those of a REPLAY
        self._status = Signal(Status)
        self._ended = Signal()  # the last byte of the program was taken
        self._byte = self.program.payload.data
        self._kind = Signal(EventKind)
        self._write, self._check = Signal(), Signal()
        self._operands = Signal(56)
        self._missing = Signal(range(8))
        # the cell under way: its address, the limits of its memory, and the address after it
        self._code, self._row, self._column = self._operands[:8], Signal(16), Signal(16)
        self._neuron, self._value = Signal(layout.column), Signal(layout.access_bits)
        self._rows, self._columns = Signal(17), Signal(17)
        self._cell_bytes, self._writable = Signal(4), Signal()
        self._high = Signal()
        self._advanced = Signal(layout.column)

    def elaborate(self, platform):
        m = Module()
        self._burst_paths(m)
        with m.If(self.program.valid & self.program.ready):
            m.d.sync += self._ended.eq(self.program.payload.last)
        with m.FSM(name="program"):
            self._opcode(m)
            self._events(m)
            self._frame(m)
            if self._runs_known:
                self._runs(m)
            self._burst(m)
            if self._store_rows:
                self._play(m)
            self._finish(m)
        return m

    def _next_instruction(self, m, ended):
        m.next = "OPCODE"
        with m.If(ended):
            m.next = "RETURN" if self._store_rows else "STATUS"

    def _fail(self, m, status, ended):
        m.d.sync += self._status.eq(status)
        if self._store_rows:
            m.next = "GIVE UP"
            return
        m.next = "DRAIN"
        with m.If(ended):
            m.next = "STATUS"

    def _take(self, m):
        """Ask for the next byte; what follows happens when it is there."""
        m.d.comb += self.program.ready.eq(1)
        return m.If(self.program.valid)

    def _opcode(self, m):
        last = self.program.payload.last
        with m.State("OPCODE"):
            with self._take(m):
                if self._store_rows:
                    m.d.sync += self._replay.eq(self._byte == Opcode.REPLAY)
                with m.Switch(self._byte):
                    with m.Case(Opcode.NOP):
                        self._next_instruction(m, last)
                    for opcode, kind in PLAIN_EVENTS.items():
                        with m.Case(opcode):
                            m.d.sync += self._kind.eq(kind)
                            m.next = "EVENT"
                    with m.Case(Opcode.SPIKE):
                        m.d.sync += [self._kind.eq(EventKind.SPIKE), self._missing.eq(2)]
                        self._with_operands(m, last, "OPERANDS")
                    with m.Case(Opcode.LABEL):
                        m.d.sync += [self._kind.eq(EventKind.LABEL), self._missing.eq(1)]
                        self._with_operands(m, last, "OPERANDS")
                    with m.Case(Opcode.FRAME):
                        self._with_operands(m, last, "FRAME START")
                    if self._runs_known:
                        with m.Case(Opcode.RUNS):
                            self._with_operands(m, last, "RUNS START")
                    with m.Case(Opcode.WRITE, Opcode.READ, Opcode.CHECK):
                        m.d.sync += [self._write.eq(self._byte == Opcode.WRITE), self._missing.eq(7),
                                     self._check.eq(self._byte == Opcode.CHECK), self._kind.eq(EventKind.REFUSE)]
                        self._with_operands(m, last, "OPERANDS")
                    if self._store_rows:
                        with m.Case(Opcode.REPLAY):
                            m.d.sync += [self._missing.eq(7), self._kind.eq(EventKind.REFUSE)]
                            self._with_operands(m, last, "OPERANDS")
                    with m.Default():
                        self._fail(m, Status.BAD_INSTRUCTION, last)
        with m.State("OPERANDS"):
            with self._take(m):
                m.d.sync += self._operands.eq(Cat(self._operands[8:], self._byte))
                m.d.sync += self._missing.eq(self._missing - 1)
                with m.If(self._missing == 1):
                    m.next = "BURST"
                    if self._store_rows:
                        with m.If(self._replay):
                            m.next = "REPLAY"
                    with m.If((self._kind == EventKind.SPIKE) | (self._kind == EventKind.LABEL)):
                        m.next = "EVENT"
                with m.Elif(last):
                    self._fail(m, Status.BAD_INSTRUCTION, last)

    def _with_operands(self, m, last, state):
        m.next = state
        with m.If(last):
            self._fail(m, Status.BAD_INSTRUCTION, last)

    def _events(self, m):
        with m.State("EVENT"):
            m.d.comb += [
                self.events.valid.eq(1),
                self.events.payload.kind.eq(self._kind),
                self.events.payload.line.eq(
                    Mux(self._kind == EventKind.LABEL, self._operands[48:], self._operands[40:])),
            ]
            with m.If(self.events.ready):
                self._next_instruction(m, self._ended)

    def _frame(self, m):
        """One clock for a byte of the bitmap, one for every spike in it. A dark sample refuses the frame as a whole."""
        chip = self._layout.chip
        frame_bytes = -(-chip.lines // 8)
        bits = Signal(8)
        lowest = Signal(3)
        base = Signal(16)
        refused = Signal()
        left = Signal(range(frame_bytes + 1))
        spare = frame_bytes * 8 - chip.lines
        alone = Signal(8)  # the lowest set bit by itself
        m.d.comb += alone.eq(bits & (~bits + 1)[:8])
        for digit in range(3):
            m.d.comb += lowest[digit].eq(Cat(alone[bit] for bit in range(8) if bit >> digit & 1).any())
        more = Signal()
        m.d.comb += more.eq((bits & (bits - 1))[:8] != 0)
        with m.State("FRAME START"):
            with m.If(self.idle):
                m.d.sync += [refused.eq(self.dark), base.eq(-8), left.eq(frame_bytes)]
                m.next = "FRAME"
        with m.State("FRAME"):
            with self._take(m):
                used = Mux(left == 1, self._byte & (0xFF >> spare), self._byte)
                m.d.sync += [bits.eq(used), base.eq(base + 8), left.eq(left - 1)]
                with m.If(self.program.payload.last & (left != 1)):
                    self._fail(m, Status.BAD_INSTRUCTION, 1)
                with m.Elif((used != 0) & ~refused):
                    m.next = "FRAME SPIKE"
                with m.Elif(left == 1):
                    self._end_frame(m, refused, self.program.payload.last)
        with m.State("FRAME SPIKE"):
            m.d.comb += [
                self.events.valid.eq(1),
                self.events.payload.kind.eq(EventKind.SPIKE),
                self.events.payload.line.eq(base | lowest),
            ]
            with m.If(self.events.ready):
                m.d.sync += bits.eq(bits & (bits - 1))
                with m.If(~more):
                    m.next = "FRAME"
                    with m.If(left == 0):
                        self._end_frame(m, refused, self._ended)

    def _runs(self, m):
        """One clock for a byte, one for every spike of it. A dark sample refuses all of them at once.

        A byte that reaches beyond the last line does nothing and ends the program.
        """
        lines = self._layout.chip.lines
        base, beyond = Signal(range(lines + 1)), Signal(range(lines + 1 + RUN_SKIP_MAX + RUN_LINES_MAX))
        refused = Signal()
        spiking, left = self._byte[RUN_SKIP_BITS:], Signal(range(RUN_LINES_MAX + 1))
        first = base + self._byte[:RUN_SKIP_BITS]
        m.d.comb += beyond.eq(first + spiking)
        with m.State("RUNS START"):
            m.d.sync += [refused.eq(self.dark), base.eq(0)]
            m.next = "RUNS"
        with m.State("RUNS"):
            with self._take(m):
                with m.If(self._byte == 0):
                    self._end_frame(m, refused, self.program.payload.last)
                with m.Elif(self.program.payload.last | (beyond > lines)):
                    self._fail(m, Status.BAD_INSTRUCTION, self.program.payload.last)
                with m.Elif(refused | (spiking == 0)):
                    m.d.sync += base.eq(beyond)
                with m.Else():
                    m.d.sync += [base.eq(first), left.eq(spiking)]
                    m.next = "RUNS SPIKE"
        with m.State("RUNS SPIKE"):
            m.d.comb += [
                self.events.valid.eq(1),
                self.events.payload.kind.eq(EventKind.SPIKE),
                self.events.payload.line.eq(base),
            ]
            with m.If(self.events.ready):
                m.d.sync += [base.eq(base + 1), left.eq(left - 1)]
                with m.If(left == 1):
                    m.next = "RUNS"

    def _end_frame(self, m, refused, ended):
        self._next_instruction(m, ended)
        with m.If(refused):
            m.d.sync += self._kind.eq(EventKind.REFUSE)
            m.next = "EVENT"

    def _burst_paths(self, m):
        """The cell under way: its address, the limits of its memory, and the address after it."""
        layout, chip = self._layout, self._layout.chip
        with m.Switch(self._code):
            for entry in MEMORIES:
                if not entry.rows(chip):
                    continue
                with m.Case(entry.code):
                    m.d.comb += [self._rows.eq(entry.rows(chip)), self._columns.eq(entry.columns(chip)),
                                 self._cell_bytes.eq(entry.cell_bytes), self._writable.eq(int(entry.writable(chip)))]
            if self._store_rows:
                store = memory("store")
                with m.Case(store.code):  # not out of the store itself
                    m.d.comb += [self._rows.eq(self._store_rows), self._columns.eq(Mux(self.active, 0, STORE_COLUMNS)),
                                 self._cell_bytes.eq(store.cell_bytes), self._writable.eq(1)]
        m.d.comb += [self._advanced.lane.eq(self._neuron.lane + 1), self._advanced.word.eq(self._neuron.word)]
        with m.If(self._neuron.lane == layout.lanes - 1):
            m.d.comb += [self._advanced.lane.eq(0), self._advanced.word.eq(self._neuron.word + 1)]
        m.d.comb += [
            self.access.memory.eq(self._code),
            self.access.row.eq(self._row),
            self.access.column.eq(self._column),
            self.access.neuron.eq(self._neuron),
            self.access.write.eq(self._write),
            self.access.data.eq(self._value),
            self.access.high.eq(self._high),
        ]

    def _burst(self, m):
        """Cell after cell: collect the bytes of a cell, have it written; or have it read, deliver or add up its bytes.

        A CRC is made where the operands were, a bit a clock, as its complement, which begins with 0 and is what is put
        out; it leaves as the operands came, a byte at a time.
        """
        row, column, neuron, value = self._row, self._column, self._neuron, self._value
        layout = self._layout
        piece = layout.access_bits // 8  # bytes of a cell that are accessed at once
        left, seek, moved = Signal(16), Signal(16), Signal(range(9))
        crc, bits = self._operands[8:40], self._missing
        with m.State("BURST"):
            with m.If(self._check):
                m.d.sync += crc.eq(0)
            m.d.sync += [row.eq(self._operands[8:24]), column.eq(self._operands[24:40]), left.eq(self._operands[40:]),
                         seek.eq(self._operands[24:40]), neuron.eq(Const(0, neuron.shape().size))]
            m.next = "SEEK"
        with m.State("SEEK"):
            with m.If((column >= self._columns) | (self._write & ~self._writable)):
                self._fail(m, Status.BAD_ADDRESS, self._ended)
            with m.Elif((seek == 0) | (self._code == memory("store").code) if self._store_rows else seek == 0):
                m.next = "CELL"
            with m.Else():
                m.d.sync += [seek.eq(seek - 1), neuron.eq(self._advanced)]
        with m.State("CELL"):
            m.d.sync += [moved.eq(0), value.eq(0)]
            with m.If(left == 0):
                with m.If(self._check):
                    m.d.sync += bits.eq(CHECK_BYTES)
                    m.next = "CHECKSUM"
                with m.Else():
                    self._next_instruction(m, self._ended)
            with m.Elif(row >= self._rows):
                self._fail(m, Status.BAD_ADDRESS, self._ended)
            with m.Elif(self._write & self._ended):
                self._fail(m, Status.BAD_INSTRUCTION, 1)
            with m.Else():
                m.next = "ACCESS"
                with m.If(self._write):
                    m.next = "COLLECT"
        with m.State("COLLECT"):
            with self._take(m):
                m.d.sync += [value.word_select(moved[:2 if layout.small else 3], 8).eq(self._byte), moved.eq(moved + 1)]
                with m.If(moved + 1 == self._cell_bytes):
                    m.next = "ACCESS"
                with m.Elif(self.program.payload.last):
                    self._fail(m, Status.BAD_INSTRUCTION, 1)
        with m.State("ACCESS"):
            m.d.comb += self.access_valid.eq(1)
            with m.If(self.access_ready):
                half = ~self._write & (self._cell_bytes > piece) & ~self._high if layout.small else Const(0)
                with m.If(~half):
                    m.d.sync += [left.eq(left - 1), column.eq(column + 1), neuron.eq(self._advanced)]
                    with m.If(column + 1 == self._columns):
                        m.d.sync += [column.eq(0), row.eq(row + 1), neuron.eq(Const(0, neuron.shape().size))]
                m.d.sync += [moved.eq(0), self._high.eq(half)]
                m.next = "CELL"
                with m.If(~self._write):
                    m.d.sync += value.eq(self.access_data)
                    m.next = "DELIVER"
        with m.State("DELIVER"):
            m.d.comb += [self.output.valid.eq(~self._check), self.output.payload.data.eq(value[:8])]
            kept = crc[0] ^ value.bit_select(bits, 1)
            with m.If(self._check):
                m.d.sync += [crc.eq((crc >> 1) ^ Mux(kept, 1 << 31, CRC_POLYNOMIAL ^ 1 << 31)), bits.eq(bits + 1)]
            with m.If(Mux(self._check, bits == 7, self.output.ready)):
                m.d.sync += [value.eq(value >> 8), moved.eq(moved + 1)]
                with m.If(moved + 1 == self._cell_bytes):
                    m.next = "CELL"
                if layout.small:
                    with m.If(moved == piece - 1):
                        m.next = "CELL"
                        with m.If(self._high):
                            m.next = "ACCESS"
        with m.State("CHECKSUM"):
            m.d.comb += [self.output.valid.eq(1), self.output.payload.data.eq(crc[:8])]
            with m.If(self.output.ready):
                m.d.sync += [self._operands.eq(Cat(self._operands[8:], self._byte)), bits.eq(bits - 1)]
                with m.If(bits == 1):
                    self._next_instruction(m, self._ended)

    def _play(self, m):
        """REPLAY: the bytes of the store are a program of its own, round after round."""
        beyond = Signal(len(self.order.as_value()))
        m.d.comb += [self.order.as_value().eq(self._operands), beyond.eq(self.order.first + self.order.length)]
        with m.State("REPLAY"):
            with m.If(self.active):
                self._fail(m, Status.BAD_INSTRUCTION, self._ended)
            with m.Elif(beyond > self._store_rows * STORE_COLUMNS):
                self._fail(m, Status.BAD_ADDRESS, self._ended)
            with m.Elif((self.order.length == 0) | (self.order.times == 0)):
                self._next_instruction(m, self._ended)
            with m.Else():
                m.d.comb += self.start.eq(1)
                m.d.sync += self._ended.eq(0)
                m.next = "OPCODE"
        with m.State("RETURN"):
            m.d.comb += self.turn.eq(1)
            m.next = "STATUS"
            with m.If(self.resumes):
                m.d.sync += self._ended.eq(0)
                m.next = "OPCODE"
        with m.State("GIVE UP"):
            m.d.comb += self.drop.eq(1)
            m.next = "DRAIN"
            with m.If(Mux(self.active, self.over, self._ended)):
                m.next = "STATUS"

    def _finish(self, m):
        with m.State("DRAIN"):
            with self._take(m):
                with m.If(self.program.payload.last):
                    m.next = "STATUS"
        with m.State("STATUS"):
            m.d.comb += [self.output.valid.eq(self.idle), self.output.payload.data.eq(self._status),
                         self.output.payload.last.eq(1)]
            with m.If(self.output.valid & self.output.ready):
                m.d.sync += [self._status.eq(Status.OK), self._ended.eq(0)]
                m.next = "OPCODE"
