"""The proof helper: true statements are proven, a planted bug comes back as a waveform."""

import pytest
from amaranth.hdl import Assert, Cover, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ohmspike.hdl.flow.formal import FormalFailure, prove

DEPTH = 20


class SaturatingCounter(wiring.Component):
    """Count up to ``limit`` and stay there; with ``bug``, one step too far."""

    up: In(1)
    count: Out(8)

    def __init__(self, limit, *, bug=False):
        self.limit = limit
        self.bug = bug
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        bound = self.limit + 1 if self.bug else self.limit
        with m.If(self.up):
            m.d.sync += self.count.eq(Mux(self.count < bound, self.count + 1, self.count))
        return m


class NeverPastTheLimit(wiring.Component):
    """The counter never exceeds its limit, and gets there."""

    up: In(1)

    def __init__(self, **arguments):
        self.counter = SaturatingCounter(10, **arguments)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.counter = counter = self.counter
        m.d.comb += [
            counter.up.eq(self.up),
            Assert(counter.count <= counter.limit),
            Cover(counter.count == counter.limit),
        ]
        return m


@pytest.mark.parametrize("mode", ["bmc", "prove", "cover"])
def test_true_statement_is_proven(mode):
    prove(NeverPastTheLimit(), depth=DEPTH, mode=mode)


@pytest.mark.parametrize("mode", ["bmc", "prove"])
def test_planted_bug_is_caught_with_a_waveform(mode):
    with pytest.raises(FormalFailure, match="FAIL") as caught:
        prove(NeverPastTheLimit(bug=True), depth=DEPTH, mode=mode)
    assert "count" in caught.value.trace.read_text()


def test_bug_beyond_the_depth_is_not_seen():
    prove(NeverPastTheLimit(bug=True), depth=8)


def test_unreachable_cover_is_caught():
    with pytest.raises(FormalFailure, match="FAIL"):
        prove(NeverPastTheLimit(), depth=8, mode="cover")


@pytest.mark.parametrize("arguments, message", [
    ({"depth": 0}, "^depth must be at least 1, not 0$"),
    ({"depth": 1, "mode": "live"}, "^mode must be 'bmc', 'prove' or 'cover', not 'live'$"),
])
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        prove(None, **arguments)
