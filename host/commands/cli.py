"""The command line, ``ohmspike``: one file per subcommand, errors in one place."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import click

from ohmspike.host.support import console
from ohmspike.host.support.errors import Interrupted, RunWarning, UserError

from .groups import LazyGroup

__all__ = ["SECTIONS", "cli", "main", "run"]

SECTIONS = {
    "Learn and compare": {
        "learn": "learn, classify, keep a run folder",
        "classify": "answers of a learned chip",
        "stream": "events in, output spikes out, without an end",
        "compare": "two targets, to their first difference",
        "serve": "a page in the browser on a running chip",
        "demo": "model and RTL learn, and are compared",
        "search": "find rates on validation images",
        "exchange": "NIR graphs, conductances for other tools",
        "convert": "images of other programs into an .npz",
    },
    "Studies": {
        "accuracy": "the accuracy tables, from the first image on",
        "continual": "classes in stages, and what is forgotten",
        "robustness": "what non-idealities of real cells cost",
        "faults": "inject single-bit faults into the RTL",
        "fuzz": "damaged frames at the link of a chip",
    },
    "Analog twin": {
        "device": "memristors: presets, fits, chips of them",
        "energy": "what a run would cost on the analog chip",
        "spice": "ngspice against the analog twin",
    },
    "Chips and boards": {
        "info": "chips and tools, or what a chip holds",
        "build": "bitstream of a chip for a board",
        "rtl": "Verilog of a chip, with bench and map",
        "wave": "waveform of one image in the RTL",
        "synth": "what chips take of six families of FPGAs",
        "bridge": "the RTL behind a serial port, as a board",
        "load": "a learned chip onto a board, checked",
        "scrub": "find and rewrite damaged memory of a chip",
        "completion": "TAB completes commands and options",
        "report": "one HTML page of a run",
    },
}
"""Every command with its summary, which ``ohmspike --help`` prints without importing the command."""


# of click 8.2 and later; before, help was no error
_NO_ARGUMENTS: tuple[type[click.UsageError], ...] = (
    (click.exceptions.NoArgsIsHelpError,) if hasattr(click.exceptions, "NoArgsIsHelpError") else ())


@click.group(cls=LazyGroup, sections=SECTIONS, aliases={"mnist": "learn"}, package=__package__,
             context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("-v", "--verbose", is_flag=True, help="show tracebacks")
@click.option("-q", "--quiet", is_flag=True, help="no progress, nothing but results, warnings and errors")
@click.version_option(package_name="ohmspike")
def cli(verbose: bool, quiet: bool) -> None:
    """an RRAM crossbar chip with on-chip STDP: exact model and RTL, bit-identical"""
    console.be_quiet(quiet)


def _complain(message: str, hint: str | None = None) -> int:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"\nhint: {hint}", err=True)
    return 1


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int,
                  file: TextIO | None = None, line: str | None = None) -> None:
    if issubclass(category, RunWarning):
        click.echo(f"warning: {message}", err=True)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def _mendable() -> tuple[type[Exception], ...]:
    """Errors that a user can mend; asked for when there is one, since their modules take long to import."""
    from ohmspike.chip import DescriptionError
    from ohmspike.sim.analog.spice import SpiceError
    from ohmspike.sim.rtl.compiled import RtlError, ToolchainError

    return UserError, DescriptionError, ToolchainError, RtlError, SpiceError


def _misused(error: click.UsageError) -> int:
    """Click's own words in our form."""
    if isinstance(error, _NO_ARGUMENTS):
        error.show()
        return 2
    message, hint = error.format_message(), getattr(error, "hint", None)
    if isinstance(error, click.NoSuchOption):
        message = f"there is no option {error.option_name}"
        if error.possibilities:
            hint = f"did you mean {sorted(error.possibilities)[0]}?"
    message = " ".join(message.split()).removesuffix(".")
    if hint is None and error.ctx is not None:
        hint = f"{error.ctx.command_path} --help tells what it takes"
    _complain(message[:1].lower() + message[1:], hint)
    return 2


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit code: 0 ok, 1 user or device error, 2 usage, 130 Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    verbose = any(word in ("-v", "--verbose") for word in arguments)
    warnings.simplefilter("once", RunWarning)
    warnings.showwarning = _show_warning
    try:
        return cli.main(args=list(arguments), prog_name="ohmspike", standalone_mode=False) or 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except Interrupted as error:
        click.echo(f"interrupted: {error}", err=True)
        return 130
    except click.UsageError as error:
        return _misused(error)
    except click.ClickException as error:
        return _complain(error.format_message())
    except MemoryError:
        if verbose:
            raise
        return _complain("out of memory", "choose a smaller chip or fewer images")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if verbose:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", "check free space and permissions")
    except Exception as error:
        if verbose or not isinstance(error, _mendable()):
            raise
        return _complain(str(error), getattr(error, "hint", None))


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
