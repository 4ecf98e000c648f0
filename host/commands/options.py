"""Options that several subcommands share, and what they mean."""

from __future__ import annotations

import dataclasses
import functools
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ohmspike.chip import Chip
from ohmspike.chip.limits import STEP_MAX
from ohmspike.chip.wording import did_you_mean
from ohmspike.host.targets.registry import TARGETS, is_target
from ohmspike.sim.model.nonidealities import IN_HARDWARE, NOISE_LAWS, NONIDEALITIES

from .groups import COMMAND_LINE

if TYPE_CHECKING:
    from ohmspike.host.coding.images import Encoding
    from ohmspike.sim.model.nonideal import NonIdealities
    from ohmspike.sim.state import ChipState

__all__ = ["Choice", "Mistaken", "RenamedOptions", "Size", "TargetName", "chip_of", "chip_option", "command_line",
           "data_option", "encoding_of", "encoding_options", "json_option", "nonidealities_option", "recording_options",
           "seed_option", "target_option", "with_nonidealities"]

F = TypeVar("F", bound=Callable[..., None])

chip_option = click.option("--chip", "chip_name", default="tiles", show_default=True, metavar="NAME|FILE",
                           help="preset (see `ohmspike info`) or TOML file")
seed_option = click.option("--seed", type=click.IntRange(0), default=None,
                           help="seed of levels, random streams and orders  [default: the chip's]")


class Mistaken(click.BadParameter):
    """A value that an option does not take, in the words of our errors."""

    def __init__(self, message: str, ctx: click.Context | None, param: click.Parameter | None, *,
                 hint: str | None = None):
        super().__init__(message, ctx, param)
        self.hint = hint

    def format_message(self) -> str:
        """What the option must be and is not."""
        name = max(self.param.opts, key=len) if isinstance(self.param, click.Option) else "argument"
        return f"{name} {self.message}"


class Choice(click.Choice):
    """One of several words; a word that is none of them has a suggestion."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word, or a usage error."""
        if value in self.choices:
            return value
        raise Mistaken(f"must be one of {', '.join(self.choices)}, not {value!r}", ctx, param,
                       hint=did_you_mean(value, self.choices))


class RenamedOptions(click.Command):
    """A command that still takes the former names of its options, with a note on stderr."""

    FORMER = {"--flaws": "--nonidealities", "--effect": "--nonideality"}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Replace former names, then parse as usual."""
        names = {name for param in self.params for name in param.opts}
        current = []
        for argument in args:
            former, separator, value = argument.partition("=")
            name = self.FORMER.get(former)
            if name in names and former not in names:
                click.echo(f"note: {former} is now called {name}", err=True)
                argument = name + separator + value
            current.append(argument)
        return super().parse_args(ctx, current)


class TargetName(click.ParamType):
    """The name of a target, as :func:`~ohmspike.host.targets.open_target` takes it."""

    name = "target"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The names as they are typed."""
        return "|".join(TARGETS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, or a usage error."""
        if not is_target(value):
            raise Mistaken(f"must be one of {', '.join(TARGETS)}, not {value!r}", ctx, param,
                           hint=did_you_mean(value, TARGETS))
        return value


class Strengths(click.ParamType):
    """Non-idealities as ``NAME=STRENGTH,…``, with the law of the noise and the seed."""

    name = "NAME=STRENGTH,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NonIdealities:
        """Strengths and seed as :class:`NonIdealities`, or a usage error."""
        from ohmspike.sim.analog.device import DeviceError
        from ohmspike.sim.model.nonideal import NonIdealities

        if isinstance(value, NonIdealities):
            return value
        strengths: dict[str, Any] = {}
        for entry in value.split(","):
            name, _, told = entry.strip().partition("=")
            if name not in _STRENGTHS:
                raise Mistaken(f"must be of {', '.join(_STRENGTHS[:-1])} and seed, not {entry.strip()!r}", ctx, param,
                               hint=did_you_mean(name, _STRENGTHS))
            try:
                strengths[name] = told if name == "noise_law" else int(told) if name == "seed" else float(told)
            except ValueError:
                self.fail(f"{name} must be a number, not {told!r}", param, ctx)
        try:
            return NonIdealities(**strengths)
        except DeviceError as error:
            self.fail(str(error), param, ctx)


_STRENGTHS = (*NONIDEALITIES, "noise_law", "set_step", "reset_step", "seed")
nonidealities_option = click.option(
    "--nonidealities", type=Strengths(), default=None,
    help="non-idealities of cells, lines and neurons, each with its strength, such as c2c=0.1,seed=2; every target "
         f"has {', '.join(IN_HARDWARE)}, the model all of them; noise_law is one of {', '.join(NOISE_LAWS)} "
         "(docs/nonidealities.md)")


def with_nonidealities(chip: Chip, nonidealities: NonIdealities | None) -> tuple[Chip, ChipState | None]:
    """The chip whose hardware has the non-idealities, and its initial state if it has any.

    Raises
    ------
    DeviceError
        The hardware cannot have one.
    """
    if nonidealities is None:
        return chip, None
    from ohmspike.sim.model.nonideal import as_hardware

    return as_hardware(chip, nonidealities)


target_option = click.option("--target", type=TargetName(), default="model", show_default=True,
                             help="what carries out the events; all of MNIST takes the RTL minutes to hours")
data_option = click.option("--data", "data_source", default=None, metavar="mnist|fashion|saccades|FOLDER|FILE",
                           help="what to learn: a built-in set, a folder with its files, or your own (docs/data.md)"
                                "  [default: mnist]")


class Size(click.ParamType):
    """Height and width, as ``28x28``."""

    name = "HEIGHTxWIDTH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Two integers, or a usage error."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,4})[x×](\d{1,4})", value)
        if match is None or not (0 < int(match[1]) and 0 < int(match[2])):
            called = "size" if param is None else (param.name or "size")
            self.fail(f"{called} must be HEIGHTxWIDTH, as 28x28, not {value!r}", param, ctx)
        return int(match[1]), int(match[2])


def recording_options(function: F) -> F:
    """``--window`` and ``--sensor``, as one argument ``cut``."""
    @functools.wraps(function)
    def command(*args: Any, window: float | None, sensor: tuple[int, int] | None, **others: Any) -> None:
        from ohmspike.host.data.recordings.sets import Cut

        function(*args, cut=Cut(window, sensor), **others)

    for option in (
            click.option("--sensor", type=Size(), default=None,
                         help="recordings: size of the camera  [default: as the file says, or the smallest usual one]"),
            click.option("--window", type=click.FloatRange(0.001), default=None, metavar="MS",
                         help="recordings: cut into samples of this length, ms  [default: one sample if labelled or at "
                              "most 1 s long, else 100]")):
        command = option(command)
    return cast(F, command)


json_option = click.option("--json", "as_json", is_flag=True, help="print the metrics alone, as JSON")


def encoding_options(function: F) -> F:
    """``--encoding``, ``--steps`` and ``--peak``."""
    for option in (
            click.option("--peak", type=click.FloatRange(0.0, 1.0), default=None,
                         help="rate code: spike probability of the brightest pixel at a step  [default: the chip's, or "
                              "0.25]"),
            click.option("--steps", type=click.IntRange(1, STEP_MAX), default=None,
                         help="rate code: steps of a sample  [default: the chip's, or 32]"),
            click.option("--encoding", type=Choice(["latency", "rate"]), default=None,
                         help="how images become spikes  [default: the chip's; rate for one that fires at a threshold]")
    ):
        function = option(function)
    return function


def encoding_of(chip: Chip, encoding: str | None, steps: int | None, peak: float | None) -> Encoding:
    """The encoding that the options describe; what they leave open is the chip's."""
    from ohmspike.host.coding.images import Encoding

    rated = encoding == "rate" or (encoding is None and (chip.rate_steps > 0 or chip.fire_mode == "threshold"))
    if not rated:
        return Encoding()
    return Encoding(steps=(chip.rate_steps or 32) if steps is None else steps,
                    peak=chip.rate_peak if peak is None else peak)


def command_line() -> str:
    """The command line that is being carried out, as one types it; empty where there is none."""
    context = click.get_current_context(silent=True)
    words = None if context is None else context.find_root().meta.get(COMMAND_LINE)
    return "" if words is None else shlex.join(["ohmspike", *words])


def chip_of(name: str, seed: int | None) -> Chip:
    """The chip that the options describe."""
    chip = Chip.load(name)
    return chip if seed is None else dataclasses.replace(chip, seed=seed)
