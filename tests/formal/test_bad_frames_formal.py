"""A frame with a bad CRC changes no state, whatever is in it and however long it is: proven in two halves that meet at
the verdict of the receiver."""

import os
import sys

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.flow.formal import FormalFailure, prove
from ohmspike.hdl.link.buffers import BUFFERS
from ohmspike.hdl.link.framing import FRAME_BYTE, FRAME_ITEM
from ohmspike.hdl.link.link import Link
from ohmspike.hdl.link.receiver import CRC_BYTES, Receiver
from support.planted import plant

MAX_REQUEST = 6
SEED, POLYNOMIAL = 0xFFFFFFFF, 0xEDB88320


def shifted(crc, byte):
    """The CRC-32 of one more byte, bit by bit, as the standard has it: no word of :mod:`amaranth.lib.crc`."""
    crc = crc ^ byte
    for _ in range(8):
        crc = (crc >> 1) ^ Mux(crc[0], POLYNOMIAL, 0)
    return crc


class AnyBytes(wiring.Component):
    """A receiver that is given any bytes, and whose verdicts are taken at any time."""

    items: In(stream.Signature(FRAME_ITEM))
    room: In(1)
    taken: In(1)

    def __init__(self, receiver=Receiver):
        self.receiver = receiver(MAX_REQUEST)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self.receiver
        wiring.connect(m, wiring.flipped(self.items), receiver.items)
        m.d.comb += [receiver.room.eq(self.room), receiver.verdict.ready.eq(self.taken)]
        return m


class ChecksumIsThatOfTheStandard(AnyBytes):
    """Whatever bytes come, the register of the receiver is the CRC-32 of those since the last frame ended."""

    def elaborate(self, platform):
        m, receiver = super().elaborate(platform), self.receiver
        crc = Signal(32, init=SEED)
        with m.If(self.items.valid & self.items.ready):
            m.d.sync += crc.eq(Mux(self.items.payload.end, SEED, shifted(crc, self.items.payload.data)))
        m.d.comb += Assert(receiver._check.crc == ~crc)
        return m


class ChecksumDecides(AnyBytes):
    """A frame is found right only if its last four bytes are the CRC of those before, whatever bytes come; and a
    verdict stays until it is taken. :class:`ChecksumIsThatOfTheStandard` is taken for granted."""

    def elaborate(self, platform):
        m, receiver = super().elaborate(platform), self.receiver
        verdict = receiver.verdict

        # the last four bytes, and the CRC before and after each of them
        last = [Signal(8, name=f"last_{age}") for age in range(4)]
        crc = [Signal(32, name=f"crc_{age}", init=SEED) for age in range(5)]
        seen = Signal(range(8))
        with m.If(self.items.valid & self.items.ready):
            with m.If(self.items.payload.end):
                m.d.sync += [crc[4].eq(SEED), seen.eq(0)]
            with m.Else():
                m.d.sync += [last[3].eq(self.items.payload.data), crc[4].eq(shifted(crc[4], self.items.payload.data)),
                             *(last[age].eq(last[age + 1]) for age in range(3)),
                             *(crc[age].eq(crc[age + 1]) for age in range(4)),
                             seen.eq(Mux(seen == 7, 7, seen + 1))]
        with m.If(verdict.valid & (verdict.payload.reason == 0)):
            m.d.comb += Assert(Cat(last) == ~crc[0])

        # why
        count = receiver._count
        m.d.comb += [Assume(receiver._check.crc == ~crc[4]), Assert((receiver._position == 3) | (count == 0)),
                     Assert(count <= MAX_REQUEST + CRC_BYTES),
                     Assert(seen == receiver._position + Mux(count < 4, count, 4))]
        for age in range(4):
            m.d.comb += Assert((seen < 4 - age) | (crc[age + 1] == shifted(crc[age], last[age])))

        # what the other half takes for granted
        held, item, before = Signal(), Signal(FRAME_ITEM), Signal.like(verdict.payload)
        m.d.sync += [held.eq(verdict.valid & ~self.taken), item.eq(self.items.payload), before.eq(verdict.payload)]
        with m.If(held):
            m.d.comb += [Assume(self.room & self.items.valid & (self.items.payload == item)),
                         Assert(verdict.valid & (verdict.payload == before))]
        m.d.comb += [Assert(self.room | ~(receiver.store | verdict.valid)), Assert(~(receiver.store & verdict.valid))]
        return m


class AnyReceiver(wiring.Component):
    """In place of a receiver: it stores what it likes and gives the verdict it likes, which stays until it is taken."""

    def __init__(self):
        super().__init__(Receiver(MAX_REQUEST).signature)
        self.stores, self.judges = Signal(), Signal()
        self.byte, self.place, self.judged = Signal.like(self.data), Signal.like(self.offset), Signal.like(
            self.verdict.payload)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.store.eq(self.stores & self.room & ~self.judges), self.data.eq(self.byte),
                     self.offset.eq(self.place), self.verdict.valid.eq(self.judges & self.room),
                     self.verdict.payload.eq(self.judged)]
        return m


class OnlyRightFramesCount(wiring.Component):
    """Whatever a receiver stores and finds: a frame that is not right changes nothing but the NAK that waits.

    What is found right is committed if its number is the one expected, or begins a session. Nothing else commits a
    program or begins a session, and what has no right verdict leaves expected number, session, replies and the
    programs that wait as they are. No program is in execution but a committed one. Credits hold: no more programs wait
    than there are buffers, and the slot of a reply is not overwritten while the reply is wanted or on its way. By
    induction, so for all times.
    """

    def __init__(self, link=Link, window=2):
        self.link = link(bytes(8), max_request=MAX_REQUEST, max_reply=3, window=window, watchdog=16)
        self.link._receiver = self.receiver = AnyReceiver()
        super().__init__({
            "output": In(stream.Signature(FRAME_BYTE)), "program": Out(stream.Signature(FRAME_BYTE)),
            "tx": Out(stream.Signature(8)), "moved": In(1), "stores": In(1), "judges": In(1),
            "byte": In(8), "place": In(len(self.receiver.offset)), "judged": In(self.receiver.judged.shape())})

    def elaborate(self, platform):
        m = Module()
        link, receiver = self.link, self.receiver
        built = link.elaborate(platform)  # with its states, which are named only then
        m.submodules.link = ResetInserter(link.restart)(built)
        requests, replies, states = link._requests, link._replies, link._states
        wiring.connect(m, wiring.flipped(self.output), link.output)
        for name in ("tx", "program"):
            wiring.connect(m, getattr(link, name), wiring.flipped(getattr(self, name)))
        m.d.comb += [link.moved.eq(self.moved), *(getattr(receiver, name).eq(getattr(self, name)) for name in (
            "stores", "judges", "byte", "place", "judged"))]

        # a verdict stays until it is taken
        verdict = receiver.verdict
        frame, held, before = verdict.payload, Signal(), Signal.like(verdict.payload)
        m.d.sync += [held.eq(verdict.valid & ~verdict.ready & ~link.restart), before.eq(frame)]
        with m.If(held):
            m.d.comb += [Assume(self.judges & (frame == before)), Assert(receiver.room)]

        # what is not right changes nothing
        right = verdict.valid & (frame.reason == 0)
        kept = [link._expected, link._session, link._accepted, requests._newest]
        then = [Signal.like(signal) for signal in kept]
        was_wrong = Signal()
        m.d.sync += [was_wrong.eq(~right & ~link.restart),
                     *(old.eq(signal) for old, signal in zip(then, kept, strict=True))]
        with m.If(was_wrong):
            m.d.comb += [Assert(signal == old) for old, signal in zip(then, kept, strict=True)]
        with m.If(~right):
            m.d.comb += [Assert(~requests.commit), Assert(~link._adopt), Assert(~link._greeted)]
        m.d.comb += [
            Assert(~requests.commit | (~frame.hello & link._session & (frame.seq == link._expected))),
            Assert(~link._adopt | frame.hello),
            Assert(~link.busy | (requests.waiting != 0)),
        ]
        # the programs that wait: bytes go where none waits, and lengths stay
        waits = [(requests.waiting == BUFFERS) | ((requests.waiting == 1) & (requests._oldest == slot))
                 for slot in range(BUFFERS)]
        for slot, length in enumerate(requests._lengths):
            old, waited = Signal.like(length), Signal()
            m.d.sync += [old.eq(length), waited.eq(waits[slot] & ~link.restart)]
            stored = requests.slots.store & (requests.slots.store_slot == slot)
            m.d.comb += [Assert(~(waits[slot] & stored)), Assert(~waited | (length == old))]

        # credits
        at = link._wanted.bit_select(link._slot, 1)
        greets = (states.state == states.encoding["NONCE"]) | (states.state == states.encoding["GREET"])
        rests = greets | (states.state == states.encoding["IDLE"])
        m.d.comb += [
            Assert(requests.waiting <= BUFFERS),
            Assert(~requests.commit | (requests.waiting < BUFFERS)),
            Assert(~requests.release | (requests.waiting > 0)),
            Assert(link._accepted <= link._window),
            Assert(~replies.output.valid | ~(at | (link._sending & (link._sent == link._slot)))),
            # why
            Assert((requests._newest ^ requests._oldest) == requests.waiting[0]),
            Assert(rests | (requests.waiting != 0)),
            Assert(rests | ~(at | (link._sending & (link._sent == link._slot)))),
            Assert(~greets | ((requests.waiting == 0) & right & frame.hello)),
            Assert(link._slot == (link._expected - requests.waiting)[:len(link._slot)]),
            Assert(states.state <= max(states.encoding.values())),
        ]
        return m


class Trusting(Link):
    """A planted bug: a frame of the number that is expected is committed, whatever was found wrong with it."""

    def _judge(self, m):
        super()._judge(m)
        frame = self._receiver.verdict
        with m.If(frame.valid & self._session & (frame.payload.seq == self._expected)):
            m.d.comb += self._requests.commit.eq(1)


class Greeting(Link):
    """A planted bug: whatever waits is greeted."""

    def _execute(self, m):
        super()._execute(m)
        with m.If(self._receiver.verdict.valid & self._receiver.verdict.payload.hello):
            m.d.comb += self._greeted.eq(1)


class Forgetful(Link):
    """A planted bug: a bad frame counts as one of the session."""

    def _judge(self, m):
        super()._judge(m)
        with m.If(self._refused != 0):
            m.d.sync += self._expected.eq(self._expected + 1)


class Greedy(Link):
    """A planted bug: the slot of a reply that is wanted is given to the next program."""

    def _execute(self, m):
        super()._execute(m)
        with m.If(self._replies.done):
            m.d.sync += self._slot.eq(self._slot)


def receiver_with(monkeypatch, old, new):
    plant(monkeypatch, "link.receiver", old, new)
    return sys.modules["ohmspike.hdl.link.receiver"].Receiver


@pytest.mark.slow
def test_only_a_frame_that_ends_in_its_crc_is_found_right():
    prove(ChecksumDecides(), depth=1, mode="prove")


@pytest.mark.skipif("OHMSPIKE_LONG_TESTS" not in os.environ, reason="takes a minute: make test-boards")
def test_the_register_holds_the_crc_of_what_came():
    prove(ChecksumIsThatOfTheStandard(), depth=1, mode="prove")


def test_a_receiver_that_does_not_look_at_the_crc_is_caught(monkeypatch):
    careless = receiver_with(monkeypatch, "aborted | ~check.match_detected", "aborted")
    with pytest.raises(FormalFailure, match="FAIL|UNKNOWN"):
        prove(ChecksumDecides(careless), depth=1, mode="prove")


def test_the_crc_of_another_standard_is_caught(monkeypatch):
    other = receiver_with(monkeypatch, "CRC32_ISO_HDLC", "CRC32_JAMCRC")
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(ChecksumIsThatOfTheStandard(other), depth=2)


@pytest.mark.parametrize("window", [1, 2, 8])
def test_a_frame_that_is_not_right_changes_nothing_and_credits_hold(window):
    prove(OnlyRightFramesCount(window=window), depth=1, mode="prove")


@pytest.mark.parametrize("link", [Trusting, Greeting, Forgetful, Greedy])
def test_a_link_that_acts_on_bad_frames_is_caught(link):
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(OnlyRightFramesCount(link), depth=12)
