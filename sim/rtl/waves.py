"""Waveforms in which states and enumerations have their names, and saved views that show them."""

import re
from collections.abc import Iterable, Iterator, Mapping

from ohmspike.chip import Chip
from ohmspike.hdl.flow.names import value_names

from .build import top_of

__all__ = ["named_waves", "names_of", "views"]

_VAR = re.compile(r"\s*\$var \w+ (\d+) (\S+) (\S+)(?: \[\S+\])? \$end")

Names = Mapping[tuple[str, ...], Mapping[str, Mapping[int, str]]]


def names_of(chip: Chip, *, lanes: int | None = None, small: bool = False) -> Names:
    """Names of the values of the signals of a chip's RTL (:func:`~ohmspike.hdl.flow.names.value_names`)."""
    return value_names(lambda: top_of(chip, lanes=lanes, small=small), "chip")


def named_waves(lines: Iterable[str], names: Names, added: list[str] | None = None) -> Iterator[str]:
    """A waveform (VCD, lines) with a string variable beside every signal whose values have names.

    It is called like the signal with ``_name`` behind and without dots, a form that GTKWave and Surfer read.

    Parameters
    ----------
    lines : iterable of str
        As :meth:`~ohmspike.sim.rtl.compiled.CompiledRtl.start_trace` has them written.
    added : list of str, optional
        Gets the full names of the string variables.
    """
    path: list[str] = []
    decoded: dict[str, list[tuple[str, Mapping[int, str]]]] = {}
    count = 0
    for line in lines:
        yield line
        words = line.split(maxsplit=3)
        if not words:
            continue
        if words[0] == "$scope":
            path.append(words[2])
        elif words[0] == "$upscope":
            path.pop()
        elif words[0] == "$var" and (match := _VAR.match(line)):
            values = names.get(tuple(path[2:]), {}).get(match[3]) if len(path) > 1 else None
            if values:
                mark, count = f"~n{count}", count + 1
                decoded.setdefault(match[2], []).append((mark, values))
                if added is not None:
                    added.append(".".join((*path, _beside(match[3]))))
                yield f"$var string 1 {mark} {_beside(match[3])} $end\n"
        elif line[0] in "01bB":
            value, mark = (words[0][1:], words[1]) if line[0] in "bB" else (line[0], line[1:].strip())
            for beside, values in decoded.get(mark, ()):
                shown = values.get(int(value, 2), value) if set(value) <= {"0", "1"} else value
                yield f"s{shown.replace(' ', '_')} {beside}\n"


def _beside(signal):
    return f"{signal.replace('.', '_')}_name"


_SHOWN = ("clk", "rx_valid", "rx_payload", "tx_valid", "tx_payload")


def views(vcd: str, named: Iterable[str]) -> dict[str, str]:
    """Saved views of a waveform: for GTKWave (``gtkw``) and Surfer (``sucl``), the link and every named state.

    Parameters
    ----------
    vcd : str
        Name of the file of the waveform, for GTKWave; Surfer gets it on its command line, since it looks for files from
        where it was started.
    named : iterable of str
        Full names of its string variables.
    """
    signals = [*(f"chip.{name}" for name in _SHOWN), *(name for name in named if "$" not in name)]
    gtkw = [f'[dumpfile] "{vcd}"', "[timestart] 0", "[sst_expanded] 1", "@22", *signals]
    return {"gtkw": "\n".join(gtkw) + "\n",
            "sucl": "".join(f"variable_add {signal}\n" for signal in signals)}
