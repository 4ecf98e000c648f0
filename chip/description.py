"""The chip description: everything that model, RTL, board and host must agree on, frozen and validated."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .described import Described, DescriptionError, entry, toml_text
from .limits import LISTED_MAX, READS_MAX, STEP_MAX, TABLE_MAX
from .wording import did_you_mean

__all__ = ["Chip", "DescriptionError", "Layer", "NOISE_FRACTION_MAX", "NOISE_SIGMA", "Phase", "presets"]

NOISE_SIGMA = math.sqrt(4 * (32**2 - 1) / 12)
"""Standard deviation of the noise of a pulse, a sum of four 5-bit numbers, before it is scaled (contract 5.5)."""

NOISE_FRACTION_MAX = 12
"""Fraction bits beyond which the noise of a pulse would take bits of its draw."""

SHARE = 94
"""Windows of 4096 that learn unless a chip says otherwise: about 8 of the 330 active ones of a digit."""


def _integer(section, low, high, summary, *, structure=True, default=dataclasses.MISSING):
    return entry(section, int, summary, default=default, low=low, high=high, structure=structure)


def _real(section, low, high, summary, default):
    return entry(section, float, summary, default=default, low=low, high=high, structure=False)


def _option(section, kind, default, summary, *, structure=True, **limits):
    """A field that is no part of a chip's identity as long as it has its default."""
    return entry(section, kind, summary, default=default, structure=structure, optional=True, **limits)


def _choice(section, options, summary, default):
    return entry(section, str, summary, default=default, options=options, structure=True)


def _table(section, summary):
    return entry(section, tuple, summary, default=None, structure=False)


def _entries(kind, section, document):
    """A TOML table as arguments of a dataclass; unknown and missing names are refused."""
    specs = dataclasses.fields(kind)
    names = [spec.name for spec in specs]
    if not isinstance(document, dict):
        raise DescriptionError(f"{section}: a table is wanted, not {document!r}; expected some of {', '.join(names)}")
    for name in sorted(set(document) - set(names)):
        raise DescriptionError(f"{section}: unknown field {name}; expected some of {', '.join(names)}",
                               hint=did_you_mean(name, names))
    missing = [spec.name for spec in specs if spec.default is dataclasses.MISSING and spec.name not in document]
    if missing:
        raise DescriptionError(f"{section}: missing {', '.join(missing)}")
    return document


@dataclass(frozen=True)
class Phase:
    """A part of a learning schedule: passes over the training images, with what learns and how fast.

    Rates of the tiles (their tables and ``theta_step``) are scaled by ``scale * decay ** p``, *p* the passes done in
    this phase, fractions included; those of the read-out likewise; with ``theta_decay`` above 0 ``theta_step`` has a
    decay of its own. Where pulses are accumulated, thresholds rise in
    place of tables that fall (:meth:`Chip.accumulate_rates`). Images are shown up to ``shift`` lines off their place,
    each way (contract 9.3), with up to a share ``noise`` of their pixels replaced (9.7).

    With ``on_host`` the host teaches a copy of the read-out by what the tiles answer, with the rule and the tables of
    the chip but without non-idealities, and writes it when the phase is over: each cell is then written once, not
    pulsed for every label.
    """

    passes: int = 1
    learn: bool = True
    teach: bool = False
    scale: float = 1.0
    decay: float = 1.0
    read_out_scale: float = 1.0
    read_out_decay: float = 1.0
    shift: int = 0
    on_host: bool = False
    noise: float = 0.0
    theta_decay: float = 0.0

    def __post_init__(self):
        limits: tuple[tuple[str, Any, float, float], ...] = (
            ("passes", int, 1, 1000), ("learn", bool, 0, 1), ("teach", bool, 0, 1), ("on_host", bool, 0, 1),
            ("shift", int, 0, 16), ("scale", float, 0.0001, 100.0), ("decay", float, 0.0001, 100.0),
            ("read_out_scale", float, 0.0001, 100.0), ("read_out_decay", float, 0.0001, 100.0),
            ("noise", float, 0.0, 1.0), ("theta_decay", float, 0.0, 100.0))
        for name, kind, low, high in limits:
            value: Any = getattr(self, name)
            if kind is float and type(value) is int:
                object.__setattr__(self, name, value := float(value))
            if type(value) is not kind or not low <= value <= high:
                raise DescriptionError(f"{name} of a phase must be {kind.__name__}, {low} to {high}, not {value!r}")
        if not (self.learn or self.teach):
            raise DescriptionError("a phase must learn or teach")
        if self.on_host and (self.learn or not self.teach):
            raise DescriptionError("a phase on the host must teach and not learn")

    @classmethod
    def from_dict(cls, document: object) -> "Phase":
        """Build a phase from a TOML table; unknown names are refused."""
        return cls(**_entries(cls, "schedule", document))

    def to_dict(self) -> dict:
        """The phase as a TOML table; ``on_host``, ``noise`` and ``theta_decay`` only where they are on."""
        return {name: value for name, value in dataclasses.asdict(self).items()
                if name not in ("on_host", "noise", "theta_decay") or value}

    def rates(self, passed: float) -> tuple[float, float]:
        """Scales of the tables of the tiles and of ``theta_step``, ``passed`` passes of the phase done."""
        return self.scale * self.decay**passed, self.scale * (self.theta_decay or self.decay)**passed


@dataclass(frozen=True)
class Layer:
    """A second shared crossbar, which is shown windows of what the first one pooled (contract 12).

    Its plane has a line for every neuron of every region of the chip's ``pool``. Fields are those of the same names of
    :class:`Chip`; whatever else a crossbar is, widths, levels, tables, it is as the chip.
    """

    patch_height: int
    patch_width: int
    neurons: int
    stride: int = 1
    winners: int = 1
    min_spikes: int = 1
    pool: int = 1
    learn_share: int = SHARE
    theta_step: float = 0.0

    def __post_init__(self):
        if type(self.theta_step) is int:
            object.__setattr__(self, "theta_step", float(self.theta_step))

    @classmethod
    def from_dict(cls, document: object) -> "Layer":
        """Build a layer from a TOML table; unknown and missing names are refused."""
        return cls(**_entries(cls, "layers", document))


@dataclass(frozen=True)
class Chip(Described):
    """A crossbar chip: geometry, widths, plasticity and seeds (docs/contract.md, section 1).

    Instances are immutable and hashable by :attr:`digest`. Build one with :meth:`preset`,
    :meth:`from_toml` or :meth:`from_dict`; vary one with :func:`dataclasses.replace`.

    Raises
    ------
    DescriptionError
        A field is out of its range, or two fields contradict each other.
    """

    WHAT = "chip"
    HOME = "ohmspike.chip"

    name: str = entry("", str, "name of the chip", structure=False)
    plane_height: int = _integer("plane", 1, 4096, "lines of the input plane, top to bottom")
    plane_width: int = _integer("plane", 1, 4096, "lines of the input plane, left to right")
    patch_height: int = _integer("grid", 1, 4096, "lines a tile sees, top to bottom")
    patch_width: int = _integer("grid", 1, 4096, "lines a tile sees, left to right")
    stride: int = _integer("grid", 1, 4096, "lines between neighbouring tiles")
    neurons: int = _integer("tile", 1, 4096, "neurons (columns) of a tile")
    winners: int = _integer("tile", 1, 255, "neurons of a tile that may fire in one race (K)", default=1)
    learners: int = _integer("tile", 1, 255, "post-trace units of a tile: how many of its neurons can learn at once",
                             default=1)
    min_spikes: int = _integer("tile", 1, READS_MAX, "read pulses below which a tile stays silent", default=1)
    levels: int = _integer("cell", 2, 256, "conductance levels of a cell", default=64)
    weight_bits: int = _integer("cell", 1, 12, "width of an entry of the weight table", default=6)
    weight_store: str = _choice("cell", ("memory", "fixed"), "weight table in a loadable memory, or fixed in gates",
                                "memory")
    noise_bits: int = _option("cell", int, 0, "write noise: width of the register write_noise; 0 is none", low=0,
                              high=16)
    stuck_cells: str = _option("cell", str, "none", "stuck cells: none, or those that a loadable mask tells",
                               options=("none", "masked"))
    accumulate_bits: int = _option("cell", int, 0, "accumulate, then pulse: width of the counter beside every cell of "
                                   "the tiles; 0 is none", low=0, high=8)
    fire_mode: str = _choice("fire", ("race", "threshold"), "race at DECIDE, or threshold at every STEP", "race")
    depression: str = _option("fire", str, "pre", "what lowers cells in threshold mode: pre spikes by post-traces, or "
                              "the post spike itself, on rows whose line has no trace", options=("pre", "post"))
    membrane_bits: int = _integer("fire", 4, 24, "width of a membrane potential, unsigned, saturating", default=16)
    threshold_bits: int = _integer("fire", 4, 24, "width of an adaptive threshold, unsigned, saturating", default=20)
    theta_leak: int = _integer("fire", 0, 15, "homeostasis leak at END, theta -= theta >> leak; 0 is none", default=0)
    trace_bits: int = _integer("trace", 4, 8, "width of a pre- or post-trace", default=8)
    trace_shift: int = _integer("trace", 1, 7, "decay of a trace at every STEP, x -= ceil(x / 2^shift)", default=3)
    amplitudes: int = _integer("plasticity", 1, 16, "amplitude bins of a pulse, a power of two", default=16)
    fraction_bits: int = _integer("plasticity", 8, 16, "fraction bits of a plasticity table entry", default=12)
    classes: int = _integer("read_out", 0, 255, "columns of the read-out crossbar, one per class; 0 is no read-out",
                            default=0)
    score_bits: int = _integer("read_out", 8, 24, "width of a class's score, unsigned, saturating", default=16)
    read_out_accumulate_bits: int = _option("read_out", int, 0, "as accumulate_bits, for the read-out", low=0, high=8)
    channels: int = _option("plane", int, 1, "planes of lines, one behind the other (contract 1.1)", low=1, high=4096)
    shared: bool = _option("grid", bool, False, "one crossbar that is shown all windows in turn (contract 11)")
    pool: int = _option("grid", int, 1, "shared crossbar: regions of windows each way, which the read-out tells apart",
                        low=1, high=255)

    set_step: float = _real("plasticity", 0.0, 1.0, "full SET pulse on an erased cell, fraction of the range", 0.1)
    set_bound: float = _real("plasticity", 0.0, 20.0, "soft bound of SET: step * exp(-bound * g)", 3.0)
    reset_step: float = _real("plasticity", 0.0, 1.0, "full RESET pulse on a full cell, fraction of the range", 0.1)
    reset_bound: float = _real("plasticity", 0.0, 20.0, "soft bound of RESET: step * exp(-bound * (1 - g))", 3.0)
    read_out_set_step: float = _real("read_out", 0.0, 1.0, "as set_step, for the read-out", 0.016)
    read_out_set_bound: float = _real("read_out", 0.0, 20.0, "as set_bound, for the read-out", 0.0)
    read_out_reset_step: float = _real("read_out", 0.0, 1.0, "as reset_step, for the read-out", 0.016)
    read_out_reset_bound: float = _real("read_out", 0.0, 20.0, "as reset_bound, for the read-out", 0.0)
    accumulate_threshold: int = _option("cell", int, 0, "count of a cell at which it gets its pulse", structure=False,
                                        low=0, high=127)
    read_out_accumulate_threshold: int = _option("read_out", int, 0, "as accumulate_threshold, for the read-out",
                                                 structure=False, low=0, high=127)
    learn_share: int = _option("plasticity", int, SHARE, "shared crossbar: windows of 4096 that learn (contract 11.4)",
                               structure=False, low=0, high=4096)
    write_noise: float = _real("cell", 0.0, 1.0, "deviation of every pulse, fraction of the range", 0.0)
    margin: int = _integer("read_out", 0, (1 << 24) - 1, "lead of the label's score below which a label teaches",
                           structure=False, default=1000)
    theta_step: float = _real("fire", 0.0, 65535.0, "homeostasis: rise of the first winner's threshold (h)", 0.0)
    theta_base: int = _integer("fire", 0, (1 << 24) - 1, "threshold mode: common threshold (theta0)", structure=False,
                               default=0)
    seed: int = _integer("random", 0, (1 << 63) - 1, "seed of initial levels, random streams and orders",
                         structure=False, default=1)
    schedule: tuple[Phase, ...] = entry("", tuple, "phases of learning, one after the other", default=(Phase(),),
                                        structure=False)
    latency_bins: int = _integer("code", 1, 16, "bins of the latency code", structure=False, default=1)
    dark_level: int = _integer("code", 0, 255, "pixels up to this value are dark", structure=False, default=64)
    rate_steps: int = _option("code", int, 0, "steps of the rate code that the chip's images have (contract 9.2); 0 is "
                              "the latency code", structure=False, low=0, high=STEP_MAX)
    rate_peak: float = _option("code", float, 0.25, "spike probability of the brightest pixel at a step of it",
                               structure=False, low=0.0, high=1.0)
    answer_steps: int = _option("code", int, 0, "steps of the rate code that images have which are neither learned nor "
                                "taught; 0 is rate_steps", structure=False, low=0, high=STEP_MAX)
    vote: str = entry(
        "code", str, "what votes in threshold mode when the host reads the classes: output spikes, or neurons, once a "
        "sample each", default="spikes", options=("spikes", "neurons"), structure=False, optional=True)
    contrast: str = entry(
        "code", str, "stretch an image that leaves much of 0 to 255 unused (contract 9.4), or take pixels as they are",
        default="auto", options=("auto", "fixed"), structure=False, optional=True)
    edges: tuple[int, ...] = entry(
        "code", tuple, "gradients above which a line of an edge plane spikes, four planes each (contract 9.5)",
        default=(), structure=False, optional=True)
    thresholds: tuple[int, ...] = entry(
        "code", tuple, "pixels above which a line of a brightness plane spikes, a plane each (contract 9.5)",
        default=(), structure=False, optional=True)

    layers: tuple[Layer, ...] = entry(
        "", tuple, "shared crossbars behind the first, each shown what the one before it pooled (contract 12): one at "
        "most", default=(), structure=False, optional=True)

    weights: tuple[int, ...] | None = _table("cell", "weight table, level to weight; none is linear")
    set_table: tuple[tuple[int, ...], ...] | None = _table("plasticity", "SET table [amplitude][level]")
    reset_table: tuple[tuple[int, ...], ...] | None = _table("plasticity", "RESET table [amplitude][level]")
    read_out_set_table: tuple[tuple[int, ...], ...] | None = _table("read_out", "SET table of the read-out")
    read_out_reset_table: tuple[tuple[int, ...], ...] | None = _table("read_out", "RESET table of the read-out")

    device: str = entry(
        "", str, "JSON of the device whose tables the chip has (a table [device] in files); empty: of none",
        default="", structure=False, optional=True, table=True)

    def __post_init__(self):
        self.check_fields()
        self._check_device()
        self._check_geometry()
        self._check_shared()
        self._check_planes()
        self._check_widths()
        self._check_tables()
        self._check_schedule()
        self._check_layers()

    def _check_device(self):
        try:
            document = self.device_document
        except ValueError:
            document = None
        if document is None or (self.device and type(document.get("name")) is not str):
            raise DescriptionError(f"device must be a description of a device, with a name, not {self.device!r}")
        if document:  # one form for what is the same, since the digest is of it
            object.__setattr__(self, "device", json.dumps(document, sort_keys=True))

    def _check_schedule(self):
        if not self.schedule or not all(type(phase) is Phase for phase in self.schedule):
            raise DescriptionError(f"schedule must hold one phase or more, not {self.schedule!r}")
        if not self.classes and any(phase.teach for phase in self.schedule):
            raise DescriptionError("schedule may not teach a chip of no classes")
        if self.fire_mode != "race" and any(phase.on_host for phase in self.schedule):
            raise DescriptionError("schedule may teach on the host in a chip that races, not in one that fires at a "
                                   "threshold")

    def _check_geometry(self):
        for patch, plane in (("patch_height", "plane_height"), ("patch_width", "plane_width")):
            if getattr(self, patch) > getattr(self, plane):
                raise DescriptionError(f"{patch} must be at most {plane} = {getattr(self, plane)}, "
                                       f"not {getattr(self, patch)}")
        for name, value, high in (("lines", self.lines, 65536), ("windows" if self.shared else "tiles", self.windows,
                                                                 65535),
                                  ("tiles x rows", self.tiles * self.rows, 65536),
                                  ("windows x rows", self.windows * self.rows, 1 << 24),
                                  ("synapses", self.synapses, 1 << 26)):
            if value > high:
                raise DescriptionError(f"{name} must be at most {high}, not {value}")
        if self.fire_mode == "race":
            if self.winners > self.neurons:
                raise DescriptionError(f"winners must be at most neurons = {self.neurons}, not {self.winners}")
            if self.learners > self.winners:
                raise DescriptionError(f"learners must be at most winners = {self.winners}, not {self.learners}")
        else:
            if self.winners != 1:
                raise DescriptionError(f"winners must be 1 in threshold mode, not {self.winners}")
            if self.learners > self.neurons:
                raise DescriptionError(f"learners must be at most neurons = {self.neurons}, not {self.learners}")
        if self.classes == 1:
            raise DescriptionError("classes must be 0 (no read-out) or 2 to 255, not 1")
        if self.depression == "post" and self.fire_mode != "threshold":
            raise DescriptionError("depression must be 'pre' unless fire_mode is threshold, not 'post'")
        if self.answer_steps and not self.rate_steps:
            raise DescriptionError(f"answer_steps must be 0 unless rate_steps is above 0, not {self.answer_steps}")
        if self.vote == "neurons" and self.fire_mode != "threshold":
            raise DescriptionError("vote must be 'spikes' unless fire_mode is threshold, not 'neurons'")
        if self.classes and not self.layers and self.read_out_rows > 65536:
            what = "regions" if self.shared else "tiles"
            raise DescriptionError(f"{what} x neurons must be at most 65536 with a read-out, not {self.read_out_rows}")

    def _check_shared(self):
        if not self.shared:
            for name, alone in (("pool", 1), ("learn_share", SHARE)):
                if getattr(self, name) != alone:
                    raise DescriptionError(f"{name} must be {alone} unless shared is true, not {getattr(self, name)}")
            return
        if self.fire_mode != "race":
            raise DescriptionError(f"fire_mode must be race in a shared crossbar, not {self.fire_mode!r}")
        if self.learners != 1:
            raise DescriptionError(f"learners must be 1 in a shared crossbar, not {self.learners}")
        if self.rows > READS_MAX:
            raise DescriptionError(f"rows of a shared crossbar must be at most {READS_MAX}, not {self.rows}")
        if self.pool > (most := min(self.grid_height, self.grid_width)):
            raise DescriptionError(f"pool must be at most {most}, the windows from side to side, not {self.pool}")

    def _check_layers(self):
        if not isinstance(self.layers, tuple) or not all(type(layer) is Layer for layer in self.layers):
            raise DescriptionError(f"layers must be a list of tables, not {self.layers!r}")
        if not self.layers:
            return
        if not self.shared:
            raise DescriptionError("layers must be empty unless shared is true, not "
                                   f"{[dataclasses.asdict(layer) for layer in self.layers]!r}")
        if len(self.layers) > 1:
            raise DescriptionError(f"layers must hold one layer at most, not {len(self.layers)}")
        try:
            _ = self.upper
        except DescriptionError as error:
            raise DescriptionError(f"layers: {error}", hint=error.hint) from None

    def _check_planes(self):
        for name in ("edges", "thresholds"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not all(type(value) is int and 0 <= value <= 254 for value in values):
                raise DescriptionError(f"{name} must be a list of integers 0 to 254, not {values!r}")
        planes = 4 * len(self.edges) + len(self.thresholds)
        if planes and planes != self.channels:
            raise DescriptionError(f"channels must be {planes}, four planes for every one of edges and one for every "
                                   f"one of thresholds, not {self.channels}")
        if planes and self.latency_bins != 1:
            raise DescriptionError(f"latency_bins must be 1 with edges or thresholds, not {self.latency_bins}")

    def _check_widths(self):
        if self.amplitudes & (self.amplitudes - 1):
            raise DescriptionError(f"amplitudes must be a power of two, not {self.amplitudes}")
        if self.theta_base >> self.threshold_bits:
            raise DescriptionError(f"theta_base must fit threshold_bits = {self.threshold_bits}, not {self.theta_base}")
        if self.margin >> self.score_bits and self.classes:
            raise DescriptionError(f"margin must fit score_bits = {self.score_bits}, not {self.margin}")
        if self.read_out_accumulate_bits and not self.classes:
            raise DescriptionError("read_out_accumulate_bits must be 0 without a read-out, "
                                   f"not {self.read_out_accumulate_bits}")
        for prefix in ("", "read_out_"):
            bits, threshold = (getattr(self, f"{prefix}accumulate_{what}") for what in ("bits", "threshold"))
            if bits == 1:
                raise DescriptionError(f"{prefix}accumulate_bits must be 0 (none) or 2 to 8, not 1")
            low, high = (1, (1 << bits - 1) - 1) if bits else (0, 0)
            if not low <= threshold <= high:
                raise DescriptionError(f"{prefix}accumulate_threshold must be {low} to {high} for "
                                       f"{prefix}accumulate_bits = {bits}, not {threshold}")

    def _check_tables(self):
        if self.weights is None and self.levels > 1 << self.weight_bits:
            raise DescriptionError(f"weight_bits must be at least {(self.levels - 1).bit_length()} for a linear "
                                   f"table of {self.levels} levels, not {self.weight_bits}")
        if self.weights is not None:
            self._check_entries("weights", self.weights, self.levels, (1 << self.weight_bits) - 1)
        if self.noise_bits and self.fraction_bits > NOISE_FRACTION_MAX:
            raise DescriptionError(f"fraction_bits must be at most {NOISE_FRACTION_MAX} with noise_bits, "
                                   f"not {self.fraction_bits}")
        if self.noise_register >> self.noise_bits:
            raise DescriptionError(f"noise_bits must be at least {self.noise_register.bit_length()} for write_noise = "
                                   f"{self.write_noise!r}, not {self.noise_bits}")
        for name in ("set_table", "reset_table", "read_out_set_table", "read_out_reset_table"):
            table = getattr(self, name)
            if table is None:
                continue
            if len(table) != self.amplitudes:
                raise DescriptionError(f"{name} must have amplitudes = {self.amplitudes} rows, not {len(table)}")
            for row in table:
                self._check_entries(name, row, self.levels, TABLE_MAX)
        taught = ("read_out_set_step", "read_out_reset_step") if self.classes else ()
        for name in ("set_step", "reset_step", *taught):
            peak = getattr(self, name) * (self.levels - 1) * 2**self.fraction_bits
            if round(peak) > TABLE_MAX:
                limit = TABLE_MAX / ((self.levels - 1) * 2**self.fraction_bits)
                raise DescriptionError(f"{name} must be at most {limit:.4f} for {self.levels} levels and fraction_bits "
                                       f"= {self.fraction_bits}, not {getattr(self, name)!r}")

    @staticmethod
    def _check_entries(name, values, count, high):
        if len(values) != count:
            raise DescriptionError(f"{name} must have {count} entries, not {len(values)}")
        for value in values:
            if type(value) is not int or not 0 <= value <= high:
                raise DescriptionError(f"{name} must hold integers 0 to {high}, not {value!r}")

    # the second layer

    @cached_property
    def upper(self) -> "Chip | None":
        """The second layer as the shared crossbar that it is (contract 12.1); None in a chip of one.

        Its plane has a channel for every neuron of this one, with a line for every region.
        """
        if not self.layers:
            return None
        return dataclasses.replace(
            self, name=f"{self.name}, layer 2", plane_height=self.pool, plane_width=self.pool, channels=self.neurons,
            edges=(), thresholds=(), latency_bins=1, layers=(), **dataclasses.asdict(self.layers[0]))

    @property
    def last(self) -> "Chip":
        """The crossbar whose output spikes the chip puts out and reads: the second layer, or the chip itself."""
        return self.upper or self

    # geometry

    @property
    def lines(self) -> int:
        """Lines of the input plane; line ``(channel * plane_height + y) * plane_width + x``."""
        return self.channels * self.plane_height * self.plane_width

    @property
    def grid_height(self) -> int:
        """Tiles from top to bottom."""
        return (self.plane_height - self.patch_height) // self.stride + 1

    @property
    def grid_width(self) -> int:
        """Tiles from left to right."""
        return (self.plane_width - self.patch_width) // self.stride + 1

    @property
    def top(self) -> int:
        """Plane row of the first tile row: the grid is centred, odd remainders to the bottom and right."""
        return (self.plane_height - self.patch_height - (self.grid_height - 1) * self.stride) // 2

    @property
    def left(self) -> int:
        """Plane column of the first tile column."""
        return (self.plane_width - self.patch_width - (self.grid_width - 1) * self.stride) // 2

    @property
    def windows(self) -> int:
        """Windows of the grid: one for every tile, or all those that a shared crossbar is shown."""
        return self.grid_height * self.grid_width

    @property
    def tiles(self) -> int:
        """Crossbars of cells: the tiles of the grid, or the shared one."""
        return 1 if self.shared else self.windows

    @property
    def regions(self) -> int:
        """Places that the read-out tells apart: the tiles, or the regions of a shared crossbar (contract 11.5)."""
        return self.pool**2 if self.shared else self.windows

    @cached_property
    def region_of_window(self) -> np.ndarray:
        """The region of every window: int32 of shape (windows,) (contract 11.5)."""
        if not self.shared:
            return np.arange(self.windows, dtype=np.int32)
        y, x = np.divmod(np.arange(self.windows), self.grid_width)
        return (y * self.pool // self.grid_height * self.pool + x * self.pool // self.grid_width).astype(np.int32)

    @property
    def rows(self) -> int:
        """Rows (word lines) of one tile."""
        return self.channels * self.patch_height * self.patch_width

    @property
    def synapses(self) -> int:
        """Cells of the tiles; those of a second layer are :attr:`layer_synapses`."""
        return self.tiles * self.rows * self.neurons

    @property
    def layer_synapses(self) -> int:
        """Cells of the second layer; 0 in a chip of one."""
        return self.upper.synapses if self.upper else 0

    @property
    def all_synapses(self) -> int:
        """Cells of all crossbars, the read-out too."""
        return self.synapses + self.layer_synapses + self.read_out_synapses

    @property
    def read_out_rows(self) -> int:
        """Rows of the read-out crossbar: row ``region * neurons + neuron``; a region is a tile, but in a shared one.

        Regions and neurons are those of the last layer.
        """
        return self.last.regions * self.last.neurons

    @property
    def read_out_synapses(self) -> int:
        """Cells of the read-out."""
        return self.read_out_rows * self.classes

    @property
    def pulses_of_rank(self) -> list[int]:
        """Read pulses that an output spike of every rank sends to the read-out (contract 10.2)."""
        return [self.winners - rank for rank in range(self.winners)]

    @property
    def trace_of_rank(self) -> list[int]:
        """Trace that an output spike of every rank leaves on its row of the read-out (contract 10.3)."""
        full = (1 << self.trace_bits) - 1
        return [-(-full * pulses // self.winners) for pulses in self.pulses_of_rank]

    @property
    def listed(self) -> int:
        """Output spikes of a sample that the read-out lists (contract 10.1)."""
        if self.upper:
            return self.upper.listed
        if self.shared:  # a row once, by its best place
            return min(self.windows * self.winners, self.read_out_rows)
        return LISTED_MAX if self.fire_mode == "threshold" and self.classes else self.tiles * self.winners

    @cached_property
    def row_lines(self) -> np.ndarray:
        """The line of every row: int32 of shape (windows, rows)."""
        tile_y, tile_x = np.divmod(np.arange(self.windows), self.grid_width)
        row_y, row_x = np.divmod(np.arange(self.rows), self.patch_width)
        channel, row_y = np.divmod(row_y, self.patch_height)
        y = self.top + tile_y[:, None] * self.stride + row_y[None, :]
        x = self.left + tile_x[:, None] * self.stride + row_x[None, :]
        return ((channel * self.plane_height + y) * self.plane_width + x).astype(np.int32)

    @property
    def device_document(self) -> dict:
        """The description of the device whose tables the chip has; empty if it is of none."""
        document = json.loads(self.device or "{}")
        if not isinstance(document, dict):
            raise ValueError("not a table")
        return document

    @property
    def has_stuck_cells(self) -> bool:
        """Every cell has a mask bit that tells whether it is stuck (contract 5.6)."""
        return self.stuck_cells == "masked"

    @property
    def accumulates(self) -> bool:
        """Pulses are counted before they are given, in the tiles or in the read-out (contract 5.7)."""
        return self.accumulate_bits > 0 or self.read_out_accumulate_bits > 0

    def accumulate_rates(self, crossbar: str, scale: float) -> tuple[float, int]:
        """How the tiles (``crossbar`` ``""``) or the read-out (``"read_out_"``) learn at a rate scaled by ``scale``.

        Where pulses are accumulated their threshold is divided by ``scale``, so that they stay as large and come less
        often; only beyond the largest threshold do they become smaller.

        Returns
        -------
        tables, threshold
            Scale of the plasticity tables, and the register ``accumulate_threshold``; 0 where nothing is accumulated.
        """
        bits, threshold = (getattr(self, f"{crossbar}accumulate_{what}") for what in ("bits", "threshold"))
        if not bits:
            return scale, 0
        wanted, top = threshold / scale, (1 << bits - 1) - 1
        return min(1.0, top / wanted), max(1, min(top, round(wanted)))

    # tables

    @property
    def noise_register(self) -> int:
        """What ``write_noise`` comes to in the register of this name (contract 5.5)."""
        return round(self.write_noise * (self.levels - 1) * 2**self.fraction_bits / NOISE_SIGMA)

    @property
    def weight_table(self) -> np.ndarray:
        """Level to weight, uint16 of shape (levels,)."""
        return np.arange(self.levels, dtype=np.uint16) if self.weights is None else np.array(self.weights, np.uint16)

    def plasticity_tables(self, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """SET and RESET tables, uint16 of shape (amplitudes, levels), steps scaled by ``scale`` (annealing).

        Entry ``[a][l]`` is the mean step of a pulse of amplitude bin ``a`` on level ``l`` in units of
        ``2**-fraction_bits`` levels (contract 5.4): ``step * (levels - 1) * exp(-bound * g) * (2a + 1) / (2A - 1)``.
        """
        return self._tables("", scale)

    def read_out_tables(self, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`plasticity_tables`, for the read-out crossbar (contract 10.6)."""
        return self._tables("read_out_", scale)

    def _tables(self, prefix, scale):
        gain = (2 * np.arange(self.amplitudes)[:, None] + 1) / (2 * self.amplitudes - 1)
        gain = gain * (scale * (self.levels - 1) * 2**self.fraction_bits)
        conductance = np.arange(self.levels)[None, :] / (self.levels - 1)
        tables = []
        for kind, distance in (("set", conductance), ("reset", 1 - conductance)):
            step, bound, given = (getattr(self, f"{prefix}{kind}_{what}") for what in ("step", "bound", "table"))
            table = gain * step * np.exp(-bound * distance) if given is None else scale * np.array(given, float)
            tables.append(np.minimum(np.rint(table), TABLE_MAX).astype(np.uint16))
        return tables[0], tables[1]

    @cached_property
    def trace_table(self) -> np.ndarray:
        """Trace against age in steps, uint8, full scale first, down to its first zero (contract 4.1)."""
        values = [(1 << self.trace_bits) - 1]
        while values[-1]:
            values.append(values[-1] - math.ceil(values[-1] / 2**self.trace_shift))
        return np.array(values, np.uint8)

    # identity

    @classmethod
    def structure_fields(cls) -> list[str]:
        """Fields that decide the gates, in declaration order; the rest is loaded by the host."""
        return [spec.name for spec in dataclasses.fields(cls) if spec.metadata["structure"]]

    @property
    def structure(self) -> dict:
        """Fields that decide the gates, by name."""
        structure = {name: getattr(self, name) for name in self.structure_fields() if name not in self._absent_fields}
        if self.weight_store == "fixed":
            structure["weights"] = self.weight_table.tolist()
        if self.layers:  # no gates yet, but another chip
            structure["layers"] = [dataclasses.asdict(layer) for layer in self.layers]
        return structure

    @cached_property
    def structure_digest(self) -> str:
        """SHA-256 (hex) of the fields that decide the gates."""
        return _digest(self.structure)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the whole description except its name."""
        fields = dataclasses.asdict(self) | {"schedule": [phase.to_dict() for phase in self.schedule]}
        for name in ("name", *self._absent_fields):
            fields.pop(name)
        return _digest(fields)

    @property
    def _absent_fields(self):
        """Optional fields at their default: the chip equals one described without them."""
        absent = [spec.name for spec in dataclasses.fields(self)
                  if "optional" in spec.metadata and getattr(self, spec.name) == spec.default]
        return [*absent, "write_noise"] if self.write_noise == 0.0 else absent

    # reading and writing

    @classmethod
    def made(cls, values: dict) -> "Chip":
        """Build a chip of what a document holds, by the names of fields: lists become tuples, tables phases."""
        fields = {name: value if name == "schedule" else _tuples(value) for name, value in values.items()}
        if "device" in fields:
            fields["device"] = json.dumps(values["device"], sort_keys=True, default=str)
        if "schedule" in fields:
            if not isinstance(fields["schedule"], list):
                raise DescriptionError(f"schedule must be a list of tables, not {fields['schedule']!r}")
            fields["schedule"] = tuple(Phase.from_dict(phase) for phase in fields["schedule"])
        if "layers" in fields:
            if not isinstance(values["layers"], list):
                raise DescriptionError(f"layers must be a list of tables, not {values['layers']!r}")
            fields["layers"] = tuple(Layer.from_dict(layer) for layer in values["layers"])
        return cls(**fields)

    def to_dict(self) -> dict:
        """The TOML-shaped nested tables of :meth:`from_dict`: every field but tables that there are none of."""
        absent = {spec.name for spec in self.specs() if getattr(self, spec.name) is None} | {*self._absent_fields}
        return self.tabled({name: value for name, value in self._written().items() if name not in absent})

    def to_toml(self) -> str:
        """The description as the text of a TOML file, as presets are written: without what has its default."""
        values = self._written()
        values["schedule"] = [{name: value for name, value in phase.items()
                               if name == "passes" or value != getattr(Phase, name)} for phase in values["schedule"]]
        told = [spec.name for spec in self.specs() if getattr(self, spec.name) != spec.default]
        return toml_text(self.tabled({name: values[name] for name in told}))

    def _written(self):
        """Values of all fields as they stand in a document."""
        return ({spec.name: getattr(self, spec.name) for spec in self.specs()}
                | {"schedule": [phase.to_dict() for phase in self.schedule], "device": self.device_document,
                   "layers": [dataclasses.asdict(layer) for layer in self.layers]})


def presets() -> list[str]:
    """Names of the chips that ship with the project."""
    return Chip.presets()


def _digest(fields: dict) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _tuples(value):
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
