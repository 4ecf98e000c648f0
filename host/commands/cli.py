"""The command line, ``ohmspike``: one file per subcommand, errors in one place."""

import os
import sys
import warnings

import click

from ohmspike.chip import DescriptionError
from ohmspike.host.learning.checks import RunWarning
from ohmspike.host.support.errors import Interrupted, UserError
from ohmspike.sim.analog.spice import SpiceError
from ohmspike.sim.rtl.compiled import RtlError, ToolchainError

from .accuracy import accuracy
from .bridge import bridge
from .build import build
from .compare import compare
from .convert import convert
from .demo import demo
from .device import device
from .energy import energy
from .faults import faults
from .fuzz import fuzz
from .info import info
from .mnist import mnist
from .report import report
from .robustness import robustness
from .scrub import scrub
from .search import search_command
from .spice import spice

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("-v", "--verbose", is_flag=True, help="show tracebacks")
@click.version_option(package_name="ohmspike")
def cli(verbose):
    """a crossbar chip that learns on itself: exact model and RTL, equal to the bit"""


for command in (mnist, compare, energy, spice, device, report, accuracy, robustness, search_command, convert, build,
                bridge, fuzz, faults, scrub, info, demo):
    cli.add_command(command)


def _complain(error, hint=None):
    click.echo(f"error: {error}", err=True)
    if hint := hint or getattr(error, "hint", None):
        click.echo(f"\nhint: {hint}", err=True)
    return 1


def _show_warning(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, RunWarning):
        click.echo(f"warning: {message}", err=True)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def run(arguments=None) -> int:
    """Carry out a command line and return its exit code: 0 ok, 1 user or device error, 2 usage, 130 Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    verbose = any(word in ("-v", "--verbose") for word in arguments)
    warnings.simplefilter("once", RunWarning)
    warnings.showwarning = _show_warning
    try:
        return cli.main(args=arguments, standalone_mode=False) or 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except Interrupted as error:
        click.echo(f"interrupted: {error}", err=True)
        return 130
    except click.UsageError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _complain(error.format_message())
    except (UserError, DescriptionError, ToolchainError, RtlError, SpiceError) as error:
        if verbose:
            raise
        return _complain(error)
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


def main():
    """Entry point of the console script."""
    sys.exit(run())
