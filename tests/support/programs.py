"""Programs in plain Python: encoding events and memories, and carrying programs out by the letter of docs/link.md."""

import zlib

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.chip.instructions import (
    MEMORIES,
    Opcode,
    Status,
    identity_words,
    memory,
    neuron_bytes,
    register_names,
    tile_bytes,
)
from ohmspike.sim.oracle import Oracle
from ohmspike.sim.state import ChipState

__all__ = [
    "ReferenceExecutor", "check", "encode_events", "frame", "load_state", "random_program", "read", "read_state",
    "state_from", "write",
]

_PLAIN = {EventCode.STEP: Opcode.STEP, EventCode.DECIDE: Opcode.DECIDE, EventCode.DARK: Opcode.DARK,
          EventCode.END: Opcode.END, EventCode.ANSWER: Opcode.ANSWER}
_PERSISTENT = ("levels", "theta", "random", "weight", "set", "reset", "registers", "counters")
_READ_OUT = ("read_out", "read_out_set", "read_out_reset")
_REGISTERS = ("learn", "theta_step", "theta_base", "margin", "write_noise")


def _lasting(chip):
    """Memories that hold what lasts, of those that the chip has."""
    return [name for name in (*_PERSISTENT, *_READ_OUT, "stuck", "read_out_stuck") if memory(name).rows(chip)]


def encode_events(codes) -> bytes:
    """Instructions for a list of event codes: lines, labels and :class:`EventCode`."""
    if isinstance(codes, EventBatch):
        codes = codes.codes
    program = bytearray()
    for code in map(int, codes):
        if code >= 0:
            program += bytes([Opcode.SPIKE]) + code.to_bytes(2, "little")
        elif code <= EventCode.LABEL:
            program += bytes([Opcode.LABEL, EventCode.LABEL - code])
        else:
            program += bytes([_PLAIN[EventCode(code)]])
    return bytes(program)


def frame(chip: Chip, lines, *, padding: bool = False) -> bytes:
    """A FRAME of the given lines; ``padding`` sets the bits past the last line too."""
    bitmap = np.zeros(-(-chip.lines // 8) * 8, bool)
    bitmap[list(lines)] = True
    bitmap[chip.lines:] = padding
    return bytes([Opcode.FRAME]) + np.packbits(bitmap, bitorder="little").tobytes()


def _burst(opcode, code, row, column, count):
    return bytes([opcode, code]) + b"".join(int(value).to_bytes(2, "little") for value in (row, column, count))


def write(name: str, cells, *, row: int = 0, column: int = 0) -> bytes:
    """A WRITE burst of ``cells`` (array-like) from ``row`` and ``column`` on."""
    entry, cells = memory(name), np.asarray(cells).ravel()
    return (_burst(Opcode.WRITE, entry.code, row, column, cells.size)
            + cells.astype(f"<u{entry.cell_bytes}").tobytes())


def read(name: str, count: int, *, row: int = 0, column: int = 0) -> bytes:
    """A READ burst of ``count`` cells."""
    return _burst(Opcode.READ, memory(name).code, row, column, count)


def check(name: str, count: int, *, row: int = 0, column: int = 0) -> bytes:
    """A CHECK of ``count`` cells."""
    return _burst(Opcode.CHECK, memory(name).code, row, column, count)


def load_state(chip: Chip, state: ChipState) -> bytes:
    """A program that loads everything of a state but the counters, which it clears."""
    names = [name for name in _lasting(chip) if name not in ("weight", "registers", "counters")]
    program = b"".join(write(name, getattr(state, name)) for name in names)
    if chip.weight_store == "memory":
        program += write("weight", state.weight)
    registers = [1 if name == "report" else getattr(state, name) for name in register_names(chip)]
    return program + write("registers", registers) + write("counters", [0])


def read_state(chip: Chip) -> bytes:
    """A program that reads back everything that :func:`state_from` takes."""
    return b"".join(read(name, memory(name).rows(chip) * memory(name).columns(chip)) for name in _lasting(chip))


def state_from(chip: Chip, output: bytes) -> tuple[ChipState, int]:
    """State and register ``report`` from the output of :func:`read_state`, status included."""
    if output[-1] != Status.OK:
        raise ValueError(f"status must be OK, not {output[-1]!r}")
    arrays, place = {}, 0
    absent = ChipState.initial(chip)
    for name in (*_READ_OUT, "stuck", "read_out_stuck"):
        arrays[name] = getattr(absent, name)
    for name in _lasting(chip):
        entry = memory(name)
        size = entry.rows(chip) * entry.columns(chip) * entry.cell_bytes
        arrays[name] = np.frombuffer(output[place:place + size], f"<u{entry.cell_bytes}").copy()
        place += size
    if place != len(output) - 1:
        raise ValueError(f"output must have {place + 1} bytes, not {len(output)}")
    registers = dict(zip(register_names(chip), map(int, arrays["registers"]), strict=True))
    state = ChipState(
        levels=arrays["levels"].reshape(chip.tiles, chip.rows, chip.neurons),
        theta=arrays["theta"].reshape(chip.tiles, chip.neurons), random=arrays["random"], weight=arrays["weight"],
        set=arrays["set"].reshape(chip.amplitudes, chip.levels),
        reset=arrays["reset"].reshape(chip.amplitudes, chip.levels), learn=bool(registers["learn"]),
        theta_step=registers["theta_step"], theta_base=registers["theta_base"], counters=arrays["counters"],
        read_out=arrays["read_out"].reshape(chip.read_out_rows, chip.classes),
        read_out_set=arrays["read_out_set"].reshape(-1, chip.levels),
        read_out_reset=arrays["read_out_reset"].reshape(-1, chip.levels), margin=registers["margin"],
        write_noise=registers.get("write_noise", 0), stuck=arrays["stuck"].reshape(absent.stuck.shape),
        read_out_stuck=arrays["read_out_stuck"].reshape(absent.read_out_stuck.shape))
    return state, registers["report"]


class _Failed(Exception):
    """The program ends with this status."""


class ReferenceExecutor:
    """Carry out programs on an :class:`Oracle`: what every executor must answer, byte for byte.

    A FRAME acts byte by byte and a WRITE cell by cell as they come in, so a truncated one has acted in part.

    Parameters
    ----------
    chip : :class:`Chip`
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        self.oracle = Oracle(chip)
        for register in _REGISTERS[1:]:
            setattr(self.oracle.state, register, 0)
        self.report = 1

    def run(self, program: bytes) -> bytes:
        """Output of a program, with the status as its last byte."""
        self._program, self._place, self._output = program, 0, bytearray()
        status = Status.OK
        try:
            while self._place < len(program):
                self._instruction()
        except _Failed as failure:
            status = failure.args[0]
        return bytes(self._output) + bytes([status])

    def reset(self):
        """What a reset does: the sample and the registers go, the rest of the state stays."""
        state = self.oracle.state
        state.learn, state.theta_step, state.theta_base, state.margin, state.write_noise = False, 0, 0, 0, 0
        self.report = 1
        self.oracle = Oracle(self.chip, state)

    def _take(self, count):
        if self._place + count > len(self._program):
            self._place = len(self._program)
            raise _Failed(Status.BAD_INSTRUCTION)
        self._place += count
        return self._program[self._place - count:self._place]

    def _instruction(self):
        try:
            opcode = Opcode(self._take(1)[0])
        except ValueError:
            raise _Failed(Status.BAD_INSTRUCTION) from None
        oracle, race = self.oracle, self.chip.fire_mode == "race"
        if opcode == Opcode.SPIKE:
            oracle.spike(int.from_bytes(self._take(2), "little"))
        elif opcode == Opcode.FRAME:
            self._frame()
        elif opcode == Opcode.STEP:
            self._fires(oracle.step, records=not race)
        elif opcode == Opcode.DECIDE:
            self._fires(oracle.decide, records=race)
        elif opcode == Opcode.DARK:
            oracle.dark()
        elif opcode == Opcode.END:
            oracle.end()
        elif opcode == Opcode.LABEL:
            oracle.label(self._take(1)[0])
        elif opcode == Opcode.ANSWER:
            answer = oracle.answer()
            if answer is not None:
                self._output += b"".join(number.to_bytes(size, "little")
                                         for number, size in zip(answer, (1, 3, 3), strict=True))
        elif opcode in (Opcode.WRITE, Opcode.READ, Opcode.CHECK):
            self._burst(opcode)

    def _frame(self):
        size = -(-self.chip.lines // 8)
        bitmap = self._program[self._place:self._place + size]
        if len(bitmap) == size:
            self.oracle.frame(bitmap)
        elif not self.oracle.is_dark:
            for line in range(max(0, len(bitmap) - 1) * 8):
                if bitmap[line // 8] >> line % 8 & 1:
                    self.oracle.spike(line)
        self._take(size)

    def _fires(self, event, *, records):
        before = self.oracle.counter("refused")
        fires = event()
        if not (records and self.report) or self.oracle.counter("refused") != before:
            return
        tile_size, neuron_size = tile_bytes(self.chip), neuron_bytes(self.chip)
        seen = None
        for tile, neuron in fires:
            if tile != seen:
                self._output += tile.to_bytes(tile_size, "little")
            self._output += neuron.to_bytes(neuron_size, "little")
            seen = tile
        self._output += b"\xff" * tile_size

    def _burst(self, opcode):
        code, *operands = self._take(7)
        row, column, count = (int.from_bytes(bytes(operands[i:i + 2]), "little") for i in (0, 2, 4))
        entry = next((entry for entry in MEMORIES if entry.code == code), None)
        if entry is None or not entry.rows(self.chip) or column >= entry.columns(self.chip):
            raise _Failed(Status.BAD_ADDRESS)
        fixed = entry.name == "weight" and self.chip.weight_store == "fixed"
        if opcode == Opcode.WRITE and (fixed or not entry.writable):
            raise _Failed(Status.BAD_ADDRESS)
        data = b""
        for _ in range(count):
            if row >= entry.rows(self.chip):
                raise _Failed(Status.BAD_ADDRESS)
            if opcode == Opcode.WRITE:
                self._write(entry.name, row, column, int.from_bytes(self._take(entry.cell_bytes), "little"))
            else:
                cell = self._read(entry.name, row, column).to_bytes(entry.cell_bytes, "little")
                data += cell
                self._output += cell if opcode == Opcode.READ else b""
            column += 1
            if column == entry.columns(self.chip):
                row, column = row + 1, 0
        if opcode == Opcode.CHECK:
            self._output += zlib.crc32(data).to_bytes(4, "little")

    def _cells(self, name):
        state, chip = self.oracle.state, self.chip
        return {"levels": lambda: state.levels.reshape(-1, chip.neurons), "theta": lambda: state.theta,
                "random": lambda: state.random[:, None], "weight": lambda: state.weight[None],
                "set": lambda: state.set, "reset": lambda: state.reset, "read_out": lambda: state.read_out,
                "read_out_set": lambda: state.read_out_set, "read_out_reset": lambda: state.read_out_reset,
                "counters": lambda: state.counters[None], "stuck": lambda: state.stuck.reshape(-1, chip.neurons),
                "read_out_stuck": lambda: state.read_out_stuck}[name]()

    def _write(self, name, row, column, value):
        chip, state = self.chip, self.oracle.state
        level_bits = (chip.levels - 1).bit_length()
        widths = {"levels": level_bits, "read_out": level_bits, "theta": chip.threshold_bits,
                  "weight": chip.weight_bits, "stuck": 1, "read_out_stuck": 1}
        if name == "counters":
            state.counters[:] = 0
        elif name == "registers":
            register = register_names(chip)[column]
            if register == "report":
                self.report = value & 1
            else:
                width = {"learn": 1, "theta_step": 16, "theta_base": chip.threshold_bits,
                         "margin": chip.score_bits, "write_noise": chip.noise_bits}[register]
                setattr(state, register, value & (1 << width) - 1)
        else:
            cells = self._cells(name)
            cells[row, column] = value & (1 << widths.get(name, 8 * cells.itemsize)) - 1

    def _read(self, name, row, column):
        state = self.oracle.state
        if name == "registers":
            register = register_names(self.chip)[column]
            return int(self.report if register == "report" else getattr(state, register))
        if name == "status":
            return 0
        if name == "identity":
            field = self.chip.__dataclass_fields__[identity_words(self.chip)[column]]
            value, options = getattr(self.chip, field.name), field.metadata.get("options")
            return options.index(value) if options else value
        return int(self._cells(name)[row, column])


def random_program(chip: Chip, rng: np.random.Generator, length: int) -> bytes:
    """Instructions from everywhere: events, refused ones too, frames, bursts over row ends, now and then a failure."""
    program = b""
    for _ in range(length):
        kind = rng.choice(["spikes", "frame", "step", "decide", "dark", "end", "burst", "learn", "nop", "bad", "answer",
                           "label"], p=[0.28, 0.11, 0.12, 0.14, 0.05, 0.08, 0.07, 0.05, 0.02, 0.02, 0.03, 0.03])
        if kind == "spikes":
            program += encode_events(rng.integers(0, chip.lines, int(rng.integers(1, 6))))
            if rng.random() < 0.2:
                program += encode_events([int(rng.integers(chip.lines, 1 << 16))])
        elif kind == "frame":
            lines = np.flatnonzero(rng.random(chip.lines) < rng.choice([0, 0.3, 1]))
            program += frame(chip, lines, padding=bool(rng.random() < 0.5))
        elif kind == "burst":
            program += _random_burst(chip, rng)
        elif kind == "learn":
            program += write("registers", [rng.random() < 0.8, rng.choice([0, 3, 0xFFFF])])
            program += write("registers", [rng.random() < 0.8, rng.choice([0, 20, 0xFFFFFF])], column=3)
            if chip.noise_bits:
                program += write("registers", [rng.choice([0, 9, 0xFFFFFF])], column=5)
        elif kind == "label":
            program += bytes([Opcode.LABEL, int(rng.integers(0, chip.classes + int(rng.random() < 0.2) + 1))])
        elif kind == "nop":
            program += bytes([Opcode.NOP])
        elif kind == "bad":
            program += _random_failure(chip, rng)
        else:
            program += bytes([Opcode[kind.upper()]])
    cut = int(rng.integers(1, len(program) + 1)) if rng.random() < 0.2 else len(program)
    return program[:cut]


def _random_burst(chip, rng):
    name = rng.choice(["identity", "status", *(name for name in _lasting(chip) if name != "counters")])
    entry = memory(name)
    rows, columns = entry.rows(chip), entry.columns(chip)
    row, column = int(rng.integers(rows)), int(rng.integers(columns))
    most = min(rows * columns - row * columns - column, 12)
    count = int(rng.integers(0, most + 1))
    if (rng.random() < 0.6 or not entry.writable or name == "registers"
            or (name == "weight" and chip.weight_store == "fixed")):
        return (read if rng.random() < 0.6 else check)(name, count, row=row, column=column)
    high = {"levels": chip.levels, "read_out": chip.levels, "theta": 1 << chip.threshold_bits,
            "weight": 1 << chip.weight_bits, "stuck": 2, "read_out_stuck": 2,
            "random": 1 << 32}.get(name, 1 << 16)
    return write(name, rng.integers(0, high, count), row=row, column=column)


def _absent(chip):
    """Codes of memories that the chip does not have."""
    return [entry.code for entry in MEMORIES if not entry.rows(chip)]


def _random_failure(chip, rng):
    kind = rng.integers(5)
    if kind == 0:
        return bytes([int(rng.choice([0x09, 0x0F, 0x13, 0x80, 0xFF]))])
    if kind == 1:
        return _burst(Opcode.READ, int(rng.choice([15, 200, *_absent(chip)])), 0, 0, 1)
    if kind == 2:
        return write("status", [1]) if rng.random() < 0.5 else write("identity", [1])
    if kind == 3:
        entry = memory("theta")
        ask = read if rng.random() < 0.5 else check
        return ask("theta", 3, row=entry.rows(chip) - 1, column=entry.columns(chip) - 1)
    return read("set", 1, column=chip.levels) if rng.random() < 0.5 else write("set", [1, 2], row=chip.amplitudes)


