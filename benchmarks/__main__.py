"""`python -m benchmarks`: measure the variants and their strategies, set two runs side by side, measure any endpoint.

Exit codes: 0 all is well; 1 the counts do not add up, a stream ended as it may not, a cell could not be measured, no
stream of an endpoint completed, or a comparison found a regression; 2 wrong usage, or a file that cannot be read; 130
interrupted, and what was measured is kept.
"""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from benchmarks import options
from benchmarks.interrupts import INTERRUPTED_EXIT, interruptible
from benchmarks.printing import as_far_as_it_is_read, tell

# What takes long to import is imported where it is needed: --help and wrong usage answer at once.
if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.compare import Comparison
    from benchmarks.load.control import Control
    from benchmarks.measures.computing import Slo
    from benchmarks.results import Results
    from benchmarks.running.run import Order, Run
    from benchmarks.traces.captures import Trace
    from benchmarks.url.request import UrlRequest

__all__ = ("compare", "run", "url")

_FAILED: Final = 1
_OUTPUT: Final = Path("tokenweir-results")
_RESULTS, _CSV, _REPORT = ("results.json", "results.csv", "report.html")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Measure token streams over real sockets: what each way of backpressure does, and what it costs.",
    epilog=(
        "Exit codes: 0 all is well; 1 counts that do not add up, a stream that ended as it may not, a cell that could "
        "not be measured, no stream of an endpoint that completed, or a regression; "
        "2 wrong usage, or a file that cannot be read; 130 interrupted (what was measured is kept)."
    ),
)


class Tool(StrEnum):
    """Whose definitions of a metric are printed."""

    TOKENWEIR = "tokenweir"
    GUIDELLM = "guidellm"
    VLLM = "vllm"
    AIPERF = "aiperf"


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"tokenweir {version('tokenweir')}")
        except PackageNotFoundError:
            typer.echo("tokenweir, not installed: its folder is run as it is")
        raise typer.Exit


@app.callback()
def _main(  # pyright: ignore[reportUnusedFunction]  # typer calls it
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Have options of its own."""


# --- run ---------------------------------------------------------------------------------------------------------


@app.command()
def run(
    preset: Annotated[
        str, typer.Argument(help=f"What to measure: {', '.join(options.PRESET_NAMES)}.")
    ] = options.PRESET_NAMES[0],
    only: Annotated[list[str] | None, typer.Option(help="Only this scenario of the preset; repeatable.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for results.json, results.csv and report.html.")] = _OUTPUT,
    repeats: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Times that every cell is measured; default: as the preset says."),
    ] = None,
    clients: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that share the streams of each cell, a core for each.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of cells and of scheduled arrivals.")] = 0,
    slo: Annotated[
        str | None, typer.Option(help="Limits of a good stream, in ms: ttft=200,itl=50,delay=100 (one or more).")
    ] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Whether to write report.html.")] = True,
    definitions: Annotated[
        Tool | None, typer.Option(help="Print the figures under this tool's definitions, too.")
    ] = None,
) -> None:
    """Compare the variants and their strategies, each against fast, slow and stalled readers."""
    from rich.console import Console

    chosen = options.preset(preset)
    scenarios = options.only(chosen, only or [])
    wanted = options.slo(slo, with_delay=True)
    options.check_slo_is_measured(wanted, scenarios)
    options.check_writable(output, *_names(with_report=report))

    from benchmarks.running.run import Order

    order = Order(chosen.name, scenarios, repeats or chosen.repeats, seed, wanted, command=_command(), clients=clients)
    console = Console()
    came = _measured(order)
    _write(came.results, output, with_report=report)
    with as_far_as_it_is_read():
        _print(came, console, definitions, wanted)
        _name_files(output, with_report=report)
    sys.exit(_exit_code(came.results))


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])


def _measured(order: Order) -> Run:
    from rich.console import Console

    from benchmarks.progress import shown_on
    from benchmarks.running.run import run as measure

    came: Run | None = None
    try:
        with interruptible(), shown_on(Console(stderr=True)) as progress:
            came = measure(order, progress)
    except KeyboardInterrupt:  # before it began, or after it had ended
        if came is None:
            typer.echo("Interrupted before anything was measured.", err=True)
            sys.exit(INTERRUPTED_EXIT)
    if came.results.interrupted:
        tell("Interrupted: what was measured is being written.")
    return came


def _names(*, with_report: bool) -> tuple[str, ...]:
    return (_RESULTS, _CSV, _REPORT) if with_report else (_RESULTS, _CSV)


def _write(results: Results, folder: Path, *, with_report: bool) -> None:
    from benchmarks.results import save, write_csv

    save(results, folder / _RESULTS)
    write_csv(results, folder / _CSV)
    if with_report:
        from benchmarks.report import write

        write(results, folder / _REPORT)


def _print(came: Run, console: Console, tool: Tool | None, slo: Slo | None) -> None:
    from benchmarks.summary.tables import show

    show(came.results, console)
    if tool is None:
        return
    from benchmarks.summary.tables import show_definitions

    show_definitions(came.traces, tool.value, slo, console)


def _name_files(folder: Path, *, with_report: bool) -> None:
    typer.echo(f"\nresults  {folder / _RESULTS}  (and {_CSV})")
    if with_report:
        typer.echo(f"report   {folder / _REPORT}")


def _exit_code(results: Results) -> int:
    from benchmarks.summary.figures import unexpected, violations

    if results.interrupted:
        return INTERRUPTED_EXIT
    wrong = violations(results.cells) or unexpected(results.cells) or any(cell.error for cell in results.cells)
    return _FAILED if wrong else 0


# --- compare -----------------------------------------------------------------------------------------------------


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="The results before.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The results after.")],
    threshold: Annotated[str, typer.Option(help="What is worse by less is no regression.")] = "10%",
    gate: Annotated[list[str] | None, typer.Option(help="One more measure that can regress; repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print also what does not differ.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Compare different environments and requests, and unfinished runs.")
    ] = False,
) -> None:
    """Set two results files side by side; exit code 1 on a regression."""
    from benchmarks.compare import DifferentEnvironmentsError, parse_threshold, show
    from benchmarks.compare import compare as compared
    from benchmarks.results import ResultsError, load

    try:
        share = parse_threshold(threshold)
        a, b = load(before), load(after)
        comparison: Comparison = compared(a, b, threshold=share, force=force, gates=gate or [])
    except (ValueError, ResultsError, DifferentEnvironmentsError) as error:
        raise typer.BadParameter(str(error)) from None
    from rich.console import Console

    show(comparison, Console(), everything=everything)
    sys.exit(comparison.exit_code)


# --- url ---------------------------------------------------------------------------------------------------------


@app.command()
def url(
    target: Annotated[str, typer.Argument(metavar="URL", help="http or https, with path and query.")],
    profile: Annotated[
        str,
        typer.Option(help="The shape of its tokens: openai, anthropic, aisdk, completion, data, ndjson, text, sse."),
    ] = "openai",
    method: Annotated[str | None, typer.Option(help="GET or POST; POST if there is --data.")] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="'Name: value', repeatable; $NAME is an environment variable, whose value is never written."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="What is posted, with $NAME (capitals) from the environment and $$NAME for itself; @FILE is what FILE "
            "holds, as it is."
        ),
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Streams in all.")] = 1,
    connections: Annotated[int, typer.Option(min=1, help="Streams at a time.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Times that all of it is measured.")] = 1,
    reader: Annotated[
        str, typer.Option(help="fast, paced:20tokens/s, bursty:0.2s/0.5s, stalled:2s, leaving:50.")
    ] = "fast",
    timeout_s: Annotated[float, typer.Option(min=0.001, help="For each stream, first byte to last.")] = 60.0,
    max_stream_mib: Annotated[int, typer.Option(min=1, help="A stream that sends more is ended as too long.")] = 256,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the streams, a core for each.")] = 1,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Whether an https certificate must be valid.")
    ] = True,
    slo: Annotated[str | None, typer.Option(help="Limits of a good stream, in ms: ttft=200,itl=50.")] = None,
    recording: Annotated[
        Path | None,
        typer.Option("--save-recording", help="A file for the first whole stream, to be replayed as a source."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a recording that is there.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for results.json, results.csv and report.html.")] = _OUTPUT,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Whether to write report.html.")] = True,
    definitions: Annotated[
        Tool | None, typer.Option(help="Print the figures under this tool's definitions, too.")
    ] = None,
) -> None:
    """Measure an event stream that is not ours: an OpenAI-compatible endpoint, a gateway, any SSE at all.

    The results keep the address, the headers and the body of the request, and the server's words where a stream failed.
    Not kept: what came from the environment; the values of headers, query parameters and JSON fields whose names are
    those of secrets (authorization, api_key, token, password, secret, cookie ...); and either where the server quotes
    it.
    """
    read_as, wanted = options.reader(reader), options.slo(slo)
    from benchmarks.url.endpoint import UrlRequest, check_recording_path, exit_code, words

    try:
        request = UrlRequest(
            target,
            method,
            header or (),
            data,
            profile,
            requests,
            connections,
            read_as,
            timeout_s,
            repeats,
            verify,
            max_stream_mib,
            clients,
        )
        if recording is not None:
            check_recording_path(recording, force=force)
    except (TypeError, ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from None
    options.check_writable(output, *_names(with_report=report))
    from rich.console import Console

    from benchmarks.load.control import Control
    from benchmarks.running.run import Run
    from benchmarks.url.interruption import stopped_by_signals

    control, console = Control(), Console()
    traces: list[Trace] = []
    with stopped_by_signals(control):
        results = _measured_url(request, wanted, traces, control)
        _write(results, output, with_report=report)
        with as_far_as_it_is_read():
            _print(
                Run(results, {("url", results.cells[0].name): traces} if traces else {}), console, definitions, wanted
            )
            for line in words(results):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            _name_files(output, with_report=report)
        if recording is not None:
            _save_recording(traces, recording, force=force)
    sys.exit(INTERRUPTED_EXIT if results.interrupted else exit_code(results))


def _measured_url(request: UrlRequest, slo: Slo | None, traces: list[Trace], control: Control) -> Results:
    from rich.console import Console

    from benchmarks.load import client
    from benchmarks.progress import shown_on
    from benchmarks.url.endpoint import measure_url

    with shown_on(Console(stderr=True)) as progress:
        return client.run(measure_url(request, slo=slo, keep=traces.append, control=control, progress=progress))


def _save_recording(traces: list[Trace], path: Path, *, force: bool) -> None:
    from benchmarks.url.endpoint import recordable, save_recording

    chosen = recordable(traces)
    if chosen is None:
        typer.echo(f"no stream completed, so {path} was not written", err=True)
        return
    save_recording(chosen, path, force=force)
    typer.echo(f"recording {path}  (source=recording:{path.name}&pacing=recorded replays it with its gaps)")


if __name__ == "__main__":
    app()
