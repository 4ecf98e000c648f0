"""Groups of commands: one that suggests what was meant, one whose commands are imported when they are called."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import click

__all__ = ["COMMAND_LINE", "Group", "LazyGroup", "UnknownCommand"]


COMMAND_LINE = "ohmspike.command_line"
"""Under which the context of the outermost command keeps the words that were typed."""


class UnknownCommand(click.UsageError):
    """There is no such command; ``hint`` names the one that was meant, if one is near."""

    def __init__(self, name: str, known: list[str], ctx: click.Context, aliases: Iterable[str] = ()):
        from ohmspike.chip.wording import did_you_mean

        super().__init__(f"command must be one of {', '.join(known)}, not {name!r}", ctx)
        self.hint = did_you_mean(name, [*known, *aliases])


class Group(click.Group):
    """Commands that suggest the one that was meant."""

    aliases: Mapping[str, str] = {}

    def resolve_command(self, ctx: click.Context, args: list[str]
                        ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called, and its arguments."""
        known = self.list_commands(ctx)
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UnknownCommand(args[0], known, ctx, self.aliases)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """Commands by name, imported one by one as they are called; the list of them imports none.

    Parameters
    ----------
    sections : mapping of mappings
        Headings, and under each the commands with their summaries. Command ``name`` is the object of that name in
        ``package.name``.
    package : str
        Where the modules are.
    aliases : mapping, optional
        Other names of commands, which the help does not list.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, str]], package: str,
                 aliases: Mapping[str, str] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sections, self._package, self.aliases = sections, package, aliases or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as usual, and keep what was typed."""
        ctx.meta[COMMAND_LINE] = list(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the help."""
        return [name for commands in self.sections.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        cmd_name = self.aliases.get(cmd_name, cmd_name)
        if cmd_name not in self.list_commands(ctx):
            return None
        return getattr(importlib.import_module(f"{self._package}.{cmd_name}"), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and summaries, by section."""
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))
