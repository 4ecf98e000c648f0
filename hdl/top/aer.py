"""A chip that takes spikes as address events (AER), beside the programs of its link."""

from amaranth import DomainRenamer, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.chip.instructions import Opcode
from ohmspike.hdl.shared.layout import Layout

from .chip import ChipTop
from .decode import byte_shape

__all__ = ["AerChip", "AerMark", "AerProgram", "AerWindow", "aer_shape"]


class AerMark(enum.Enum, shape=2):
    """What a word is: an address event, or a mark among them."""

    EVENT = 0
    STEP = 1
    END = 2


def aer_shape():
    """An address event, or a mark, of which the other fields mean nothing."""
    return data.StructLayout({"y": 12, "x": 12, "polarity": 1, "mark": AerMark})


class AerWindow(wiring.Component):
    """Put marks among address events: a STEP after every bin, an END after the last one of a sample.

    Time stands still while a mark waits to be taken: a bin is ``bin_clocks`` clocks in which the chip could take
    events.

    Timing
    ------
    Throughput
        A word per clock; an event waits while a mark is on its way.
    Latency
        None.
    Reset
        The first bin of a sample begins.

    Parameters
    ----------
    bin_clocks : :class:`int`
        Clocks of a bin, at least 1.
    bins : :class:`int`
        Bins of a sample, 1 to 255.

    Members
    -------
    events, words : :py:`stream.Signature(aer_shape())`
        In and out; marks that come in go out.
    """

    events: In(stream.Signature(aer_shape()))
    words: Out(stream.Signature(aer_shape()))

    def __init__(self, bin_clocks: int, bins: int):
        if bin_clocks < 1:
            raise ValueError(f"bin_clocks must be at least 1, not {bin_clocks!r}")
        if not 1 <= bins <= 255:
            raise ValueError(f"bins must be 1 to 255, not {bins!r}")
        self._bin_clocks, self._bins = bin_clocks, bins
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        left, bin_ = Signal(range(self._bin_clocks), init=self._bin_clocks - 1), Signal(range(self._bins))
        marking, held = Signal(), Signal()  # held: an event was offered and waits; it goes first
        m.d.sync += held.eq(0)
        with m.If(marking & ~held):
            m.d.comb += [self.words.valid.eq(1), self.words.payload.mark.eq(AerMark.STEP)]
            with m.If(bin_ == self._bins - 1):
                m.d.comb += self.words.payload.mark.eq(AerMark.END)
            with m.If(self.words.ready):
                m.d.sync += [marking.eq(0), bin_.eq(bin_ + 1)]
                with m.If(bin_ == self._bins - 1):
                    m.d.sync += bin_.eq(0)
        with m.Else():
            m.d.comb += [self.words.valid.eq(self.events.valid), self.words.payload.eq(self.events.payload),
                         self.events.ready.eq(self.words.ready)]
            m.d.sync += held.eq(self.events.valid & ~self.words.ready)
        with m.If(~marking):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += [marking.eq(1), left.eq(self._bin_clocks - 1)]
        return m


class AerProgram(wiring.Component):
    """Words of AER as the program of a sample, for :class:`~ohmspike.hdl.top.chip.Executor`.

    An event is SPIKE of line ``y · width + x``, whatever its polarity, in a chip of one channel. One with ``2 W``
    channels has two for each of W windows of time (contract 9.8): ON events (polarity 1) go to the first of the two,
    others to the second, and a STEP ends a window, but the last. Events outside the plane are dropped. STEP is STEP.
    END ends the sample: in race mode DECIDE first, then ANSWER of a chip with a read-out and LABEL if there is a label;
    DARK if ``learn``, but in a shared crossbar, which takes none.

    Timing
    ------
    Throughput
        An event in 4 clocks, as long as the program is taken.
    Latency
        1 clock.
    Reset
        Forgets the sample.

    Members
    -------
    words : :py:`In(stream.Signature(aer_shape()))`
    learn, labelled, label : :py:`In(1)`, :py:`In(1)`, :py:`In(8)`
        Of a sample, taken with its END.
    program : :py:`Out(stream.Signature(byte_shape()))`
    idle : :py:`Out(1)`
        No instruction is under way.
    outside : :py:`Out(1)`
        An event is dropped with this clock.
    """

    words: In(stream.Signature(aer_shape()))
    learn: In(1)
    labelled: In(1)
    label: In(8)
    program: Out(stream.Signature(byte_shape()))
    idle: Out(1)
    outside: Out(1)

    def __init__(self, layout: Layout):
        self._chip = layout.chip
        if self._chip.channels > 1 and self._chip.channels % 2:
            raise ValueError(f"channels must be 1, or 2 for every window of time, not {self._chip.channels}")
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        chip, word = self._chip, self.words.payload
        line = Signal(16)
        learn, labelled, label = Signal(), Signal(), Signal(8)  # of the sample
        inside = (word.y < chip.plane_height) & (word.x < chip.plane_width)
        where = word.y * chip.plane_width + word.x
        pixels = chip.plane_height * chip.plane_width
        base = Signal(range(max(2, chip.lines)))  # the first line of the window
        if chip.channels > 1:
            where = where + base + Mux(word.polarity, 0, pixels)
        out = self.program.payload

        def put(byte, following, *, last=0):
            m.d.comb += [self.program.valid.eq(1), out.data.eq(byte), out.last.eq(last)]
            with m.If(self.program.ready):
                m.next = following

        with m.FSM():
            with m.State("WORD"):
                m.d.comb += [self.idle.eq(1), self.words.ready.eq(1)]
                with m.If(self.words.valid):
                    m.d.sync += line.eq(where)
                    with m.Switch(word.mark):
                        with m.Case(AerMark.EVENT):
                            m.d.comb += self.outside.eq(~inside)
                            with m.If(inside):
                                m.next = "SPIKE"
                        with m.Case(AerMark.STEP):
                            if chip.channels > 2:
                                with m.If(base != chip.lines - 2 * pixels):
                                    m.d.sync += base.eq(base + 2 * pixels)
                            m.next = "STEP"
                        with m.Case(AerMark.END):
                            if chip.channels > 2:
                                m.d.sync += base.eq(0)
                            m.d.sync += [learn.eq(self.learn), labelled.eq(self.labelled), label.eq(self.label)]
                            m.next = "DECIDE" if chip.fire_mode == "race" else "DARK"
            with m.State("SPIKE"):
                put(Opcode.SPIKE, "LOW")
            with m.State("LOW"):
                put(line[:8], "HIGH")
            with m.State("HIGH"):
                put(line[8:], "WORD")
            with m.State("STEP"):
                put(Opcode.STEP, "WORD")
            if chip.fire_mode == "race":
                with m.State("DECIDE"):
                    put(Opcode.DECIDE, "ANSWER" if chip.classes else "DARK")
            if chip.classes:
                with m.State("ANSWER"):
                    put(Opcode.ANSWER, "LABEL")
                with m.State("LABEL"):
                    with m.If(labelled):
                        put(Opcode.LABEL, "CLASS")
                    with m.Else():
                        m.next = "DARK"
                with m.State("CLASS"):
                    put(label, "DARK")
            with m.State("DARK"):
                if chip.shared:
                    m.next = "END"
                else:
                    with m.If(learn):
                        put(Opcode.DARK, "END")
                    with m.Else():
                        m.next = "END"
            with m.State("END"):
                put(Opcode.END, "WORD", last=1)
        return m


class AerChip(ChipTop):
    """A chip that takes samples as address events, and programs from its link between two samples.

    What a sample outputs (records of output spikes, the answer; docs/link.md) comes on ``out``, and after its END a
    status with ``out_last``. A program of the link that comes within a sample waits for its end, and a sample for the
    end of the program; the first word after an END begins the next sample.

    Timing
    ------
    Throughput, latency
        Of :class:`AerProgram`, of :class:`AerWindow` and of :class:`~ohmspike.hdl.top.chip.ChipTop`.
    Reset
        Of :class:`~ohmspike.hdl.top.chip.ChipTop`.

    Parameters
    ----------
    layout : :class:`Layout`
    bin_clocks : :class:`int`, optional
        Make the marks by the clock (:class:`AerWindow`); without it they come with ``aer_mark``.
    bins : :class:`int`
        Bins of a sample, if ``bin_clocks`` is given.
    options
        Of :class:`~ohmspike.hdl.top.chip.ChipTop`.

    Members
    -------
    rx, tx : :py:`stream.Signature(8)`
        Bytes from and to the host, as of every chip.
    aer_y, aer_x, aer_polarity, aer_mark, aer_valid, aer_ready :
        Words of :func:`aer_shape`, taken in clocks in which the last two are 1.
    learn, labelled, label : :py:`In(1)`, :py:`In(1)`, :py:`In(8)`
        As for :class:`AerProgram`.
    out_data, out_last, out_valid, out_ready :
        Output of samples.
    outside : :py:`Out(1)`
        An event outside the plane is dropped with this clock.
    """

    def __init__(self, layout: Layout, *, bin_clocks: int | None = None, bins: int = 1, **options):
        self._window = None if bin_clocks is None else AerWindow(bin_clocks, bins)
        super().__init__(layout, **options)

    @staticmethod
    def _members():
        return ChipTop._members() | {
            "aer_y": In(12), "aer_x": In(12), "aer_polarity": In(1), "aer_mark": In(2), "aer_valid": In(1),
            "aer_ready": Out(1), "learn": In(1), "labelled": In(1), "label": In(8), "out_data": Out(8),
            "out_last": Out(1), "out_valid": Out(1), "out_ready": In(1), "outside": Out(1)}

    def _join(self, m, link, executor):
        program = AerProgram(self._layout)
        m.submodules.sample = DomainRenamer("engine")(program)
        events = stream.Signature(aer_shape()).create(path=("events",))
        m.d.comb += [
            events.payload.y.eq(self.aer_y), events.payload.x.eq(self.aer_x), events.valid.eq(self.aer_valid),
            events.payload.polarity.eq(self.aer_polarity), self.aer_ready.eq(events.ready),
            program.learn.eq(self.learn), program.labelled.eq(self.labelled), program.label.eq(self.label),
            self.outside.eq(program.outside),
        ]
        if self._window is None:
            m.d.comb += events.payload.mark.eq(self.aer_mark)
            source = events
        else:
            m.submodules.window = DomainRenamer("engine")(self._window)
            m.d.comb += [self._window.events.valid.eq(events.valid), self._window.events.payload.eq(events.payload),
                         events.ready.eq(self._window.events.ready)]
            source = self._window.words

        # a sample begins while no program of the link is under way, and ends when its status is taken
        ours, ended = Signal(), Signal()
        output, taken = executor.output, Signal()
        m.d.comb += [
            program.words.payload.eq(source.payload),
            program.words.valid.eq(source.valid & ours & ~ended),
            source.ready.eq(program.words.ready & ours & ~ended),
            taken.eq(self.out_valid & self.out_ready & self.out_last),
        ]
        with m.If(source.valid & ~link.busy & ~ours):
            m.d.engine += ours.eq(1)
        with m.If(source.valid & source.ready & (source.payload.mark == AerMark.END)):
            m.d.engine += ended.eq(1)
        with m.If(taken):
            m.d.engine += [ours.eq(0), ended.eq(0)]

        # the executor is the sample's or the link's
        m.d.comb += [
            executor.program.payload.eq(Mux(ours, program.program.payload.as_value(), link.program.payload.as_value())),
            executor.program.valid.eq(Mux(ours, program.program.valid, link.program.valid)),
            program.program.ready.eq(executor.program.ready & ours),
            link.program.ready.eq(executor.program.ready & ~ours),
            link.output.payload.eq(output.payload),
            link.output.valid.eq(output.valid & ~ours),
            output.ready.eq(Mux(ours, self.out_ready, link.output.ready)),
            self.out_data.eq(output.payload.data),
            self.out_last.eq(output.payload.last),
            self.out_valid.eq(output.valid & ours),
            # a sample that waits for its events, or for its output to be taken, is no hang
            link.moved.eq(executor.moved | (ours & ((program.idle & ~ended) | self.out_valid | (
                executor.program.valid & executor.program.ready)))),
        ]
