"""Inject single-bit faults into the compiled RTL (single-event upsets), and classify detection and recovery."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, OutputSpikes
from ohmspike.chip.markdown import markdown_table
from ohmspike.host.link.frames import LinkError
from ohmspike.host.link.ports import CompiledPort
from ohmspike.host.link.session import LinkSession
from ohmspike.host.support.errors import UserError
from ohmspike.host.targets.linked import LinkTarget
from ohmspike.host.targets.model import ModelTarget
from ohmspike.sim.rtl.compiled import CompiledRtl, FaultSite
from ohmspike.sim.state import ChipState, spikes_difference

from .scrub import scrub
from .stress import stress_samples, stress_state

__all__ = ["CLASSES", "FAULTS_CHIP", "Campaign", "FaultReport", "Outcome", "class_of"]

FAULTS_CHIP = Chip(
    name="faults", plane_height=4, plane_width=5, patch_height=3, patch_width=3, stride=1, neurons=4, winners=2,
    learners=1, min_spikes=1, levels=16, weight_bits=4, membrane_bits=8, threshold_bits=8, theta_step=3.0, amplitudes=2,
    set_step=0.3, reset_step=0.3, classes=3, score_bits=8, margin=16, read_out_set_step=0.3, read_out_reset_step=0.3)
"""A chip with everything in it, small enough for thousands of runs."""

CLASSES = {
    "levels": r"executor\.core\.levels$",
    "levels of the read-out": r"executor\.core\.read_out\.cells$",
    "thresholds": r"executor\.core\.thetas$",
    "random states": r"executor\.core\.randoms$",
    "SET, RESET tables": r"executor\.core\.pulses\.(re)?set_table$",
    "weight table": r"executor\.core\.pulses\.weights\.table$",
    "weight tables of lanes and classes": r"executor\.core\.(accumulator|read_out)\.weights_\d+\.table$",
    "control registers": r"executor\.core\.(learn|report|theta_step|theta_base|margin)$",
    "counters": r"executor\.core\.counters\.(totals|local_\w+)$",
    "membranes": r"executor\.core\.membranes$",
    "tile states": r"executor\.core\.tile_states$",
    "post-trace units": r"executor\.core\.units$",
    "line stamps": r"executor\.core\.lines$",
    "rows that fired, scores": r"executor\.core\.read_out\.(fired|score_\d+)$",
    "FSM of core and decoder": r"executor\..*(event|visit|walk|sweep|read_out|program)_state$",
    "other flip-flops of core and decoder": r"executor\.",
    "FSM of the link": r"link\..*fsm_state$",
    "buffers of the link": r"link\.(requests|replies)\.slots\.memory$",
    "other flip-flops of the link": r"",
}
"""Fault sites by what they are for: the first pattern that fits."""

_PATIENCE = 30_000
_SAMPLES = 3
_ATTEMPTS = 3
_FSM_BITS = 8


def class_of(site: FaultSite) -> str:
    """The class of a fault site."""
    return next(name for name, pattern in CLASSES.items() if re.match(pattern, site.name))


VERDICTS = {
    "masked": "masked",
    "detected_by_link": "detected by link",
    "detected_by_scrub": "detected by scrub",
    "undetected": "undetected (SDC)",
}
"""What becomes of a fault, and the heading of its column. Masked: nothing was ever wrong. Undetected is silent data
corruption: output spikes or answers were wrong, and neither link nor scrub reported it."""


@dataclass(frozen=True)
class Outcome:
    """What one fault led to."""

    site: str
    word: int
    mask: int
    clock: int
    complaint: str = ""
    """What the link reported, if anything."""
    corrupted: int = 0
    """Cells whose checksum the scrub found wrong."""
    wrong: bool = False
    """Output spikes or answers were wrong, and the link reported no error."""
    reset: bool = False
    """Only a reset from outside brought the chip back."""
    exact: bool = True
    """Afterwards the chip was bit for bit what it would have been."""

    @property
    def verdict(self) -> str:
        """One of :data:`VERDICTS`."""
        if self.complaint:
            return "detected_by_link"
        if self.corrupted:
            return "detected_by_scrub"
        return "masked" if not self.wrong and self.exact else "undetected"


@dataclass
class FaultReport:
    """What a campaign came to."""

    chip: str
    seed: int
    learn: bool
    bits: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)

    def rows(self) -> list[dict]:
        """Counts, class by class, and all together."""
        every = [outcome for outcomes in self.outcomes.values() for outcome in outcomes]
        named = [(name, self.bits[name], outcomes) for name, outcomes in self.outcomes.items()]
        return [{
            "class": name, "bits": bits, "faults": len(outcomes),
            **{verdict: sum(outcome.verdict == verdict for outcome in outcomes)
               for verdict in VERDICTS},
            "wrong_before_scrub": sum(outcome.verdict == "detected_by_scrub" and outcome.wrong for outcome in outcomes),
            "reset": sum(outcome.reset for outcome in outcomes),
            "exact": sum(outcome.exact for outcome in outcomes),
        } for name, bits, outcomes in [*named, ("all", sum(self.bits.values()), every)]]

    def as_dict(self) -> dict:
        """For JSON."""
        return {"chip": self.chip, "seed": self.seed, "learn": self.learn, "classes": self.rows(),
                "outcomes": [{"class": name, "verdict": outcome.verdict, **vars(outcome)}
                             for name, outcomes in self.outcomes.items() for outcome in outcomes]}

    def markdown(self) -> str:
        """The table of docs/boards.md."""
        heads = ["where", "bits", "faults", *VERDICTS.values(), "reset needed", "exact afterwards"]
        keys = ["class", "bits", "faults", *VERDICTS, "reset", "exact"]
        return markdown_table(heads, ([row[key] for key in keys] for row in self.rows()))


@dataclass(frozen=True)
class _Golden:
    """What happens without a fault."""

    state: ChipState
    batches: list[EventBatch]
    spikes: list[OutputSpikes]
    states: list[ChipState]


class Campaign:
    """Faults in one chip: a batch with a fault in its midst, recovery, scrub with the model's state, another batch.

    Parameters
    ----------
    power_up : callable
        A chip fresh from power-up (:func:`~ohmspike.sim.rtl.faults_rtl`).
    learn : bool
        The batches are learned, with the model alongside.
    """

    def __init__(self, chip: Chip, power_up: Callable[[], CompiledRtl], *, seed: int = 1, learn: bool = True):
        self._chip, self._power_up, self._learn = chip, power_up, learn
        self._rng = np.random.default_rng(seed)
        self.report = FaultReport(chip.name, seed, learn)
        self._golden = self._expected()
        with power_up() as rtl:
            self.sites = tuple(sorted((site for site in rtl.sites), key=lambda site: site.name))
            target = self._loaded(rtl)
            start = rtl.cycles
            if spikes_difference(target.present(self._golden.batches[0], learn=learn), self._golden.spikes[0]):
                raise UserError("without a fault the RTL must fire as the model does")
            self._clocks = rtl.cycles - start
        self.classes = {name: [site for site in self.sites if class_of(site) == name] for name in CLASSES}

    def _expected(self):
        chip, rng = self._chip, self._rng
        state = stress_state(chip, rng)
        batches = [stress_samples(chip, rng, _SAMPLES) for _ in range(2)]
        model, spikes, states = ModelTarget(chip, threads=1), [], []
        model.load(state)
        for batch in batches:
            spikes.append(model.present(batch, learn=self._learn))
            states.append(model.state())
        return _Golden(state, batches, spikes, states)

    def _loaded(self, rtl):
        target = LinkTarget(self._chip, LinkSession(CompiledPort(rtl, patience=_PATIENCE), self._chip))
        target.load(self._golden.state)
        target.read("status")  # nothing of the loading is under way
        return target

    def faults(self, name: str, count: int) -> Iterator[tuple[FaultSite, int, int, int]]:
        """Seeded single bits of a class, every bit of it as likely, at any clock of the first batch."""
        sites = self.classes[name]
        sizes = np.array([site.words * site.bits for site in sites])
        for _ in range(count):
            site = sites[self._rng.choice(len(sites), p=sizes / sizes.sum())]
            yield (site, int(self._rng.integers(site.words)), 1 << int(self._rng.integers(site.bits)),
                   int(self._rng.integers(self._clocks)))

    def codes(self) -> Iterator[tuple[FaultSite, int, int, int]]:
        """Every FSM into every other code, legal or not, at any clock."""
        for name in CLASSES:
            for site in self.classes[name] if name.startswith("FSM") else ():
                if site.bits > _FSM_BITS:
                    raise UserError(f"the states of an FSM must have up to {_FSM_BITS} bits, not {site.bits}: "
                                    f"{site.name} is none")
                for mask in range(1, 1 << site.bits):
                    yield site, 0, mask, int(self._rng.integers(self._clocks))

    def run(self, name: str, faults: Iterable[tuple[FaultSite, int, int, int]]) -> list[Outcome]:
        """Carry out faults and note them in the report under a name."""
        machines = [site for key in CLASSES if key.startswith("FSM") for site in self.classes[key]]
        sites = self.classes.get(name, machines)
        self.report.bits[name] = sum(site.words * site.bits for site in sites)
        outcomes = self.report.outcomes.setdefault(name, [])
        for fault in faults:
            outcomes.append(self.one(*fault))
        return outcomes

    def one(self, site: FaultSite, word: int, mask: int, clock: int) -> Outcome:
        """Carry out one fault: the bits of ``mask`` are flipped in a word, so many clocks into the first batch."""
        golden, reset, complaint, wrong = self._golden, False, "", False
        with self._power_up() as rtl:
            target = self._loaded(rtl)
            for bit in range(site.bits):
                if mask >> bit & 1:
                    rtl.flip(site, word, bit, after=clock)
            try:
                wrong = bool(spikes_difference(target.present(golden.batches[0], learn=self._learn), golden.spikes[0]))
            except LinkError as error:
                complaint = str(error)
            corrupted, complaint, reset = self._restored(target, rtl, complaint)
            try:
                again = spikes_difference(target.present(golden.batches[1], learn=self._learn), golden.spikes[1])
                again = again or target.state().differences(golden.states[1])
            except LinkError as error:
                again = str(error)
        return Outcome(site.name, word, mask, clock, complaint, corrupted, wrong, reset, not again)

    def _restored(self, target, rtl, complaint):
        """Scrub, in a new session after a complaint; a fault may show more than once. A reset comes last."""
        for attempt in range(_ATTEMPTS + 1):
            if attempt == _ATTEMPTS:
                rtl.reset()
            try:
                if complaint:
                    target.recover()
                report = scrub(target, self._golden.states[0], restore=True, counters=True)
                return len(report.damages), complaint, attempt == _ATTEMPTS
            except LinkError as error:
                complaint = complaint or str(error)
        raise UserError("after a reset the chip must answer")
