"""The device description: the memristor, its cell, its lines and its neuron, every value with spread and source."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy  # its parts are loaded when they are first used

from ohmspike.chip.described import Described, DescriptionError, entry
from ohmspike.chip.description import Chip
from ohmspike.chip.limits import TABLE_MAX

__all__ = ["Device", "DeviceError", "NOMINAL", "Provenance", "STATUSES", "WIRE_PER_KELVIN", "chip_with_device",
           "curvature", "devices", "matched_widths", "plasticity_tables", "saturation", "weight_table",
           "with_states"]

STATUSES = ("sourced", "literature, unverified", "design choice", "measured", "user")
"""How far a value can be trusted; *sourced* was read at its source, *literature, unverified* is recalled."""

_LEVELS_MAX = 256
_LABEL_SCALE = 10.1015
WIRE_PER_KELVIN = 0.00451
"""Relative rise of the resistance of a wire with temperature, from 300 K on."""

_SIM = "MLP+NeuroSim V3.0"
_TCAD = "NeuroSim, TCAD 2018, Table I"


class DeviceError(DescriptionError):
    """A device description or a measurement names something unknown or holds a value out of its range."""


@dataclass(frozen=True)
class Provenance:
    """Where a value comes from.

    Parameters
    ----------
    sigma : float
        Relative spread, the standard deviation of the value's logarithm; 0 if none is stated.
    status : str
        One of :data:`STATUSES`.
    source : str
        What the value was taken from.
    """

    sigma: float = 0.0
    status: str = "user"
    source: str = ""

    def __post_init__(self):
        if type(self.sigma) not in (int, float) or not 0 <= self.sigma <= 3:  # also refuses NaN
            raise DeviceError(f"sigma must be 0 to 3, not {self.sigma!r}")
        if self.status not in STATUSES:
            raise DeviceError(f"status must be one of {'; '.join(STATUSES)}, not {self.status!r}")
        if type(self.source) is not str:
            raise DeviceError(f"source must be a text, not {self.source!r}")


def _value(section, unit, low, high, default, sigma, status, source, summary, kind=float):
    return entry(section, kind, summary, default=default, unit=unit, low=low, high=high,
                 provenance=Provenance(sigma, status, source))


def _steps(summary):
    """A table over evenly spaced states from rail to rail; empty where a formula stands for it."""
    return entry("write", tuple, summary, default=(), unit="", low=0.0, high=1e3,
                 provenance=Provenance(0.0, "design choice", ""))


def _text(summary, options=None, default=dataclasses.MISSING, section="", source=""):
    return entry(section, str, summary, default=default, options=options, unit="",
                 provenance=Provenance(0.0, "design choice", source))


@dataclass(frozen=True)
class Device(Described):
    """What stands behind the integers of a chip: ohms, volts, seconds and farads (docs/analog.md).

    The defaults are the preset ``target65``. Build one with :meth:`preset`, :meth:`from_toml` or :meth:`from_dict`;
    vary one with :meth:`varied`. Voltages are magnitudes. SET and RESET curves follow the nonlinearity labels of
    NeuroSim.

    Raises
    ------
    DeviceError
        A value is out of its range, or two values contradict each other.
    """

    WHAT = "device"
    HOME = "ohmspike.sim.analog"
    ERROR = DeviceError
    SHORT_KEYS = False

    name: str = _text("name of the device")
    summary: str = _text("what it is", default="")

    levels: int = _value("cell", "", 2, 65536, 64, 0.0, "sourced", _TCAD + ", targeted eNVM",
                         "conductance states between the rails", int)
    states: str = _text("continuous: any conductance between the rails; discrete: as many states as levels, no other",
                        ("continuous", "discrete"), "continuous", "cell")
    g_min_s: float = _value("cell", "S", 1e-12, 1.0, 1e-7, 0.15, "sourced", _TCAD + ", targeted eNVM: on/off 50",
                            "conductance at the lower rail")
    g_max_s: float = _value("cell", "S", 1e-12, 1.0, 5e-6, 0.15, "sourced", _TCAD + ", targeted eNVM: 200 kΩ",
                            "conductance at the upper rail")
    access_ohm: float = _value("cell", "Ω", 0.0, 1e7, 15e3, 0.3, "sourced", _SIM + ", resistanceAccess",
                               "access transistor, switched on")

    readout: str = _text("clamp: virtual ground and current mirror; membrane: bit line on the membrane capacitor",
                         ("clamp", "membrane"), "clamp", "read")
    read_v: float = _value("read", "V", 1e-3, 10.0, 0.2, 0.05, "literature, unverified", "ISAAC, PRIME: 0.2 V",
                           "read pulse")
    read_s: float = _value("read", "s", 1e-12, 1.0, 10e-9, 0.1, "design choice", "20 fJ at 51 µS and 0.2 V",
                           "width of a read pulse")
    edge_s: float = _value("read", "s", 0.0, 1e-3, 1e-10, 0.0, "design choice", "",
                           "edge of a word-line pulse, adds to its width")
    mirror_ratio: float = _value("read", "", 1e-3, 1e4, 1.0, 0.0, "design choice", "",
                                 "bit-line current over membrane current")

    set_v: float = _value("write", "V", 1e-2, 20.0, 1.2, 0.1, "design choice", "usual for HfO2", "full SET pulse")
    reset_v: float = _value("write", "V", 1e-2, 20.0, 1.2, 0.1, "design choice", "usual for HfO2", "full RESET pulse")
    pulse_width: str = _text("free: an update may be a part of a pulse or several; fixed: it is one pulse, as measured",
                             ("free", "fixed"), "free", "write")
    set_s: float = _value("write", "s", 1e-12, 10.0, 10e-9, 0.3, "sourced", _SIM + ", IdealDevice",
                          "width of one SET pulse")
    reset_s: float = _value("write", "s", 1e-12, 10.0, 10e-9, 0.3, "sourced", _SIM + ", IdealDevice",
                            "width of one RESET pulse")
    threshold: float = _value("write", "", 0.0, 0.99, 0.5, 0.0, "design choice", "",
                              "share of the full amplitude below which a cell does not move")
    exponent: float = _value("write", "", 0.1, 20.0, 3.0, 0.0, "design choice", "VTEAM, usual 1 to 10",
                             "step against amplitude above that share")
    nl_set: float = _value("write", "", -9.0, 9.0, 1.0, 0.0, "sourced", _TCAD + ", targeted eNVM",
                           "nonlinearity label of potentiation")
    nl_reset: float = _value("write", "", -9.0, 9.0, -1.0, 0.0, "sourced", _TCAD + ", targeted eNVM",
                             "nonlinearity label of depression")
    set_pulses: float = _value("write", "", 1.0, 1e7, 64.0, 0.0, "sourced", _TCAD + ", targeted eNVM",
                               "full SET pulses from rail to rail")
    reset_pulses: float = _value("write", "", 1.0, 1e7, 64.0, 0.0, "sourced", _TCAD + ", targeted eNVM",
                                 "full RESET pulses from rail to rail")
    set_steps: tuple = _steps("measured speed of SET at evenly spaced states from rail to rail, shares of the range a "
                              "full pulse; in place of the label where there are any")
    reset_steps: tuple = _steps("measured speed of RESET, alike")
    efficiency: float = _value("write", "", 0.01, 1.0, 1.0, 0.0, "design choice", "1: no charge pump; 0.5: a pump",
                               "efficiency of the write supply")

    c2c: float = _value("spread", "", 0.0, 1.0, 0.02, 0.0, "sourced", _TCAD + ", targeted eNVM",
                        "cycle to cycle: deviation of one pulse, share of the range; it adds up from pulse to pulse")
    noise_law: str = _text("how c2c follows the size of a pulse: not at all, by the root of its step, by its step",
                           ("pulse", "sqrt_step", "step"), "pulse", "spread",
                           "told for one full pulse alone; the same for all")
    write_error: float = _value("spread", "", 0.0, 1.0, 0.0, 0.0, "design choice", "",
                                "deviation of what is written, share of the range; drawn anew at each write, it does "
                                "not add up")
    d2d_label: float = _value("spread", "", 0.0, 5.0, 0.5, 0.0, "sourced", _SIM + ", 3σ = 1.5",
                              "device to device: deviation of the nonlinearity labels")
    d2d_step: float = _value("spread", "", 0.0, 2.0, 0.0, 0.0, "design choice", "not told",
                             "device to device: relative deviation of the step, beside that of the labels")
    d2d_range: float = _value("spread", "", 0.0, 2.0, 0.07, 0.0, "sourced", "aihwkit, presets/devices.py",
                              "device to device: relative deviation of the upper rail")
    read_noise: float = _value("spread", "", 0.0, 1.0, 0.01, 0.0, "literature, unverified", "Ambrogio 2014",
                               "deviation of one reading, share of the range")
    stuck: float = _value("spread", "", 0.0, 1.0, 0.0, 0.0, "design choice", "not told",
                          "share of cells that are stuck, half of them at either rail")
    endurance_cycles: float = _value("spread", "", 1.0, 1e18, 1e6, 0.0, "sourced", "HfOx, Huang 2013, abstract",
                                     "full SET and RESET cycles until half the cells have failed")
    retention_drift: float = _value("spread", "", 0.0, 1.0, 0.004, 0.0, "sourced",
                                    "aihwkit, inference/noise/reram.py: 0.2 µS per decade on 50 µS",
                                    "drift per decade of time, share of the range")

    wordline_v: float = _value("lines", "V", 0.0, 10.0, 1.1, 0.0, "sourced", _SIM + ", 65 nm",
                               "word line of a read")
    wordline_write_v: float = _value("lines", "V", 0.0, 10.0, 1.5, 0.0, "design choice", "boosted",
                                     "word line of a write")
    gate_f: float = _value("lines", "F", 0.0, 1e-9, 0.62e-15, 0.2, "sourced", _SIM + ", 65 nm LSTP, width 4F",
                           "gate of an access transistor")
    wire_f_per_um: float = _value("lines", "F/µm", 0.0, 1e-9, 0.2e-15, 0.2, "sourced", _SIM, "wire")
    wire_ohm_per_um: float = _value("lines", "Ω/µm", 0.0, 1e5, 1.187, 0.3, "sourced", _SIM + ", 65 nm", "wire")
    pitch_um: float = _value("lines", "µm", 1e-3, 100.0, 0.26, 0.0, "sourced", _SIM + ", 4F", "from cell to cell")
    driver_f: float = _value("lines", "F", 0.0, 1e-9, 5e-15, 0.5, "design choice",
                             "NeuRRAM in CIMLoop: 48 fF at 130 nm", "driver of a word line")
    drain_share: float = _value("lines", "", 0.0, 10.0, 0.3, 0.3, "design choice", "",
                                "drain on a bit line, share of the gate")

    supply_v: float = _value("neuron", "V", 0.1, 10.0, 1.1, 0.0, "sourced", _SIM + ", 65 nm", "supply")
    membrane_v: float = _value("neuron", "V", 1e-3, 10.0, 0.4, 0.0, "design choice", "",
                               "membrane at its threshold; in a race, at the largest sum")
    compare_j: float = _value("neuron", "J", 0.0, 1e-6, 20e-15, 0.7, "design choice",
                              "NeuRRAM in CIMLoop 0.3 pJ at 130 nm, scaled; 5 to 300 fJ", "one clocked comparison")
    ramp_comparisons: float = _value("neuron", "", 1.0, 1e5, 64.0, 0.5, "design choice", "6 bit",
                                     "comparisons of a neuron while the reference of a race falls")
    compare_s: float = _value("neuron", "s", 0.0, 1e-3, 1e-9, 0.0, "design choice", "", "time of one comparison")
    spike_j: float = _value("neuron", "J", 0.0, 1e-6, 4e-15, 1.0, "literature, unverified",
                            "Sourikopoulos 2017, doi 10.3389/fnins.2017.00123; 1.6 fJ to 2 pJ", "one output spike")
    bias_a: float = _value("neuron", "A", 0.0, 1.0, 0.0, 0.0, "design choice", "clamp amplifiers: 1 nA to 100 nA",
                           "static current of a neuron")
    step_s: float = _value("neuron", "s", 1e-12, 10.0, 100e-9, 0.0, "design choice", "",
                           "a time step, for that current")

    trace_f: float = _value("trace", "F", 0.0, 1e-9, 100e-15, 0.3, "design choice", "", "capacitor of a trace")
    buffer_j: float = _value("trace", "J", 0.0, 1e-6, 0.0, 0.0, "design choice", "", "reading a trace for a pulse")

    count_bit_j: float = _value("count", "J", 0.0, 1e-9, 0.15e-12, 0.7, "literature, unverified",
                                "Horowitz, ISSCC 2014: 10 pJ for 64 bits of an SRAM of 8 KB at 45 nm",
                                "reading or writing one bit of the counts beside the cells, SRAM")

    temperature_k: float = _value("site", "K", 200.0, 500.0, 300.0, 0.0, "design choice", "",
                                  "temperature of the wires")

    provenance: tuple[tuple[str, Provenance], ...] = field(default=(), repr=False)

    def __post_init__(self):
        self.check_fields()
        for spec in self.specs():
            if spec.metadata["kind"] is tuple:
                self._check_steps(spec.name, getattr(self, spec.name), spec.metadata)
        if self.g_min_s >= self.g_max_s:
            raise DeviceError(f"g_min_s must be below g_max_s = {self.g_max_s:g}, not {self.g_min_s!r}")
        for name, _ in self.provenance:
            if name not in {spec.name for spec in self.specs()}:
                raise DeviceError(f"provenance names an unknown value {name!r}")

    def _check_steps(self, name, value, meta):
        if type(value) not in (tuple, list) or len(value) == 1 or any(
                isinstance(entry, bool) or not isinstance(entry, int | float)
                or not meta["low"] <= entry <= meta["high"] for entry in value):
            raise DeviceError(f"{name} must be empty or at least 2 numbers from {meta['low']:g} to {meta['high']:g}, "
                              f"not {value!r}")
        object.__setattr__(self, name, tuple(map(float, value)))

    # values and where they come from

    @classmethod
    def quantities(cls) -> list[dataclasses.Field]:
        """The fields that hold numbers, in declaration order; metadata: section, unit, low, high, summary."""
        return [spec for spec in cls.specs() if spec.metadata["kind"] not in (str, tuple)]

    @classmethod
    def has_source(cls, spec: dataclasses.Field) -> bool:
        """Whether a field tells where it comes from: every number, and the law of the noise."""
        return spec.metadata["kind"] is not str or spec.name == "noise_law"

    @cached_property
    def _about(self):
        return {**{spec.name: spec.metadata["provenance"] for spec in self.specs()}, **dict(self.provenance)}

    def about(self, name: str) -> Provenance:
        """Spread, status and source of a value."""
        return self._about[name]

    def values(self) -> dict[str, float]:
        """All numbers by name."""
        return {spec.name: getattr(self, spec.name) for spec in self.quantities()}

    def varied(self, provenance: Provenance | None = None, **values: Any) -> "Device":
        """A copy with other values; those that have a source come from ``provenance``, the user if absent."""
        measured = {spec.name for spec in self.specs() if self.has_source(spec)}
        told = {**dict(self.provenance), **{name: provenance or Provenance() for name in values if name in measured}}
        in_order = tuple((spec.name, told[spec.name]) for spec in self.specs() if spec.name in told)
        return dataclasses.replace(self, **values, provenance=in_order)

    @classmethod
    def of_chip(cls, chip: Chip) -> "Device | None":
        """The device that a chip says it is made of, if it says."""
        return cls.from_dict(chip.device_document, source=f"device of chip {chip.name}") if chip.device else None

    def same_memristor(self, other: "Device") -> bool:
        """Whether cells, writing and spread are alike; what stands around the memristor may differ."""
        return all(getattr(self, spec.name) == getattr(other, spec.name) for spec in self.specs()
                   if spec.metadata["section"] in ("cell", "write", "spread"))

    # the read cell

    def conductance(self, x: npt.ArrayLike) -> np.ndarray:
        """Memristor at state ``x``, 0 at the lower rail and 1 at the upper, S."""
        return self.g_min_s + (self.g_max_s - self.g_min_s) * np.asarray(x, float)

    def cell_conductance(self, x: npt.ArrayLike) -> np.ndarray:
        """Memristor and access transistor in series, S."""
        return 1 / (1 / self.conductance(x) + self.access_ohm)

    @property
    def pulse_s(self) -> float:
        """Time a read pulse has an effect: its width between the halves of its edges."""
        return self.read_s + self.edge_s

    def read_energy(self, x: npt.ArrayLike) -> np.ndarray:
        """Energy of one read of a cell at state ``x``, J."""
        return self.read_v**2 * self.pulse_s * self.cell_conductance(x)

    def wordline_energy(self, cells: int, volts: float | None = None) -> float:
        """Charging a word line of so many cells from a rail and discharging it, J: C V²."""
        volts = self.wordline_v if volts is None else volts
        return (cells * (self.gate_f + self.wire_f_per_um * self.pitch_um) + self.driver_f) * volts**2

    def trace_energy(self, before: float) -> float:
        """Recharging a trace from a share ``before`` of full scale, J: C V² (1 - before)."""
        return self.trace_f * self.supply_v**2 * (1 - before)

    def wire_ohm(self) -> float:
        """Wire between two cells at the device's temperature, Ω."""
        return self.wire_ohm_per_um * self.pitch_um * (1 + WIRE_PER_KELVIN * (self.temperature_k - 300))

    def droop(self, active: float, cells: int, conductance: float) -> float:
        """Share of the charge left by the resistance of a bit line: tanh(α)/α, α² = active · cells · g · R."""
        return float(droop_of(active * cells * conductance * self.wire_ohm()))

    # writing

    def rate(self, kind: str) -> tuple[float, float, float]:
        """Constants (a, b, pulses) of the curve of ``"set"`` or ``"reset"`` by its label: dx/dp = ±(b - x) / a."""
        a = curvature(getattr(self, f"nl_{kind}"))
        return a, saturation(a), getattr(self, f"{kind}_pulses")

    def drive(self, kind: str, cell_volts: npt.ArrayLike) -> np.ndarray:
        """Speed of a cell at a voltage, in that of the full pulse: ((v - v_t) / (v_n - v_t))^exponent, 0 below v_t."""
        nominal = getattr(self, f"{kind}_v")
        floor = self.threshold * nominal
        return (np.maximum(np.asarray(cell_volts, float) - floor, 0) / (nominal - floor)) ** self.exponent

    def pulse(self, kind: str, x: npt.ArrayLike, amplitude: npt.ArrayLike = 1.0,
              width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """One pulse on a cell, by the midpoint rule: state afterwards and energy drawn, J.

        Parameters
        ----------
        kind : ``"set"`` or ``"reset"``
        x : float or array
            State before.
        amplitude : float or array
            Share of the full amplitude.
        width : float
            Width in full pulses.
        """
        a, b, pulses = self.rate(kind)
        sign = 1 if kind == "set" else -1
        steps = getattr(self, f"{kind}_steps")
        volts = np.asarray(amplitude, float) * getattr(self, f"{kind}_v")
        parts = int(min(4096, max(8, math.ceil(16 * width))))
        state = np.broadcast_to(np.asarray(x, float), np.broadcast_shapes(np.shape(x), volts.shape)).copy()
        charge = np.zeros_like(state)
        for _ in range(parts):
            if steps:
                half = self._stepped(kind, state, volts, sign, steps, width / parts / 2)
                state = self._stepped(kind, state, volts, sign, steps, width / parts, at=half)
            else:
                half = self._moved(kind, state, volts, sign, a, b, width / parts / 2 / pulses)
                state = self._moved(kind, state, volts, sign, a, b, width / parts / pulses, at=half)
            charge += self.cell_conductance(half)
        return state, charge / parts * volts**2 * getattr(self, f"{kind}_s") * width / self.efficiency

    def _moved(self, kind, x, volts, sign, a, b, share, at=None):
        cell = volts / (1 + self.conductance(x if at is None else at) * self.access_ohm)
        return b - (b - x) * np.exp(-sign * self.drive(kind, cell) * share / a)

    def _stepped(self, kind, x, volts, sign, steps, share, at=None):
        """The same by measured speeds, held at the rails: past them nothing was measured."""
        at = x if at is None else at
        cell = volts / (1 + self.conductance(at) * self.access_ohm)
        speed = np.interp(at, np.linspace(0, 1, len(steps)), steps)
        return np.clip(x + sign * self.drive(kind, cell) * speed * share, 0.0, 1.0)

    # reading and writing descriptions

    @classmethod
    def made(cls, values: dict) -> "Device":
        """Build a device of what a document holds, by the names of fields; what is not told is as in ``target65``.

        A number, or the law of the noise, is a value of the user's, or a table of ``value``, ``sigma``, ``status`` and
        ``source``.
        """
        told_of = {spec.name for spec in cls.specs() if cls.has_source(spec)}
        read = {name: _read_value(name, value) for name, value in values.items()}
        return cls(**{name: value for name, (value, _) in read.items()},
                   provenance=tuple((name, told) for name, (_, told) in read.items() if name in told_of))

    def to_dict(self) -> dict:
        """The TOML-shaped nested tables of :meth:`from_dict`: what differs from ``target65``, with sources."""
        document: dict[str, Any] = {"name": self.name, "summary": self.summary}
        told = dict(self.provenance)
        for spec in self.specs():
            section, value = spec.metadata["section"], getattr(self, spec.name)
            if not section or (value == spec.default and spec.name not in told):
                continue
            entry = value
            if spec.metadata["kind"] is tuple:
                value = list(value)
            if self.has_source(spec):
                entry = {"value": value, **dataclasses.asdict(self.about(spec.name))}
            document.setdefault(section, {})[spec.name] = entry
        return document


def _read_value(name, told):
    """A value and its provenance, of a number or a table."""
    if not isinstance(told, dict):
        return told, Provenance()
    if set(told) - {"value", "sigma", "status", "source"} or "value" not in told:
        raise DeviceError(f"{name} must be a number or a table of value, sigma, status, source, not {told!r}")
    try:
        return told["value"], Provenance(**{key: value for key, value in told.items() if key != "value"})
    except DeviceError as error:
        raise DeviceError(f"{name}: {error}") from None


def devices() -> list[str]:
    """Names of the devices that ship with the project."""
    return Device.presets()


NOMINAL = "target65"
"""The device taken if none is named."""


# curves


def saturation(a: float) -> float:
    """B of a curve y(p) = b (1 - e^(-p/a)) through (0, 0) and (1, 1)."""
    return -1 / math.expm1(-1 / a)


def _bow(log_a):
    """Largest distance of that curve from the diagonal, of log(a)."""
    a = math.exp(log_a)
    b = saturation(a)
    return b - a * (1 + math.log(b / a))


_STRAIGHT = math.log(1e4)


def curvature(label: float) -> float:
    """The constant a of a nonlinearity label of NeuroSim, with the label's sign; 10,000 if it is straight.

    A label is 10.1015 times the largest distance of the curve from the diagonal; this closed form stands for
    NeuroSim's table.
    """
    bow = abs(label) / _LABEL_SCALE
    if bow <= _bow(_STRAIGHT):
        return math.copysign(math.exp(_STRAIGHT), label)
    log_a = scipy.optimize.brentq(lambda log_a: _bow(log_a) - bow, math.log(1e-3), _STRAIGHT, xtol=1e-13)
    return math.copysign(math.exp(log_a), label)


def droop_of(alpha_squared: npt.ArrayLike) -> np.ndarray:
    """tanh(α)/α of α², 1 at 0."""
    alpha = np.sqrt(np.asarray(alpha_squared, float))
    return np.where(alpha > 1e-6, np.tanh(alpha) / np.maximum(alpha, 1e-6), 1.0)


# from volts to the tables of a chip


def pulse_amplitudes(amplitudes: int) -> np.ndarray:
    """Share of the full amplitude of every bin, float of shape (amplitudes,): the gain of contract 5.4."""
    return (2 * np.arange(amplitudes) + 1) / (2 * amplitudes - 1)


def weight_table(device: Device, levels: int, weight_bits: int) -> np.ndarray:
    """Level to weight: the cell's conductance over that at the upper rail, int64 of shape (levels,)."""
    g = device.cell_conductance(np.arange(levels) / (levels - 1))
    return np.rint(g / g[-1] * ((1 << weight_bits) - 1)).astype(np.int64)


def plasticity_tables(device: Device, chip: Chip, set_width: float = 1.0,
                      reset_width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """SET and RESET tables of a device in the units of contract 5.4, int64 of shape (amplitudes, levels).

    ``set_width`` and ``reset_width`` are the width of one update in full pulses.

    Raises
    ------
    DeviceError
        A pulse moves farther than an entry of 16 bits can tell.
    """
    x = np.arange(chip.levels)[None, :] / (chip.levels - 1)
    amplitude = pulse_amplitudes(chip.amplitudes)[:, None]
    tables = []
    for kind, width in (("set", set_width), ("reset", reset_width)):
        moved = np.minimum(np.abs(device.pulse(kind, x, amplitude, width)[0] - x), 1.0) * (chip.levels - 1)
        tables.append(table := np.rint(moved * 2**chip.fraction_bits).astype(np.int64))
        if table.max() > TABLE_MAX:
            enough = math.floor(math.log2(TABLE_MAX / moved.max()))
            raise DeviceError(
                f"a {kind.upper()} pulse of {device.name} must move a cell by at most "
                f"{TABLE_MAX / 2**chip.fraction_bits:.2f} of {chip.levels} levels in a table of fraction_bits = "
                f"{chip.fraction_bits}, not {moved.max():.2f}",
                hint=f"fraction_bits = {enough} holds it (--fraction-bits of `ohmspike device chip`); a device of few "
                     f'states says so by states = "discrete" under [cell]')
    return tables[0], tables[1]


def matched_widths(device: Device, chip: Chip, *, scale: float = 1.0, at: tuple[float, float] = (0.5, 0.5),
                   tables: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[float, float]:
    """Widths of SET and RESET, in full pulses, with which the device moves as far as the chip's own tables.

    They meet at full amplitude and at the states ``at`` (of SET, of RESET). A device of fixed width has no other: 1.

    Parameters
    ----------
    scale : float
        Annealing: scale of the chip's tables.
    tables : pair of arrays, optional
        Other tables than those of the tiles: SET and RESET of the read-out.
    """
    if device.pulse_width == "fixed":
        return 1.0, 1.0
    widths = []
    tables = chip.plasticity_tables(scale) if tables is None else tables
    for kind, table, x in zip(("set", "reset"), tables, at, strict=True):
        step = np.interp(x * (chip.levels - 1), np.arange(chip.levels), table[-1]) / 2**chip.fraction_bits
        sign = 1 if kind == "set" else -1
        target = min(step / (chip.levels - 1), 1 - x if sign > 0 else x)
        widths.append(_width_of(device, kind, x, target) if target > 0 else 0.0)
    return widths[0], widths[1]


def _width_of(device, kind, x, target):
    """Width, in full pulses, that moves a cell by ``target``."""
    def miss(log_width):
        return abs(float(device.pulse(kind, x, 1.0, math.exp(log_width))[0]) - x) - target

    high = 0.0
    while miss(high) < 0:
        high += 1.0
        if high > math.log(1e6):
            raise DeviceError(f"device {device.name} does not reach the chip's {kind.upper()} step of "
                              f"{target:.3f} of its range")
    return math.exp(scipy.optimize.brentq(miss, high - 16.0, high, xtol=1e-6))


def with_states(chip: Chip, device: Device) -> Chip:
    """The chip with as many levels as the device has states."""
    if device.states != "discrete" or device.levels == chip.levels:
        return chip
    if device.levels > _LEVELS_MAX:
        raise DeviceError(f"levels of a device of discrete states must be at most {_LEVELS_MAX}, not {device.levels}",
                          hint='states = "continuous" takes so many for a continuum')
    tables: dict[str, Any] = dict.fromkeys(("set_table", "reset_table", "read_out_set_table", "read_out_reset_table"))
    weights = np.rint(np.arange(device.levels) / (device.levels - 1) * ((1 << chip.weight_bits) - 1)).astype(int)
    return dataclasses.replace(chip, levels=device.levels, weights=tuple(weights.tolist()), **tables)


def _constant(phase):
    return dataclasses.replace(phase, scale=1.0, decay=1.0, read_out_scale=1.0, read_out_decay=1.0)


def chip_with_device(chip: Chip, device: Device, *, widths: tuple[float, float] | None = None,
                     fraction_bits: int | None = None) -> Chip:
    """A chip whose weight, SET and RESET tables are those of a device; model, RTL and boards take it alike.

    Levels, widths and all geometry stay, so the same gates and the same learning schedule serve; but a device of
    discrete states has cells of as many levels, and with one of fixed pulse width every update is one pulse of it, so
    that the schedule cannot lower rates. A read-out gets tables of the same device, with its own widths. The chip
    keeps the device (:meth:`Device.of_chip`).

    Parameters
    ----------
    widths : (float, float), optional
        Width of one SET and one RESET update in full pulses of the device; :func:`matched_widths` if absent, so that
        the device learns about as fast as the chip had been tuned to.
    fraction_bits : int, optional
        In place of the chip's.

    Raises
    ------
    DeviceError
        A pulse moves farther than an entry of the tables can tell, or the device has too many states.
    """
    if widths is not None and device.pulse_width == "fixed" and tuple(widths) != (1.0, 1.0):
        raise DeviceError(f"width must be 1 1 for {device.name}, whose pulse_width is fixed, not {widths[0]:g} "
                          f"{widths[1]:g}")
    base = with_states(chip, device)
    if fraction_bits is not None:
        base = dataclasses.replace(base, fraction_bits=fraction_bits)
    made: dict[str, Any] = {"name": f"{chip.name}-{device.name}",
                            "device": json.dumps(device.to_dict(), sort_keys=True),
                            "weights": tuple(weight_table(device, base.levels, base.weight_bits).tolist())}
    if device.pulse_width == "fixed":
        made["schedule"] = tuple(map(_constant, chip.schedule))
    for prefix, own in (("", base.plasticity_tables), *([("read_out_", base.read_out_tables)] if chip.classes else ())):
        taken = matched_widths(device, base, tables=own()) if widths is None else widths
        for kind, table in zip(("set", "reset"), plasticity_tables(device, base, *taken), strict=True):
            made[f"{prefix}{kind}_table"] = tuple(map(tuple, table.tolist()))
    return dataclasses.replace(base, **made)
