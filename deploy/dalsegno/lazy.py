"""A click group whose commands are imported when they are called, and not before.

Owns names, order and one-line helps of the commands, so that `--help` loads none of them.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import click


@dataclass(frozen=True)
class Lazy:
    """A command that lies elsewhere: `module:attribute`, and what `--help` says of it."""

    target: str
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        _mark_paragraphs(command)
        return command


class LazyGroup(click.Group):
    """Shows its commands in the order of the table, and suggests one for a misspelt name."""

    def __init__(self, table: Mapping[str, Lazy], *, name: str, help: str) -> None:  # noqa: A002 - click's own word
        super().__init__(name=name, help=help, no_args_is_help=True)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = self.table.get(cmd_name)
        return lazy.load() if lazy is not None else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.table and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.table, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"see {ctx.command_path} --help"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.table.items()])


def _mark_paragraphs(command: click.Command) -> None:
    """Turn what is written as a backslash and a b, in raw docstrings, into click's own mark.

    Below it, lines stay as they are.
    """
    if command.help is not None:
        command.help = command.help.replace("\\b\n", "\b\n")
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _mark_paragraphs(below)
