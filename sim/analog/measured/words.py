"""The words of headers: which column is what, in which unit, of which branch, cycle and device."""

import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Column", "UNITS", "branch_of", "column_of", "unit_of"]

UNITS = "S, mS, µS, nS, pS; Ω, kΩ, MΩ; A, mA, µA, nA; G0; powers of ten such as 10^-6 S"

_SET = {"ltp", "pot", "potentiation", "potentiate", "potentiated", "potentiating", "set", "up", "increase",
        "increasing", "positive", "pos", "+", "1", "+1", "p", "write", "program"}
_RESET = {"ltd", "dep", "depression", "depress", "depressed", "depressing", "reset", "down", "decrease", "decreasing",
          "negative", "neg", "-", "-1", "0", "d", "erase"}
_HEAD_SET = _SET - {"+", "1", "+1", "p", "positive", "pos", "write", "program"}
_HEAD_RESET = _RESET - {"-", "-1", "0", "d", "negative", "neg", "erase"}
_QUANTITIES = {"conductance": {"conductance", "conductances", "g", "cond", "conduct", "weight", "gmean"},
               "resistance": {"resistance", "resistances", "r", "res"},
               "current": {"current", "currents", "i", "id", "ids", "iread", "ir", "imeas", "ai", "amps"},
               "voltage": {"voltage", "voltages", "v", "vpulse", "vp", "bias", "amplitude", "vg", "vgs", "volt", "av"}}
_STEP = {"dg", "deltag", "delta", "dw", "Δg"}
_PULSE = {"pulse", "pulses", "n", "number", "num", "no", "nr", "index", "idx", "count", "#", "step", "steps", "point",
          "points", "pulsenum", "pulsenumber", "pulseno", "pulseindex", "x"}
_CYCLE = {"cycle", "cycles", "cyc", "run", "runs", "sweep", "repetition", "rep", "loop", "ramp", "rmp", "trial",
          "train", "trace"}
_DEVICE = {"device", "devices", "dev", "cell", "chip", "sample", "die"}
_BRANCH = {"branch", "direction", "polarity", "kind", "type", "mode", "phase", "operation", "op", "process", "sign"}
_TIME = {"time", "t", "timestamp", "times"}
_ASIDE = {"std", "stdev", "stddev", "sd", "sigma", "err", "error", "errors", "sem", "deviation", "width", "duration",
          "temperature", "comment", "comments", "note", "notes", "min", "max", "median", "date"}
_PREFIX = {"": 1.0, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "K": 1e3, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12,
           "f": 1e-15, "giga": 1e9, "mega": 1e6, "kilo": 1e3, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9, "pico": 1e-12}
_BASE = {"S": "S", "siemens": "S", "mho": "S", "Ω": "ohm", "ohm": "ohm", "ohms": "ohm", "A": "A", "amp": "A",
         "amps": "A", "ampere": "A", "amperes": "A", "V": "V", "volt": "V", "s": "s", "sec": "s", "seconds": "s"}
_SHARE = {"a.u.", "au", "a.u", "arb", "arb.", "arb. units", "arb.u.", "norm", "norm.", "normalised", "normalized",
          "rel.", "relative"}
_QUANTUM = 7.748091729e-05
_POWER = re.compile(r"[x×*·]?\s*(?:10\s*\^?\s*\{?\s*([-+]?\d+)\s*\}?|(\d+(?:\.\d+)?e[-+]?\d+))\s*(.*)$")
_OHM_SIGNS = {"\u2126": "Ω", "\u00b5": "u", "\u03bc": "u", "−": "-", "\u2013": "-"}


@dataclass(frozen=True)
class Column:
    """What a header says.

    Parameters
    ----------
    role : str
        ``pulse``, ``branch``, ``cycle``, ``device``, ``time``, ``voltage``, ``read_v``, ``value``, ``step`` or
    ``none``. head : str
        The header.
    quantity : str
        Of a value: ``conductance``, ``resistance`` or ``current``; empty if not stated.
    dimension, factor : str, float
        Of the unit: ``S``, ``ohm``, ``A``, ``V``, ``s``, ``share`` or empty, and what 1 of it is.
    unit : str
        As it was written.
    kind, cycle, device : str
        Of a value.
    """

    role: str
    head: str
    quantity: str = ""
    dimension: str = ""
    factor: float = 1.0
    unit: str = ""
    kind: str = ""
    cycle: str = ""
    device: str = ""


def _plain(text):
    """One spelling of signs: the ohm sign is omega, both micro signs are u, superscripts are digits."""
    text = re.sub(r"\\(?:mathrm|text|rm)\s*", "", text)
    text = re.sub(r"\\(?:mu|micro)\s*", "u", text)
    text = re.sub(r"\\(?:Omega|ohm)\s*", "Ω", text)
    text = re.sub(r"\\(?:Delta)\s*", "Δ", text).replace("$", "")
    for sign, plain in _OHM_SIGNS.items():
        text = text.replace(sign, plain)
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).replace("\u03bc", "u")).strip()


def unit_of(text: str) -> tuple[str, float] | None:
    """Dimension and factor of a unit, however it is spelled; None if it is none."""
    unit = _plain(text).strip(" .{}") if text.strip().lower() not in _SHARE else text.strip()
    if unit.lower() in _SHARE:
        return "share", 1.0
    if unit == "%":
        return "share", 0.01
    if unit in ("G0", "G_0", "2e2/h", "2e^2/h"):
        return "S", _QUANTUM
    power = _POWER.match(unit)
    if power and power[3]:
        inner = unit_of(power[3])
        factor = 10.0 ** int(power[1]) if power[1] else float(power[2])
        return None if inner is None else (inner[0], inner[1] * factor)
    if unit in ("Ω-1", "Ω^-1", "Ω^{-1}", "1/Ω"):
        return "S", 1.0
    for fold in (False, True):
        for base in sorted(_BASE, key=len, reverse=True):
            ends = unit.endswith(base) if not fold else unit.lower().endswith(base.lower())
            if not ends:
                continue
            prefix = unit[:len(unit) - len(base)].strip()
            if prefix not in _PREFIX and prefix.lower() in _PREFIX and (fold or len(base) > 1):
                prefix = prefix.lower()
            if prefix in _PREFIX:
                return _BASE[base], _PREFIX[prefix]
    return None


def branch_of(text: str) -> str:
    """``set``, ``reset``, or nothing."""
    word = _plain(text).lower()
    if word in _SET:
        return "set"
    if word in _RESET:
        return "reset"
    words = set(_tokens(word))
    up = words & (_HEAD_SET | {"positive", "pos", "write", "program"})
    down = words & (_HEAD_RESET | {"negative", "neg", "erase"})
    return "set" if up and not down else "reset" if down and not up else ""


def _tokens(name):
    name = re.sub(r"\b([gri])(ltp|ltd|set|reset|pot|dep)", r"\1 \2", name.lower())
    return re.findall(r"Δ?[a-z]+|\d+(?:\.\d+)?|[#+\-]", name)


def _apart(head):
    """A header's name and its unit."""
    plain = _plain(head)
    for bracket in re.finditer(r"[\[({]\s*([^\[\](){}]*?)\s*[\])}]", plain):
        inside = bracket[1]
        if inside in ("#", "") or set(_tokens(inside)) & (_CYCLE | _DEVICE | _PULSE | _HEAD_SET | _HEAD_RESET):
            continue
        return (plain[:bracket.start()] + " " + plain[bracket.end():]).strip(), inside
    for form in (r"^(.*\S)\s*/\s*(.+)$", r"^(.*\S)\s*,\s*(.+)$", r"^(.*\S)\s+in\s+(.+)$", r"^(.*[^\s_])[_\s]+(\S+)$"):
        match = re.match(form, plain)
        if match and unit_of(match[2]) and not set(_tokens(match[1])) <= _DEVICE:
            return match[1], match[2]
    return plain, ""


def _label(tokens, words):
    """What follows a word such as ``cycle``."""
    for index, token in enumerate(tokens):
        if token in words:
            rest = [other for other in tokens[index + 1:index + 2] if other not in ("#",) and other not in _PULSE]
            if rest and (rest[0].isdigit() or len(rest[0]) == 1):
                return rest[0]
    return ""


def column_of(head: str) -> Column:
    """What a column with this header holds."""
    if unit_of(head) and not (len(head.strip()) == 1 and head.strip().lower() in "stvga"):
        name, unit = "", _plain(head)
    else:
        name, unit = _apart(head)
    dimension, factor = unit_of(unit) or ("", 1.0)
    tokens = _tokens(name)
    words = set(tokens)
    made = {"head": head, "unit": unit, "dimension": dimension, "factor": factor}
    kind = "set" if words & _HEAD_SET and not words & _HEAD_RESET else "reset" if words & _HEAD_RESET else ""
    if not kind and len(tokens) == 1:
        kind = {"p": "set", "d": "reset"}.get(tokens[0], "")
    cycle, device = _label(tokens, _CYCLE), _label(tokens, _DEVICE)
    numbers = [token for token in tokens if token.isdigit()]
    if not cycle and not device and len(numbers) == 1 and (kind or words & (_QUANTITIES["conductance"]
                                                                          | _QUANTITIES["resistance"])):
        cycle = numbers[0]
    made |= {"kind": kind, "cycle": cycle, "device": device}
    if words & _ASIDE:
        return Column("none", **made)
    if words & _STEP or re.match(r"Δ", name):
        return Column("step", quantity="conductance", **made)
    quantity = next((quantity for quantity, known in _QUANTITIES.items() if words & known), "")
    if quantity == "voltage" or (not quantity and dimension == "V"):
        return Column("read_v" if "read" in words or "vread" in words else "voltage", **made)
    if not quantity:
        quantity = {"S": "conductance", "ohm": "resistance", "A": "current"}.get(dimension, "")
    if words & _TIME and quantity != "conductance" or (not words and dimension == "s"):
        return Column("time", **made)
    if words & _BRANCH and not kind:
        return Column("branch", **made)
    if quantity and not (words & _PULSE and not words & {"read", "mean", "average"} and dimension == ""
                         and len(words & set().union(*_QUANTITIES.values())) == 0):
        return Column("value", quantity=quantity, **made)
    if words & {"pulse", "pulses", "#"} and not (words & _CYCLE):
        return Column("pulse", **made)
    if kind:
        return Column("value", **made)
    if words & _DEVICE:
        return Column("value" if device else "device", **made)
    if words & _CYCLE:
        return Column("value" if cycle else "cycle", **made)
    if words & _PULSE or name == "#":
        return Column("pulse", **made)
    return Column("none", **made)
