"""A host of a chip, written from docs/link.md and docs/contract.md alone: the standard library and Icarus Verilog.

``python -I host.py RTL`` simulates the chip in the folder ``RTL``, which ``ohmspike rtl`` wrote, loads random contents,
lets the chip learn, damages, loses and repeats frames on the way, reads all memories back, and prints as JSON what it
sent and what came.
"""

import json
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

FLAG, ESCAPE = 0x7E, 0x7D
HELLO, RUN, IDENTITY, REPLY, NAK = 0x01, 0x02, 0x81, 0x82, 0x83
REASONS = {1: "CHECK", 2: "SEQUENCE", 3: "LENGTH", 4: "KIND"}
OK, BAD_INSTRUCTION, BAD_ADDRESS, OVERFLOW = range(4)
SPIKE, FRAME, STEP, DECIDE, DARK, END, ANSWER, LABEL = range(1, 9)
WRITE, READ, CHECK = 0x10, 0x11, 0x12
QUIET = 100  # clocks without a byte after which the host looks at what has come
PATIENCE = 100_000  # clocks without a frame after which it sends again

FIELDS = ("plane_height plane_width patch_height patch_width stride neurons winners learners min_spikes levels "
          "weight_bits weight_store fire_mode membrane_bits threshold_bits theta_leak trace_bits trace_shift "
          "amplitudes fraction_bits classes score_bits noise_bits stuck_cells accumulate_bits read_out_accumulate_bits "
          "channels shared pool depression").split()
MEMORIES = {"levels": (0, 1), "theta": (1, 4), "random": (2, 4), "weight": (3, 2), "set": (4, 2), "reset": (5, 2),
            "registers": (6, 4), "counters": (7, 8), "status": (8, 4), "identity": (9, 2), "read_out": (10, 1),
            "read_out_set": (11, 2), "read_out_reset": (12, 2)}  # code, bytes of a cell


def framed(seq, kind, payload):
    """The bytes of a frame on the line."""
    body = struct.pack("<HB", seq, kind) + payload
    body += struct.pack("<I", zlib.crc32(body))
    stuffed = b"".join(bytes([ESCAPE, byte ^ 0x20]) if byte in (FLAG, ESCAPE) else bytes([byte]) for byte in body)
    return bytes([FLAG]) + stuffed + bytes([FLAG])


def unframed(text):
    """Number, kind and payload of what lay between two FLAGs."""
    body, escaped = bytearray(), False
    for byte in text:
        if byte == ESCAPE and not escaped:
            escaped = True
        else:
            body.append(byte ^ 0x20 if escaped else byte)
            escaped = False
    if escaped or len(body) < 7 or struct.unpack("<I", body[-4:])[0] != zlib.crc32(body[:-4]):
        raise ValueError(f"a damaged frame came: {text.hex()}")
    return (*struct.unpack("<HB", body[:3]), bytes(body[3:-4]))


class Line:
    """Bytes to and from a simulated chip, which stands still while the host thinks."""

    def __init__(self, rtl, compiled):
        bench = Path(__file__).resolve().parent / "bench.v"
        subprocess.run(["iverilog", "-g2001", "-s", "bench", "-o", compiled, rtl / "chip.v", bench], check=True)
        self.simulator = subprocess.Popen(["vvp", "-n", compiled], cwd=rtl, text=True, stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE)

    def exchange(self, data):
        """Send bytes, wait until nothing has come for a while, and return what came."""
        self.simulator.stdin.write("".join(f"{byte:x}\n" for byte in data) + f"{0x100 + QUIET:x}\n")
        self.simulator.stdin.flush()
        came = bytearray()
        for line in self.simulator.stdout:
            if line == ".\n":
                return bytes(came)
            came.append(int(line, 16))
        raise ValueError("the simulator ended")

    def close(self):
        self.simulator.stdin.close()
        self.simulator.wait(60)
        self.simulator.stdout.close()


class Host:
    """A session: numbers, what is unanswered, what is sent again."""

    def __init__(self, line):
        self.line, self.text, self.naks, self.resent, self.answered_again = line, bytearray(), [], 0, 0
        self.seq, self.window, self.status = 0, 1, OK

    def frames(self, data=b""):
        """Send bytes and return the frames that have come whole."""
        self.text += self.line.exchange(data)
        *whole, self.text = self.text.split(bytes([FLAG]))
        return [unframed(text) for text in whole if text]

    def wait(self, data):
        """The frames that answer to these bytes; at least one."""
        for _ in range(PATIENCE // QUIET):
            if came := self.frames(data):
                return came
            data = b""
        return []

    def hello(self, seq, nonce):
        """Begin a session; the words of IDENTITY."""
        [(echo, kind, payload)] = self.wait(framed(seq, HELLO, struct.pack("<I", nonce)))
        if kind != IDENTITY or echo != seq:
            raise ValueError(f"HELLO must be answered by IDENTITY {seq}, not by {kind:#x} {echo}")
        magic, protocol, self.window, self.max_request, self.max_reply, digest, expected = struct.unpack(
            "<4sBBHH8sH", payload)
        self.seq = (seq + 1) % 2**16
        return {"magic": magic.decode(), "protocol": protocol, "window": self.window, "max_request": self.max_request,
                "max_reply": self.max_reply, "digest": digest.hex(), "expected": expected}

    def refused(self, frame):
        """Send what the chip must refuse; its NAK."""
        [(seq, kind, payload)] = self.wait(frame)
        reason, expected = struct.unpack("<BH", payload)
        if kind != NAK:
            raise ValueError(f"a frame must be refused, not answered by {kind:#x}")
        return {"seq": seq, "reason": REASONS[reason], "expected": expected}

    def run(self, programs, damaged=(), lost=(), statuses=(OK,)):
        """Have programs executed, each once and in order; their outputs.

        On their first way some are damaged or lost, by their places.
        """
        first, outputs, following, bad, gone = self.seq, [], 0, set(damaged), set(lost)
        while len(outputs) < len(programs):
            data = b""
            while following < min(len(programs), len(outputs) + self.window):
                frame = bytearray(framed((first + following) % 2**16, RUN, programs[following]))
                if following in bad:
                    frame[-2] ^= 0x01 if frame[-2] ^ 0x01 not in (FLAG, ESCAPE) else 0x04
                data += b"" if following in gone else frame
                bad.discard(following)
                gone.discard(following)
                following += 1
            came = self.wait(data)
            for seq, kind, payload in came:
                place = (seq - first) % 2**16
                if kind == NAK:
                    reason, expected = struct.unpack("<BH", payload)
                    self.naks.append(REASONS[reason])
                    if REASONS[reason] in ("LENGTH", "KIND"):
                        raise ValueError(f"the chip refuses the frame {seq}, which came whole: {REASONS[reason]}")
                    again = (expected - first) % 2**16
                    if not len(outputs) <= again <= len(programs):
                        continue  # it was under way when later replies were
                    self.resent += following - again
                    following = again
                elif kind == REPLY and place == len(outputs):
                    if payload[-1] not in statuses:
                        raise ValueError(f"the program {programs[place].hex()} ended with status {payload[-1]}")
                    outputs.append(payload[:-1])
                    self.status = payload[-1]
                elif kind == REPLY:
                    self.answered_again += 1
                else:
                    raise ValueError(f"a frame of kind {kind:#x} came")
            if not came:
                self.resent += following - len(outputs)
                following = len(outputs)
        self.seq = (first + len(programs)) % 2**16
        return outputs


class Chip:
    """Where things are in a chip, from its identity words."""

    def __init__(self, host):
        [words] = host.run([struct.pack("<BBHHH", READ, MEMORIES["identity"][0], 0, 0, len(FIELDS))],
                           statuses=(BAD_ADDRESS,))  # as many words as there are
        self.host, self.fields = host, dict.fromkeys(FIELDS, 0)
        self.words = struct.unpack(f"<{len(words) // 2}H", words)
        self.fields.update(zip(FIELDS, self.words, strict=False))
        f = self.fields
        if len(self.words) > FIELDS.index("noise_bits") or f["fire_mode"] or f["weight_store"] or not f["classes"]:
            raise ValueError("this host is for chips of a race and a read-out, without what came later")
        down = (f["plane_height"] - f["patch_height"]) // f["stride"] + 1
        across = (f["plane_width"] - f["patch_width"]) // f["stride"] + 1
        self.lines, self.tiles = f["plane_height"] * f["plane_width"], down * across
        rows, neurons, levels, bins = f["patch_height"] * f["patch_width"], f["neurons"], f["levels"], f["amplitudes"]
        self.registers = ["learn", "theta_step", "theta_base", "report", "margin"]
        self.shapes = {"levels": (self.tiles * rows, neurons), "theta": (self.tiles, neurons),
                       "random": (self.tiles + 1, 1), "weight": (1, levels), "set": (bins, levels),
                       "reset": (bins, levels), "read_out": (self.tiles * neurons, f["classes"]),
                       "read_out_set": (bins, levels), "read_out_reset": (bins, levels),
                       "registers": (1, len(self.registers)), "counters": (1, 18 + 4 * bins + 6), "status": (1, 5)}

    def bursts(self, name, most):
        """Rows, columns and counts that cover a memory, of at most so many bytes each."""
        rows, columns = self.shapes[name]
        cells = most // MEMORIES[name][1]
        for start in range(0, rows * columns, cells):
            yield start // columns, start % columns, min(cells, rows * columns - start)

    def writing(self, name, values):
        """Programs that write a whole memory."""
        code, size = MEMORIES[name]
        left, programs = b"".join(value.to_bytes(size, "little") for value in values), []
        for row, column, count in self.bursts(name, self.host.max_request - 8):
            programs.append(struct.pack("<BBHHH", WRITE, code, row, column, count) + left[:count * size])
            left = left[count * size:]
        return programs

    def read(self, name):
        """All cells of a memory."""
        code, size = MEMORIES[name]
        text = b"".join(self.host.run([struct.pack("<BBHHH", READ, code, *burst)
                                       for burst in self.bursts(name, self.host.max_reply - 1)]))
        return [int.from_bytes(text[i:i + size], "little") for i in range(0, len(text), size)]

    def crc(self, name):
        """What CHECK says of a memory."""
        rows, columns = self.shapes[name]
        [output] = self.host.run([struct.pack("<BBHHH", CHECK, MEMORIES[name][0], 0, 0, rows * columns)])
        return int.from_bytes(output, "little")

    def program(self, events):
        """The instructions of events."""
        program = bytearray()
        for name, *values in events:
            if name == "frame":
                program.append(FRAME)
                program += sum(1 << line for line in values).to_bytes((self.lines + 7) // 8, "little")
            elif name == "spike":
                program += struct.pack("<BH", SPIKE, *values)
            elif name == "label":
                program += bytes([LABEL, *values])
            else:
                program.append({"step": STEP, "decide": DECIDE, "dark": DARK, "end": END, "answer": ANSWER}[name])
        return bytes(program)

    def told(self, output, events):
        """Output spikes and answer in the output of a sample, in the order of its events."""
        tile_bytes, neuron_bytes = 1 if self.tiles <= 255 else 2, 1 if self.fields["neurons"] <= 256 else 2
        end, spikes, answer = 2 ** (8 * tile_bytes) - 1, [], None

        def take(size):
            nonlocal output
            value, output = int.from_bytes(output[:size], "little"), output[size:]
            return value

        for name, *_ in events:
            if name == "decide":
                while (tile := take(tile_bytes)) != end:
                    spikes += [[tile, take(neuron_bytes)] for _ in range(self.fields["winners"])]
            elif name == "answer":
                answer = [take(1), take(3), take(3)]
        if output:
            raise ValueError(f"{len(output)} bytes too many came")
        return spikes, answer


def contents(chip, draw):
    """Random cells of every memory."""
    f, sizes = chip.fields, {name: rows * columns for name, (rows, columns) in chip.shapes.items()}

    def cells(name, limit):
        return [draw.randrange(limit) for _ in range(sizes[name])]

    most = min(2**16, 3 << f["fraction_bits"])  # three levels
    return {"levels": cells("levels", f["levels"]), "theta": cells("theta", 2 ** (f["threshold_bits"] - 2)),
            "random": [1 + value for value in cells("random", 2**32 - 1)],
            "weight": cells("weight", 2 ** f["weight_bits"]), "read_out": cells("read_out", f["levels"]),
            **{name: cells(name, most) for name in ("set", "reset", "read_out_set", "read_out_reset")}}


def sample(chip, draw, learn):
    """Events of a sample: two steps of lines, a decision, an answer, and what teaches."""
    lines = draw.sample(range(chip.lines), min(chip.lines // 2, 100))  # a program of less than 500 bytes
    early, late = lines[:len(lines) // 2], lines[len(lines) // 2:]
    refused = chip.lines + draw.randrange(100)  # no such line
    events = [("frame", *sorted(early)), ("step",), *(("spike", line) for line in [*late, early[0], refused]),
              ("decide",), ("spike", draw.choice(lines)), ("answer",)]  # it then is closed
    if learn:
        events += [("label", draw.randrange(chip.fields["classes"])), ("dark",), ("step",)]  # refused in a dark sample
    return [*events, ("end",)]


def endings(host, chip):
    """Statuses of programs that go wrong, and how many bytes they put out."""
    code, size = MEMORIES["counters"]
    rows, cells = chip.shapes["counters"]
    too_long = [struct.pack("<BBHHH", READ, code, 0, 0, cells)] * (host.max_reply // (size * cells) + 1)
    programs = {
        "no such opcode": b"\xff", "cut short": bytes([SPIKE, 0]), "a cut FRAME": bytes([FRAME, 0]),
        "no such memory": struct.pack("<BBHHH", READ, 200, 0, 0, 1),
        "outside": struct.pack("<BBHHH", READ, code, rows, 0, 1),
        "no such column": struct.pack("<BBHHH", READ, code, 0, cells, 1),
        "over the end": struct.pack("<BBHHH", READ, code, 0, cells - 1, 2),
        "a CHECK over the end": struct.pack("<BBHHH", CHECK, code, 0, cells - 1, 2),
        "read-only": struct.pack("<BBHHHI", WRITE, MEMORIES["status"][0], 0, 0, 1, 0),
        "too long": b"".join(too_long) + bytes([END]), "refused": struct.pack("<BH", SPIKE, chip.lines), "empty": b"",
        "behind what failed": bytes([0xff]) + struct.pack("<BBHHH", READ, code, 0, 0, 1)}
    every = (OK, BAD_INSTRUCTION, BAD_ADDRESS, OVERFLOW)
    return {name: (len(host.run([program], statuses=every)[0]), host.status) for name, program in programs.items()}


def main(rtl):
    """A session from reset on; everything sent and heard."""
    draw = random.Random(19)
    with tempfile.TemporaryDirectory() as scratch:
        line = Line(rtl, Path(scratch) / "bench.vvp")
        host = Host(line)
        said = {"without_session": host.refused(framed(5, RUN, b"")), "identity": host.hello(0xFFFA, 0x7E7D2019)}
        chip = Chip(host)
        said["identity"]["words"] = chip.words
        said["registers_after_reset"] = chip.read("registers")
        said["loaded"] = contents(chip, draw)
        registers = {"learn": 1, "theta_step": 5, "theta_base": 0, "report": 1, "margin": 40}
        said["registers"] = registers
        host.run([program for name, values in said["loaded"].items() for program in chip.writing(name, values)]
                 + chip.writing("registers", registers.values())
                 + [struct.pack("<BBHHHQ", WRITE, MEMORIES["counters"][0], 0, 0, 1, 0)], damaged=[3])
        learn = [True] * 6 + [False] * 2
        said["events"] = [sample(chip, draw, plastic) for plastic in learn]
        programs = [chip.program(events) for events in said["events"]]
        outputs = host.run(programs[:6], damaged=[2], lost=[4])
        host.run([struct.pack("<BBHHHI", WRITE, MEMORIES["registers"][0], 0, 0, 1, 0)])  # learn
        half = chip.program(said["events"][7][:-4])  # a sample may begin in one program and end in the next
        outputs += host.run(programs[6:7])
        outputs.append(b"".join(host.run([half, programs[7][len(half):]])))
        said["learn"], said["naks"], said["resent"] = learn, host.naks, host.resent
        said["results"] = [chip.told(output, events) for output, events in zip(outputs, said["events"], strict=True)]
        [again] = host.wait(framed((host.seq - 1) % 2**16, RUN, b"\xff"))  # its number was executed, so this is not
        said["repeated"] = outputs[-1].endswith(again[2][:-1]) and again[:2] == ((host.seq - 1) % 2**16, REPLY)
        said["crc"] = chip.crc("levels") == zlib.crc32(bytes(levels := chip.read("levels")))
        said["state"] = {"levels": levels} | {name: chip.read(name) for name in said["loaded"] if name != "levels"}
        said["counters"], said["status"] = chip.read("counters"), chip.read("status")
        said["registers_at_end"] = chip.read("registers")
        said["answered_again"] = host.answered_again
        said["endings"] = endings(host, chip)
        said["samples_at_end"] = chip.read("counters")[0]
        line.close()
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
