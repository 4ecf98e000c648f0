"""The link against the reference: every program once, in order, never a damaged one; every answer right."""

import os
import random
import struct

import pytest
from amaranth.hdl import Mux, ResetInserter, Signal
from amaranth.lib import crc
from amaranth.sim import Simulator

from ohmspike.chip.instructions import ESCAPE, FLAG, FrameKind, NakReason, Status
from ohmspike.hdl.link import receiver, transmitter
from ohmspike.hdl.link.link import Link
from support.reference_link import ReferenceHost, ReferenceLink, decode, encode, sealed, stuff, verify
from support.streams import StreamSink, StreamSource, watch_streams

DIGEST = bytes([0x7E, 0x7D, 1, 2, 3, 4, 0xFE, 0xFF])
SMALL = {"max_request": 16, "max_reply": 20, "window": 2}
ABORT = bytes([ESCAPE, FLAG])
HELLO, RUN = FrameKind.HELLO, FrameKind.RUN


def output_of(byte):
    """What a byte of a program puts out: nothing to three bytes, some of them FLAG or ESCAPE."""
    return bytes([byte ^ 0x7E]) * (byte & 3)


def answer(program):
    """Output and status of a program."""
    return b"".join(map(output_of, program)), Status(sum(program) % 3)


class Executor:
    """Take programs and put output out while they still come in."""

    def __init__(self, dut, *, idle, stall, seed):
        self.source = StreamSource(dut.output, idle=idle, seed=f"{seed} output")
        self.sink = StreamSink(dut.program, stall=stall, seed=f"{seed} program", on_take=self.take)
        self.programs, self.partial = [], b""

    def take(self, byte):
        self.partial += bytes([byte.data])
        self.source.queue.extend({"data": value, "last": 0} for value in output_of(byte.data))
        if byte.last:
            self.source.queue.append({"data": answer(self.partial)[1], "last": 1})
            self.programs.append(self.partial)
            self.partial = b""


class Bench:
    """Clock, reset, a host's two streams, an executor, stream checkers, and a memory full of rubbish."""

    def __init__(self, *, idle=0.0, stall=0.0, seed=0, link=Link, **parameters):
        self.parameters = SMALL | parameters
        self.dut = link(DIGEST, **self.parameters)
        self.reset = Signal()
        self.host = StreamSource(self.dut.rx, idle=idle, seed=f"{seed} rx")
        self.sink = StreamSink(self.dut.tx, stall=stall, seed=f"{seed} tx")
        self.executor = Executor(self.dut, idle=idle, stall=stall, seed=seed)
        self.reference = ReferenceLink(DIGEST, answer, **self.parameters)
        self.rng = random.Random(f"{seed} rubbish")

    def run(self, main):
        async def guarded(ctx):
            for slots in (self.dut._requests.slots, self.dut._replies.slots):
                for address in range(slots.memory.depth):
                    ctx.set(slots.memory.data[address], self.rng.randrange(256))
            await main(ctx)

        sim = Simulator(ResetInserter(self.reset)(self.dut))
        sim.add_clock(1e-6)
        for role in (self.host, self.sink, self.executor.sink, self.executor.source):
            sim.add_testbench(role.run, background=True)
        ports = {name: getattr(self.dut, name) for name in ("rx", "tx", "program", "output")}
        sim.add_testbench(watch_streams(ports, reset=self.reset), background=True)
        sim.add_testbench(guarded)
        sim.run()

    def send(self, line):
        self.host.queue.extend(line)
        self.reference.receive(line)

    async def quiet(self, ctx, clocks=120):
        """Until nothing has moved for a while."""
        seen, still = None, 0
        while still < clocks:
            await ctx.tick()
            now = (len(self.host.times), len(self.sink.times), len(self.executor.sink.times),
                   len(self.executor.source.times))
            still = still + 1 if now == seen else 0
            seen = now

    async def exchange(self, ctx, line):
        """Send something and return the frames that come back."""
        before = len(self.sink.taken)
        self.send(line)
        await self.quiet(ctx)
        return decode(bytes(self.sink.taken[before:]))

    def verify(self, ctx):
        dut, reference = self.dut, self.reference
        assert not self.host.queue, f"{len(self.host.queue)} bytes were not taken"
        assert self.executor.programs == [program for program in reference.programs if program]
        verify(reference, bytes(self.sink.taken))
        for name in ("bad_frames", "out_of_sequence", "repeats"):
            assert ctx.get(getattr(dut, name)) == getattr(reference, name), name
        assert not ctx.get(dut.busy)


def play(line, *, setup=None, **arguments):
    """Send a line, wait, compare everything with the reference."""
    bench = Bench(**arguments)

    async def main(ctx):
        if setup is not None:
            setup(ctx, bench)
        bench.send(line)
        await bench.quiet(ctx)
        bench.verify(ctx)

    bench.run(main)
    return bench


def session(*programs, first=100, nonce=b"abcd"):
    """A HELLO and programs."""
    return encode(first, HELLO, nonce) + b"".join(
        encode((first + 1 + place) % 65536, RUN, program) for place, program in enumerate(programs))


def traffic(rng, count, parameters):
    """Frames of all kinds, right and wrong; an untimed chip tells which number comes next."""
    chip = ReferenceLink(DIGEST, answer, **parameters)
    nonce = rng.randbytes(4)
    pieces = [encode(rng.choice([7, 65530, 65535]), HELLO, nonce)]
    chip.receive(pieces[0])

    def program():
        return bytes(rng.choice([0x7E, 0x7D, 0x5E, 0x00, rng.randrange(256)])
                     for _ in range(rng.choice([0, 1, 2, 5, parameters["max_request"]])))

    def run(behind=0):
        return encode((chip.expected - behind) % 65536, RUN, program())

    def corrupted():
        line = bytearray(run())
        line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
        return bytes(line)

    def truncated():
        line = run()
        return line[:rng.randrange(1, len(line))] + bytes([FLAG])

    kinds = [
        (10, run),
        (3, lambda: run(behind=rng.randrange(1, parameters["window"] + 1))),
        (2, lambda: run(behind=rng.choice([-2, -1, parameters["window"] + 1, rng.randrange(65536)]))),
        (1, lambda: encode(rng.randrange(65536), HELLO, rng.randbytes(4))),
        (1, lambda: encode(rng.randrange(65536), HELLO, chip.nonce)),
        (1, lambda: encode(rng.randrange(65536), HELLO, rng.randbytes(rng.choice([0, 3, 5])))),
        (1, lambda: encode(chip.expected, rng.choice([0, 3, 0x81, 0x82, 0xFF]), program())),
        (2, corrupted),
        (1, truncated),
        (1, lambda: encode(chip.expected, RUN, rng.randbytes(parameters["max_request"] + rng.randrange(1, 40)))),
        (1, lambda: run()[:-1] + ABORT),
        (1, lambda: bytes([FLAG]) + ABORT),
        (1, lambda: rng.randbytes(rng.randrange(1, 9))),
        (1, lambda: bytes([FLAG]) * rng.randrange(1, 4)),
        (1, lambda: rng.choice(pieces)),
        (2, lambda: run()[:-1]),  # its closing FLAG opens the next frame
        (1, lambda: bytes([FLAG]) + stuff(rng.randbytes(rng.randrange(1, 7))) + bytes([FLAG])),
    ]
    weights = [weight for weight, _ in kinds]
    for _ in range(count):
        piece = rng.choices(kinds, weights)[0][1]()
        chip.receive(piece)
        pieces.append(piece)
    return b"".join(pieces) + bytes([FLAG])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("parameters", [
    {}, {"window": 1}, {"window": 4}, {"max_request": 5, "max_reply": 2}, {"max_request": 33, "max_reply": 9}])
def test_fuzz_matches_reference(parameters, seed):
    rng = random.Random(f"{parameters} {seed}")
    idle, stall = (0, 0) if seed == 0 else (rng.choice([0, 0.2, 0.8]), rng.choice([0, 0.2, 0.8]))
    play(traffic(rng, 40, SMALL | parameters), idle=idle, stall=stall, seed=seed, **parameters)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 24 if "OHMSPIKE_LONG_TESTS" in os.environ else 12))
def test_long_fuzz_matches_reference(seed):
    rng = random.Random(seed)
    parameters = {"window": rng.choice([1, 2, 4, 8]), "max_request": rng.choice([4, 16, 40]),
                  "max_reply": rng.choice([2, 17, 64])}
    play(traffic(rng, 300, SMALL | parameters), idle=rng.choice([0, 0.3]), stall=rng.choice([0, 0.3, 0.7]), seed=seed,
         **parameters)


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513])
def test_requests_up_to_the_limit_are_executed(length):
    line = session(bytes([0x7E]) * length, b"\x01\x02")
    bench = play(line, max_request=512, max_reply=512)
    assert len(bench.executor.programs) == (0 if length == 513 else 1 + bool(length))


@pytest.mark.parametrize("count, status", [(17, 0), (19, 0), (20, 3), (21, 3)])
def test_output_beyond_the_reply_is_cut(count, status):
    program = bytes([3] * (count // 3) + [count % 3])
    program += bytes([[0, 8, 4][sum(program) % 3]])  # puts nothing out and makes the status OK
    assert answer(program)[1] == Status.OK and len(answer(program)[0]) == count
    bench = play(session(program))
    reply = decode(bytes(bench.sink.taken))[-1].payload
    assert len(reply) == min(count, 19) + 1 and reply[-1] == status


def test_failed_program_keeps_its_status_when_cut():
    program = bytes([3] * 10 + [4])
    assert answer(program)[1] == Status.BAD_INSTRUCTION and len(answer(program)[0]) > 19
    bench = play(session(program))
    assert decode(bytes(bench.sink.taken))[-1].payload[-1] == Status.BAD_INSTRUCTION


def test_run_before_the_first_hello_is_refused():
    bench = play(encode(0, RUN, b"\x01"))
    assert [frame.payload for frame in decode(bytes(bench.sink.taken))] == [struct.pack("<BH", NakReason.SEQUENCE, 0)]


def test_replies_are_repeated_while_the_window_lasts():
    bench = Bench(window=4)

    async def main(ctx):
        await bench.exchange(ctx, session(*(bytes([value]) for value in range(1, 7))))
        for back in range(1, 5):
            frames = await bench.exchange(ctx, encode(107 - back, RUN, b"whatever"))
            assert [(frame.kind, frame.seq) for frame in frames] == [(FrameKind.REPLY, 107 - back)]
            assert frames[0].payload == bench.reference.reply(bytes([7 - back]))
        frames = await bench.exchange(ctx, encode(102, RUN, b"too old"))
        assert [(frame.kind, frame.payload) for frame in frames] == [(FrameKind.NAK, struct.pack("<BH", 2, 107))]
        bench.verify(ctx)

    bench.run(main)


def test_hello_of_a_new_session_forgets_replies_and_a_repeated_one_does_not():
    bench = Bench()

    async def main(ctx):
        await bench.exchange(ctx, session(b"\x01", first=65534))
        frames = await bench.exchange(ctx, encode(9, HELLO, b"abcd"))
        assert frames[0].seq == 9 and frames[0].payload[-2:] == struct.pack("<H", 0)
        assert [f.kind for f in await bench.exchange(ctx, encode(65535, RUN, b"\x01"))] == [FrameKind.REPLY]
        frames = await bench.exchange(ctx, encode(65534, HELLO, b"abcD"))
        assert frames[0].payload[-2:] == struct.pack("<H", 0)
        assert [f.kind for f in await bench.exchange(ctx, encode(65534, RUN, b"\x01"))] == [FrameKind.NAK]
        assert [f.kind for f in await bench.exchange(ctx, encode(65535, RUN, b"\x02"))] == [FrameKind.REPLY]
        bench.verify(ctx)

    bench.run(main)


def test_naks_are_merged_while_the_line_is_taken():
    bench = Bench()

    async def main(ctx):
        bench.sink.stall = 1.0
        bench.send(encode(1, HELLO, b"abcd") + b"".join(encode(seq, RUN) for seq in range(50, 60)))
        await bench.quiet(ctx)
        bench.sink.stall = 0.0
        await bench.quiet(ctx)
        assert [frame.seq for frame in decode(bytes(bench.sink.taken))][1:] == [59]
        bench.verify(ctx)

    bench.run(main)


def test_executor_waits_for_the_reply_that_is_in_its_slot():
    bench = Bench(window=1)

    async def main(ctx):
        bench.sink.stall = 1.0
        bench.send(session())
        bench.sink.stall = 0.0
        await bench.quiet(ctx)
        bench.sink.stall = 1.0
        bench.send(encode(101, RUN, b"\x03" * 5) + encode(102, RUN, b"\x07"))
        await bench.quiet(ctx)
        assert bench.executor.programs == [b"\x03" * 5] and not ctx.get(bench.dut.busy)
        bench.sink.stall = 0.0
        await bench.quiet(ctx)
        bench.verify(ctx)

    bench.run(main)


@pytest.mark.parametrize("clock", range(1, 100, 6))
def test_reset_in_the_middle_recovers_at_the_next_flag(clock):
    bench = Bench()

    async def main(ctx):
        line = session(b"\x01\x02\x03", b"\x04\x05\x06\x07\x08\x09", b"\x03" * 12)
        bench.host.queue.extend(line)
        await ctx.tick().repeat(clock)
        ctx.set(bench.reset, 1)
        await ctx.tick()
        executor, left = bench.executor, bytes(bench.host.queue)
        executor.source.queue.clear()
        executor.source.offering = False
        await ctx.tick()
        assert bytes(bench.host.queue) == left[1:]
        ctx.set(bench.reset, 0)
        executor.partial = b""
        executor.programs.clear()
        bench.sink.taken.clear()
        bench.reference.receive(left[1:])
        bench.send(b"\x01\x02" + session(b"\x09\x0a", nonce=b"wxyz"))
        await bench.quiet(ctx)
        bench.verify(ctx)

    bench.run(main)


def first_valid(line, port, *, before=b""):
    """Clocks from the last byte of a line to the first clock in which a port offers something."""
    bench = Bench()
    offered = []

    async def watch(ctx):
        bench.send(before)
        await bench.quiet(ctx)
        skip = len(bench.host.times)
        bench.send(line)
        clock = bench.host.clock
        while not offered:
            _, _, valid = await ctx.tick().sample(port(bench.dut).valid)
            clock += 1
            if valid and len(bench.host.times) + 1 >= skip + len(line):
                offered.append(clock)
        offered.append(bench.host.times[skip + len(line) - 1])

    bench.run(watch)
    return offered[0] - offered[1]


def test_latencies_are_as_documented():
    assert first_valid(encode(101, RUN, b"\x01"), lambda dut: dut.program, before=session()) == 4
    assert first_valid(encode(7, RUN, b"\x01"), lambda dut: dut.tx, before=session()) == 4
    bench = Bench()

    async def main(ctx):
        await bench.exchange(ctx, session())
        before = len(bench.sink.times)
        await bench.exchange(ctx, encode(101, RUN, b"\x00"))
        assert bench.sink.times[before] - bench.executor.source.times[-1] == 3

    bench.run(main)


def test_throughput_is_a_byte_per_clock():
    program = bytes([0x55] * 512)
    bench = play(session(program, program), max_request=512, max_reply=2, window=4)
    spans = [(bench.host.times, 2 * (512 + 9)), (bench.executor.sink.times[:512], 512)]
    for times, count in spans:
        assert times[-1] - times[-count] == count - 1
    chip = Bench(max_reply=512)

    async def main(ctx):
        line = session(b"\x01" * 16, b"\x01" * 16)
        chip.sink.stall = 1.0
        chip.send(line)
        await chip.quiet(ctx)
        chip.sink.stall = 0.0
        await chip.quiet(ctx)
        frame = len(encode(101, RUN, b"\x55" * 17))
        flags = [time for time, byte in zip(chip.sink.times, chip.sink.taken, strict=True) if byte == FLAG]
        replies = flags[-4:]
        assert replies[1] - replies[0] == replies[3] - replies[2] == frame - 1
        assert replies[2] - replies[1] == 1
        chip.verify(ctx)

    chip.run(main)


def test_no_path_from_rx_to_tx_and_none_from_ready_to_valid():
    bench = Bench(idle=0.3, stall=0.3, seed=5)
    dut = bench.dut

    async def probe(ctx):
        bench.send(traffic(random.Random(5), 12, bench.parameters))
        for _ in range(600):
            await ctx.tick()
            held = [(port, ctx.get(port)) for port in (dut.rx.valid, dut.rx.payload, dut.tx.ready, dut.program.ready)]
            seen = set()
            for valid, byte, ready in [(0, 0, 0), (1, FLAG, 0), (1, 0x55, 1), (0, ESCAPE, 1)]:
                for port, value in zip((dut.rx.valid, dut.rx.payload, dut.tx.ready, dut.program.ready),
                                       (valid, byte, ready, ready), strict=True):
                    ctx.set(port, value)
                await ctx.delay(0)
                seen.add((ctx.get(dut.tx.valid), ctx.get(dut.tx.payload), ctx.get(dut.program.valid),
                          ctx.get(dut.program.payload).as_bits() if ctx.get(dut.program.valid) else 0))
            assert len(seen) == 1
            for port, value in held:
                ctx.set(port, value)
        await bench.quiet(ctx)
        bench.verify(ctx)

    bench.run(probe)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_host_gets_every_program_executed_once_over_a_bad_line(seed):
    rng = random.Random(seed)
    bench = Bench(stall=0.2, idle=0.2, seed=seed)
    programs = [rng.randbytes(rng.randrange(0, 17)) for _ in range(30)]
    host = ReferenceHost(programs, window=2, nonce=rng.randbytes(4), first=rng.randrange(65536), timeout=400)

    def damage(byte):
        return [] if rng.random() < 0.004 else [byte ^ (1 << rng.randrange(8) if rng.random() < 0.004 else 0)]

    async def main(ctx):
        heard = 0
        for _ in range(60000):
            await ctx.tick()
            byte = None
            if heard < len(bench.sink.taken):
                byte = (damage(bench.sink.taken[heard]) or [None])[0]
                heard += 1
            for value in host.step(byte):
                bench.host.queue.extend(damage(value))
            if host.done:
                break
        assert host.done, f"seed {seed}: {len(host.replies)} of {len(programs)} answered"
        assert bench.executor.programs == [program for program in programs if program]
        assert [host.replies[index] for index in range(len(programs))] == [bench.reference.reply(p) for p in programs]

    bench.run(main)


def caught(plant):
    """A planted bug is seen by some seed."""
    for seed in range(4):
        try:
            play(traffic(random.Random(seed), 60, SMALL), seed=seed, link=plant)
        except (AssertionError, ValueError):
            return
    pytest.fail(f"{plant.__name__} was not caught")


class WrongCheck(Link):
    """Computes another CRC."""

    def elaborate(self, platform):
        with pytest.MonkeyPatch.context() as patch:
            for module in (receiver, transmitter):
                patch.setattr(module, "CRC32", crc.catalog.CRC32_BZIP2(8))
            m = super().elaborate(platform)
            self._receiver.elaborate = with_result(self._receiver.elaborate(platform))
            self._transmitter.elaborate = with_result(self._transmitter.elaborate(platform))
        return m


class NoCheck(Link):
    """Acts upon frames whose CRC is wrong."""

    def _judge(self, m):
        frame = self._receiver.verdict.payload
        fault = Signal(len(frame.reason))
        m.d.comb += fault.eq(Mux(frame.reason == NakReason.CHECK, 0, frame.reason))
        super()._judge(m)
        with m.If(self._receiver.verdict.valid & (fault != frame.reason) & (frame.seq == self._expected)):
            m.d.comb += self._requests.commit.eq(1)


class NoSequence(Link):
    """Executes whatever is undamaged."""

    def _judge(self, m):
        super()._judge(m)
        frame = self._receiver.verdict
        with m.If(frame.valid & (frame.payload.reason == 0) & ~frame.payload.hello):
            m.d.comb += self._requests.commit.eq(1)


def with_result(module):
    return lambda platform: module


@pytest.mark.parametrize("plant", [WrongCheck, NoCheck, NoSequence])
def test_planted_bug_is_caught(plant):
    caught(plant)


@pytest.mark.parametrize("arguments, message", [
    ({"digest": b"short"}, "^digest must be 8 bytes, not b'short'$"),
    ({"max_request": 3}, "^max_request must be 4 to 65535, not 3$"),
    ({"max_request": 65536}, "^max_request must be 4 to 65535, not 65536$"),
    ({"max_reply": 1}, "^max_reply must be 2 to 65535, not 1$"),
    ({"window": 3}, "^window must be a power of two, 1 to 128, not 3$"),
    ({"window": 256}, "^window must be a power of two, 1 to 128, not 256$"),
])
def test_bad_parameters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Link(**{"digest": DIGEST} | arguments)


def test_reference_and_wire_format_agree_with_the_document():
    assert sealed(0x3231, 0x33, b"456789")[-4:] == struct.pack("<I", 0xCBF43926)  # the check value of CRC-32
    assert encode(0x7E7D, RUN)[:6] == bytes([FLAG, ESCAPE, 0x5D, ESCAPE, 0x5E, RUN])
