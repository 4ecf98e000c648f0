"""``ohmspike completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from ohmspike.host.support import console
from ohmspike.host.support.errors import UserError

from .options import Choice

__all__ = ["completion"]

_PLACES = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/ohmspike.fish"}
_LINES = {"bash": 'eval "$(ohmspike completion bash)"', "zsh": 'eval "$(ohmspike completion zsh)"',
          "fish": "ohmspike completion fish | source"}


@click.command()
@click.argument("shell", type=Choice(list(_PLACES)), required=False)
def completion(shell: str | None) -> None:
    """print the code that makes a shell complete commands and options; put its line into the shell's start file"""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(shell) if shell in _PLACES else None
    if kind is None:
        raise UserError(f"shell must be one of {', '.join(_PLACES)}, not {shell!r}",
                        hint="name it: ohmspike completion bash")
    if shell == "bash" and shutil.which("bash") is None:
        raise UserError("bash is not on the path, so its version is not known")
    command = click.get_current_context().find_root().command
    click.echo(kind(command, {}, "ohmspike", "_OHMSPIKE_COMPLETE").source())
    console.status(f"to have it in every shell, put this line into {_PLACES[shell]}: {_LINES[shell]}")
