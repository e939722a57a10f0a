"""The `vistrials` command: its groups of commands, and how mistakes and interrupts end."""

import errno
import io
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vistrials.commands import (
    data,
    diagnosis,
    more_data,
    reports,
    runs,
    scoring,
    states,
    submission,
    tracking,
    trials,
    weights,
)
from vistrials.commands.options import EXIT_ERROR
from vistrials.engine.threads import bound_spinning
from vistrials.errors import VistrialsError


class _Commands(TyperGroup):
    """Turns what a user can mend, and an interrupt, into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        from vistrials.engine.interruption import Interrupted, exit_code_of_interrupt

        try:
            return super().invoke(ctx)
        except (VistrialsError, OSError) as error:
            if ctx.params.get("debug") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            _show_error(str(error))
            raise typer.Exit(EXIT_ERROR) from None
        except (Interrupted, KeyboardInterrupt) as error:
            if ctx.params.get("debug"):
                raise
            _show_error(str(error) or "interrupted")
            raise typer.Exit(exit_code_of_interrupt()) from None


def _show_error(message: str) -> None:
    from vistrials.commands.display import show_error

    show_error(message)


app = typer.Typer(
    cls=_Commands,
    help="Reproducible trials of video instance segmentation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from vistrials.commands.display import show_text
        from vistrials.commands.versions import describe_versions

        show_text(describe_versions())
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show versions and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks instead of one-line errors.")] = False,
) -> None:
    """Reproducible trials of video instance segmentation."""


for _part in (trials, runs, states, tracking, scoring, diagnosis, submission, reports, weights):
    app.add_typer(_part.app)
data.app.add_typer(more_data.app)
app.add_typer(data.app, name="data", help="Make, convert, check, count and split data sets.", no_args_is_help=True)


def main() -> None:
    """Entry point of the `vistrials` command."""
    bound_spinning()
    # Frames of too many pixels are refused in words of ours.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    # A terminal or file that cannot show a character gets its number, rather than nothing from there on.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:  # while the commands are still put together: nothing has begun
        from vistrials.engine.interruption import exit_code_of_interrupt

        sys.exit(exit_code_of_interrupt())


if __name__ == "__main__":
    main()
