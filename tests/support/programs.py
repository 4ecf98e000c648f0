"""Programs in plain Python: encoding events and memories, and carrying programs out by the letter of docs/link.md."""

import zlib

import numpy as np

from ohmspike.chip import Chip
from ohmspike.chip.events import EventBatch, EventCode
from ohmspike.chip.instructions import (
    MEMORIES,
    STORE_COLUMNS,
    Opcode,
    Status,
    identity_words,
    memory,
    neuron_bytes,
    register,
    register_names,
    tile_bytes,
)
from ohmspike.chip.state import ChipState
from ohmspike.sim.oracle import Oracle

__all__ = [
    "ReferenceExecutor", "check", "encode_events", "frame", "load_state", "random_program", "read", "read_state",
    "replay", "runs", "state_from", "write",
]

_PLAIN = {EventCode.STEP: Opcode.STEP, EventCode.DECIDE: Opcode.DECIDE, EventCode.DARK: Opcode.DARK,
          EventCode.END: Opcode.END, EventCode.ANSWER: Opcode.ANSWER}


def _lasting(chip):
    """Memories that hold what lasts, of those that the chip has."""
    kept = ["registers", *(entry.name for entry in ChipState.memories())]
    return [entry.name for entry in MEMORIES if entry.name in kept and entry.rows(chip)]


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


def runs(lines) -> bytes:
    """RUNS of ascending lines, by docs/link.md and nothing else."""
    program, at = bytearray([Opcode.RUNS]), 0
    wanted = sorted(lines)
    while wanted:
        skip = min(31, wanted[0] - at)
        at += skip
        spiking = 0
        while spiking < 7 and wanted and wanted[0] == at:
            wanted.pop(0)
            spiking, at = spiking + 1, at + 1
        program.append(spiking << 5 | skip)
    return bytes(program) + b"\0"


def replay(first: int, length: int, times: int = 1) -> bytes:
    """A REPLAY of ``length`` bytes of the store."""
    return bytes([Opcode.REPLAY, *first.to_bytes(3, "little"), *length.to_bytes(3, "little"), times])


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
    names = [name for name in _lasting(chip) if name not in ("registers", "counters") and memory(name).writable(chip)]
    program = b"".join(write(name, getattr(state, name)) for name in names)
    registers = [getattr(state, name, register(name).reset) for name in register_names(chip)]
    return program + write("registers", registers) + write("counters", [0])


def read_state(chip: Chip) -> bytes:
    """A program that reads back everything that :func:`state_from` takes."""
    return b"".join(read(name, memory(name).rows(chip) * memory(name).columns(chip)) for name in _lasting(chip))


def state_from(chip: Chip, output: bytes) -> tuple[ChipState, int]:
    """State and register ``report`` from the output of :func:`read_state`, status included."""
    if output[-1] != Status.OK:
        raise ValueError(f"status must be OK, not {output[-1]!r}")
    arrays, place = {}, 0
    for name in [entry.name for entry in ChipState.memories()]:
        arrays[name] = np.zeros(memory(name).shape(chip), memory(name).dtype)
    for name in _lasting(chip):
        entry = memory(name)
        size = entry.rows(chip) * entry.columns(chip) * entry.cell_bytes
        arrays[name] = np.frombuffer(output[place:place + size], f"<u{entry.cell_bytes}").reshape(
            entry.shape(chip)).copy()
        place += size
    if place != len(output) - 1:
        raise ValueError(f"output must have {place + 1} bytes, not {len(output)}")
    registers = dict(zip(register_names(chip), map(int, arrays["registers"]), strict=True))
    return ChipState.of(chip, arrays, registers), registers["report"]


class _Failed(Exception):
    """The program ends with this status."""


class ReferenceExecutor:
    """Carry out programs on an :class:`Oracle`: what every executor must answer, byte for byte.

    A FRAME acts byte by byte and a WRITE cell by cell as they come in, so a truncated one has acted in part.

    Parameters
    ----------
    chip : :class:`Chip`
    runs : :class:`bool`
        RUNS is an instruction.
    store : :class:`int`
        Rows of the store: RUNS and REPLAY are instructions.
    """

    def __init__(self, chip: Chip, *, runs: bool = False, store: int = 0):
        self.chip, self.runs, self.store = chip, runs or store > 0, bytearray(store * STORE_COLUMNS)
        self._replaying = False
        self.oracle = Oracle(chip)
        self._reset_registers(self.oracle.state)

    def run(self, program: bytes) -> bytes:
        """Output of a program, with the status as its last byte."""
        self._program, self._place, self._output = program, 0, bytearray()
        status = Status.OK
        try:
            self._carry_out()
        except _Failed as failure:
            status = failure.args[0]
        self._replaying = False
        return bytes(self._output) + bytes([status])

    def _carry_out(self):
        while self._place < len(self._program):
            self._instruction()

    def _replay(self):
        first, length, times = (int.from_bytes(self._take(size), "little") for size in (3, 3, 1))
        if self._replaying or not self.store:
            raise _Failed(Status.BAD_INSTRUCTION)
        if first + length > len(self.store):
            raise _Failed(Status.BAD_ADDRESS)
        after = self._program, self._place
        self._replaying = True
        for _ in range(times):
            self._program, self._place = bytes(self.store[first:first + length]), 0
            self._carry_out()
        self._replaying = False
        self._program, self._place = after

    def reset(self):
        """What a reset does: the sample and the registers go, the rest of the state stays."""
        state = self.oracle.state
        self._reset_registers(state)
        self.oracle = Oracle(self.chip, state)

    def _reset_registers(self, state):
        for entry in ChipState.registers():
            setattr(state, entry.name, entry.kind(entry.reset))
        self.report = register("report").reset

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
        elif opcode == Opcode.RUNS:
            self._runs()
        elif opcode == Opcode.REPLAY:
            self._replay()
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

    def _runs(self):
        if not self.runs:
            raise _Failed(Status.BAD_INSTRUCTION)
        dark, line = self.oracle.is_dark, 0
        while byte := self._take(1)[0]:
            first, line = line + byte % 32, line + byte % 32 + byte // 32
            if line > self.chip.lines or self._place == len(self._program):
                raise _Failed(Status.BAD_INSTRUCTION)
            for spiking in range(first, line if not dark else first):
                self.oracle.spike(spiking)
        if dark:
            self.oracle.frame(bytes(-(-self.chip.lines // 8)))

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
        rows = 0 if entry is None else entry.rows(self.chip)
        if entry is memory("store") and not self._replaying:
            rows = len(self.store) // STORE_COLUMNS
        if entry is None or not rows or column >= entry.columns(self.chip):
            raise _Failed(Status.BAD_ADDRESS)
        if opcode == Opcode.WRITE and not entry.writable(self.chip):
            raise _Failed(Status.BAD_ADDRESS)
        data = b""
        for _ in range(count):
            if row >= rows:
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
        return getattr(self.oracle.state, name).reshape(memory(name).grid(self.chip))

    def _write(self, name, row, column, value):
        chip, state = self.chip, self.oracle.state
        if name == "store":
            self.store[row * STORE_COLUMNS + column] = value
        elif name == "counters":
            state.counters[:] = 0
        elif name == "registers":
            entry = register(register_names(chip)[column])
            value &= (1 << entry.bits(chip)) - 1
            if entry.name == "report":
                self.report = value
            else:
                setattr(state, entry.name, entry.kind(value))
        else:
            self._cells(name)[row, column] = value & (1 << memory(name).bits(chip)) - 1

    def _read(self, name, row, column):
        state = self.oracle.state
        if name == "registers":
            return int(getattr(state, register_names(self.chip)[column], self.report))
        if name == "status":
            return 0
        if name == "store":
            return self.store[row * STORE_COLUMNS + column]
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
    if rng.random() < 0.6 or not entry.writable(chip) or name == "registers":
        return (read if rng.random() < 0.6 else check)(name, count, row=row, column=column)
    return write(name, rng.integers(0, entry.largest(chip) + 1, count), row=row, column=column)


def _absent(chip):
    """Codes of memories that the chip does not have."""
    return [entry.code for entry in MEMORIES if not entry.rows(chip)]


def _random_failure(chip, rng):
    kind = rng.integers(5)
    if kind == 0:
        return bytes([int(rng.choice([0x09, 0x0F, 0x13, 0x80, 0xFF]))])
    if kind == 1:
        return _burst(Opcode.READ, int(rng.choice([1 + MEMORIES[-1].code, 200, *_absent(chip)])), 0, 0, 1)
    if kind == 2:
        return write("status", [1]) if rng.random() < 0.5 else write("identity", [1])
    if kind == 3:
        entry = memory("theta")
        ask = read if rng.random() < 0.5 else check
        return ask("theta", 3, row=entry.rows(chip) - 1, column=entry.columns(chip) - 1)
    return read("set", 1, column=chip.levels) if rng.random() < 0.5 else write("set", [1, 2], row=chip.amplitudes)


