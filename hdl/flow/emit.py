"""RTL text from components: the one place where gateware becomes SystemVerilog."""

import gc
import itertools
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Const, Value
from amaranth.hdl._ir import PortDirection  # not public: the only such name, guarded by tests/hdl/test_emit.py
from amaranth.lib import wiring

from .lanes import MemoryPerLane
from .toolchain import run_yosys

__all__ = ["emit", "emit_verilog", "memory_files", "ports", "rtlil_of"]

_INITIAL_WORD = re.compile(r" +(?P<memory>(?!word\b)\S+ ?)\[(?P<address>\d+)\] = (?P<value>\d+'s?[hbd][0-9a-f]+);")

_INITIAL = re.compile(r"^  initial begin\n(?P<body>(?:    .*\n)+?)  end\n", re.MULTILINE)
_LOOP = re.compile(r"    (?:begin : \w+ integer \w+; )?for \((?:int )?\w+ = (?P<first>\d+); "
                   r"\w+ <= (?P<last>\d+); .*?\) (?P<memory>\S+ ?)\[\w+\] = (?P<value>\d+'s?[hbd][0-9a-f]+);(?: end)?")

_BLOCK = re.compile(r"^module (?P<module>\S+)|^  always_comb begin\n(?P<body>.*?)^  end\n", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"^\s+(\\\S+ |\w+)\s*(?:\[[^\]]*\])?\s*=\s*(.*);", re.MULTILINE)
_CONDITION = re.compile(r"\b(?:if|casez) \((.*)\)")


def ports(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """The ports of an emitted component: every member of its signature that is not a constant.

    A path is joined by single underscores (``host.rx.payload`` is ``host_rx_payload``): Verilator and the tools
    after it mangle double ones. Two members that meet in one name are refused.
    """
    members = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if isinstance(value, Const):
            continue
        name = "_".join(map(str, path))
        if name in members:
            raise ValueError(f"two members of {type(component).__name__} would share the port name {name!r}")
        members[name] = value, PortDirection.Input if member.flow == wiring.In else PortDirection.Output
    return members


def rtlil_of(component: wiring.Component, name: str, *, platform: object = None) -> str:
    """RTLIL of a component and everything below it, as yosys reads it.

    The garbage collector waits meanwhile: all objects of a design stay, and going through them again and again takes
    half of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return rtlil.convert(component, name=name, ports=ports(component), platform=platform, emit_src=False)
    finally:
        if collects:
            gc.enable()


def emit(component: wiring.Component, name: str, *, undefined_registers: bool = False,
         undefined_memories: Sequence[str] = (), split: bool = False) -> str:
    """SystemVerilog text of a component and everything below it.

    The same component gives the same bytes, so the text can be the key of a cache. ``clk`` and ``rst`` appear as
    ports where the design uses the ``sync`` domain.

    Parameters
    ----------
    component : :class:`amaranth.lib.wiring.Component`
        The top of the design.
    name : :class:`str`
        Name of the top module.
    undefined_registers : :class:`bool`
        Leave out the power-up value of every register, so that a simulator can show that reset sets all that matters.
    undefined_memories : sequence of :class:`str`
        Name patterns (``levels*``) of memories whose initial contents are left out, as in a RAM that no bitstream
        fills. A pattern that matches nothing is an error.
    split : :class:`bool`
        A memory whose words are written in parts becomes one memory for each part
        (:class:`~ohmspike.hdl.flow.lanes.MemoryPerLane`).
    """
    script = ["read_rtlil design.il"]
    for pattern in undefined_memories:
        chosen = f"t:$meminit* r:MEMID=\\{pattern} %i"
        script += [f"select -assert-any {chosen}", f"delete {chosen}"]
    script += ["setattr -unset init w:*"] if undefined_registers else []
    script += ["proc -nomux -norom", "memory_collect", "write_verilog -sv -norename -noattr design.v"]
    text = _written(component, name, script, split)
    _refuse_feedback(text)
    return _fold_initial_values(text)


def emit_verilog(component: wiring.Component, name: str, *, split: bool = False) -> str:
    """Verilog-2001 text of a component and everything below it, for tools that take no SystemVerilog.

    Combinational logic is continuous assignments: an ``always @*`` of Verilog-2001 does not run before one of its
    inputs changes, so a simulator would begin with undefined outputs. The same component gives the same bytes.

    Parameters
    ----------
    component, name, split
        As for :func:`emit`.
    """
    # elements of arrays have second names that look like bits of a wire, over which synth_xilinx stumbles
    script = ["read_rtlil design.il", "rename -hide w:*[[]*", "proc -norom", "pmuxtree", "opt_expr", "opt_clean",
              "memory_collect", "write_verilog -norename -noattr design.v"]
    return _fold_initial_values(_written(component, name, script, split), declared=False)


def _written(component: wiring.Component, name: str, script: Sequence[str], split: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ohmspike-emit-") as folder:
        design = Path(folder, "design.il")
        design.write_text(rtlil_of(component, name, platform=MemoryPerLane() if split else None))
        run_yosys("\n".join(script) + "\n", cwd=design.parent)
        return design.with_suffix(".v").read_text()


def _refuse_feedback(text: str) -> None:
    """Refuse blocks that read a vector they write a part of.

    SystemVerilog does not wake an ``always_comb`` for a variable it writes, so a simulator may miss changes of the
    part that it reads; Amaranth and synthesis see no difference.
    """
    module = ""
    for block in _BLOCK.finditer(text):
        if block["module"]:
            module = block["module"]
            continue
        assignments = _ASSIGNMENT.findall(block["body"])
        read = "\n".join(_CONDITION.findall(block["body"]) + [value for _, value in assignments])
        for name in {name.strip() for name, _ in assignments}:
            if re.search(rf"(?<![\w\\$.]){re.escape(name)}(?![\w$.])", read):
                raise ValueError(f"{module}: a combinational block reads a part of {name} and writes another: "
                                 "give what it reads a signal of its own")


def _fold_initial_values(text: str, *, declared: bool = True) -> str:
    """Write a run of equal initial words as a loop: a large memory is a line, not a line per word.

    SystemVerilog declares the variable of the loop in the loop, Verilog-2001 (``declared`` false) in a named block.
    """
    loops = itertools.count()

    def key(numbered):
        number, line = numbered
        word = _INITIAL_WORD.fullmatch(line)
        # Within a run of consecutive words, address and line number rise together.
        return (word["memory"], word["value"], int(word["address"]) - number) if word else number

    folded = []
    for _, group in itertools.groupby(enumerate(text.split("\n")), key):
        lines = [line for _, line in group]
        if len(lines) < 4:
            folded += lines
            continue
        first, last = (_INITIAL_WORD.fullmatch(line) for line in (lines[0], lines[-1]))
        word = "word" if declared else "initial_word"
        loop = (f"{word} = {first['address']}; {word} <= {last['address']}; {word} = {word} + 1) "
                f"{first['memory']}[{word}] = {first['value']};")
        folded.append(f"    for (int {loop}" if declared else
                      f"    begin : initial_words_{next(loops)} integer {word}; for ({loop} end")
    return "\n".join(folded)


def memory_files(text: str, others: Mapping[str, str] | None = None) -> tuple[str, dict[str, str]]:
    """Initial contents of memories out of the text into files, which it reads with ``$readmemh``.

    A tool that reads a word of a loop at a time, or a line a word, takes minutes for a large memory: yosys 0.70 over a
    minute of CPU for 32,768 words, and under a second for the same words in a file. Contents stay as they are.

    Parameters
    ----------
    text : :class:`str`
        Of :func:`emit` or :func:`emit_verilog`.
    others : mapping, optional
        Files of another text that lies in the same folder; they are among those returned.

    Returns
    -------
    text : :class:`str`
    files : dict
        Text of each file by its name, without a folder: it is looked for where the text is, or where the tool runs.
    """
    files = dict(others or {})

    def moved(block):
        words: dict[int, int] = {}
        memories, width = set(), 0
        for line in block["body"].splitlines():
            one = _INITIAL_WORD.fullmatch(line)
            some = one or _LOOP.fullmatch(line)
            if not some:
                return block[0]
            first, last = (one["address"],) * 2 if one else (some["first"], some["last"])
            size, _, digits = some["value"].partition("'")
            digits = digits.removeprefix("s")
            value = int(digits[1:], {"h": 16, "b": 2, "d": 10}[digits[0]])
            words |= dict.fromkeys(range(int(first), int(last) + 1), value)
            memories.add(some["memory"])
            width = int(size)
        if len(memories) != 1 or sorted(words) != list(range(len(words))):
            return block[0]
        memory = memories.pop()
        name = re.sub(r"\W+", "_", memory.strip()).strip("_") if any(words.values()) else "zeros"
        name = f"{name}_{len(words)}x{width}"
        contents = "".join(f"{words[address]:0{-(-width // 4)}x}\n" for address in range(len(words)))
        tries = (f"{name}{more}.hex" for more in itertools.chain([""], map("_{}".format, itertools.count(2))))
        file = next(name for name in tries if files.get(name, contents) == contents)
        files[file] = contents
        return f'  initial begin\n    $readmemh("{file}", {memory}, 0, {len(words) - 1});\n  end\n'

    return _INITIAL.sub(moved, text), files
