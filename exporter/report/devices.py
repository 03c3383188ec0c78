"""What was measured on devices, in words: one line an artifact and number of threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from exporter.manifest import Artifact, DeviceResult, DeviceRun, Manifest
from exporter.report import text
from exporter.report.rows import VERDICT, Column, from_parity
from exporter.types import Latency, Verdict, Where

PAGE_ONLY = 9
"""Rank of columns that the terminal has no use for."""

EMULATED = f"{Where.EMULATED.value} (qemu), "
COUNTED = "instructions counted by a TCG plugin, one thread"

TITLE_CELLS = 30
"""A device's name is cut to so many over its columns; below the table it stands in full."""

COUNTER_SETUP = "export-mobile emulator setup --counter"


@dataclass(frozen=True)
class Line:
    """What one row is about; `artifact` is None where the manifest knows no such file."""

    file: str
    threads: int
    artifact: Artifact | None


@dataclass(frozen=True)
class Group:
    """Columns under one heading, which is "" where they need none."""

    title: str
    columns: tuple[Column[Line], ...]


def named(manifest: Manifest, names: Collection[str] | None = None) -> tuple[DeviceResult, ...]:
    """The devices with these names, in the manifest's order; None stands for all."""
    return tuple(d for d in manifest.devices if names is None or d.name in names)


def is_emulated(device: DeviceResult) -> bool:
    """Whether wall time there says nothing. Either mark suffices: this must not go wrong."""
    return device.where is Where.EMULATED or device.facts.emulated


def headline(devices: Sequence[DeviceResult]) -> str:
    """The outcome in a few words, such as `7 of 8 hold`."""
    verdicts = [run.verdict for device in devices for run in device.runs]
    good = verdicts.count(Verdict.PASS)
    if not verdicts:
        return "nothing was run"
    if good == len(verdicts):
        return f"all {good} hold" if good > 1 else "holds"
    if not good:
        return f"all {len(verdicts)} fail" if len(verdicts) > 1 else "fails"
    return f"{good} of {len(verdicts)} hold{'s' if good == 1 else ''}"


def several_threads(devices: Sequence[DeviceResult]) -> bool:
    """Whether rows have to say their number of threads."""
    return len({run.threads for device in devices for run in device.runs}) > 1


def label(manifest: Manifest, run: DeviceRun, threads: bool = False) -> str:
    """Such as `pte int8 static`, or with the number of threads."""
    name = file_label(manifest, run.file)
    return f"{name}, {text.count(run.threads, 'thread')}" if threads else name


def file_label(manifest: Manifest, file: str) -> str:
    """Such as `pte int8 static`; the file's name where the manifest has no such artifact."""
    found = artifact_of(manifest, file)
    return text.label(found) if found else text.printable(file)


def artifact_of(manifest: Manifest, file: str) -> Artifact | None:
    return next((a for a in manifest.artifacts if a.file == file), None)


def run_of(device: DeviceResult, line: Line) -> DeviceRun | None:
    """The run of an artifact with a number of threads on a device."""
    return next((r for r in device.runs if (r.file, r.threads) == (line.file, line.threads)), None)


def lines(manifest: Manifest, devices: Sequence[DeviceResult]) -> tuple[Line, ...]:
    """What was run on any of the devices, in the manifest's order."""
    order = [a.file for a in manifest.artifacts]
    keys = {(run.file, run.threads) for device in devices for run in device.runs}

    def place(key: tuple[str, int]) -> tuple[int, str, int]:
        return (order.index(key[0]) if key[0] in order else len(order), *key)

    return tuple(Line(*key, artifact_of(manifest, key[0])) for key in sorted(keys, key=place))


def groups(manifest: Manifest, devices: Sequence[DeviceResult]) -> tuple[Group, ...]:
    """Columns for several devices side by side: what it is, the host's figures, each device's."""
    return (
        Group("", _key_columns(devices)),
        Group("host", _host_columns(manifest)),
        *(
            Group(
                text.shortened(text.printable(device.name), TITLE_CELLS),
                tuple(_of_line(device, c) for c in columns(device) if c.rank < PAGE_ONLY),
            )
            for device in devices
        ),
    )


def columns(device: DeviceResult) -> tuple[Column[DeviceRun], ...]:
    """The figures that a device has; those of rank `PAGE_ONLY` are too many for the terminal."""
    cost, state = (_instructions(), ()) if is_emulated(device) else (_times(), _state_columns())
    verdict = Column[DeviceRun](
        VERDICT, "Whether every bound holds there.", lambda r: r.verdict.value, number=False
    )
    every = (*cost, *_error_columns(), _memory_column(is_emulated(device)), *state, verdict)
    return tuple(
        c for c in every if c.rank == 0 or any(c.text(r) != text.MISSING for r in device.runs)
    )


def _error_columns() -> tuple[Column[DeviceRun], ...]:
    return (
        Column(
            "SQNR dB",
            "Signal to quantization noise ratio of the worst output, against the original model.",
            from_parity(lambda p: text.decibel(p.sqnr_db)),
            1,
        ),
        Column(
            "max |Δ|",
            "Largest absolute difference of any output from the original model's.",
            from_parity(lambda p: text.magnitude(p.max_abs)),
            PAGE_ONLY,
        ),
        Column(
            "Δ host",
            "Largest absolute difference of any output from the same artifact's on the host.",
            lambda r: text.magnitude(r.host_parity.max_abs) if r.host_parity else text.MISSING,
            3,
        ),
        Column(
            "top-1",
            "Share of golden samples with the same arg-max as the original model.",
            from_parity(text.agreement),
            6,
        ),
    )


def _memory_column(emulated: bool) -> Column[DeviceRun]:
    meaning = "Most memory the process took, in millions of bytes: runtime and Python included"
    return Column(
        "peak MB",
        f"{meaning}, and qemu where emulated." if emulated else f"{meaning}.",
        lambda r: text.megabytes(r.peak_rss),
        5,
    )


def _instructions() -> tuple[Column[DeviceRun], ...]:
    return (
        Column(
            "M instr",
            "Million instructions of one warm inference, the median; this is no latency.",
            lambda r: text.millions(r.instructions.median) if r.instructions else text.MISSING,
        ),
    )


def _times() -> tuple[Column[DeviceRun], ...]:
    def time(
        title: str, meaning: str, value: Callable[[Latency], float | None], rank: int = PAGE_ONLY
    ) -> Column[DeviceRun]:
        return Column(title, meaning, lambda r: _figure(r.latency_ms and value(r.latency_ms)), rank)

    return (
        time("p50 ms", "Median time of one warm inference.", lambda t: t.p50, 0),
        time("p90 ms", "Nine in ten warm inferences are at least as fast.", lambda t: t.p90),
        time("p99 ms", "99 in 100 warm inferences are at least as fast.", lambda t: t.p99),
        time("cold ms", "The first inference after loading.", lambda t: t.cold),
        Column(
            "load ms",
            "From opening the file to being ready to run.",
            lambda r: _figure(r.load_ms),
            PAGE_ONLY,
        ),
    )


def _state_columns() -> tuple[Column[DeviceRun], ...]:
    return (
        Column(
            "°C",
            "The hottest sensor, before the run and after it.",
            lambda r: change([s.temperature_c for s in (r.before, r.after) if s]),
            PAGE_ONLY,
        ),
        Column(
            "MHz",
            "Clock of the fastest core, before the run and after it.",
            lambda r: change(
                [max(s.frequency_mhz, default=None) for s in (r.before, r.after) if s]
            ),
            PAGE_ONLY,
        ),
    )


def _key_columns(devices: Sequence[DeviceResult]) -> tuple[Column[Line], ...]:
    threads = Column[Line]("threads", "Of the runtime.", lambda k: str(k.threads))
    return (
        Column(
            "format",
            "File format.",
            lambda k: k.artifact.format.value if k.artifact else text.printable(k.file),
            number=False,
        ),
        Column(
            "precision",
            "Of the weights, and of activations.",
            lambda k: str(k.artifact.variant) if k.artifact else text.MISSING,
            number=False,
        ),
        *([threads] if several_threads(devices) else []),
    )


def _host_columns(manifest: Manifest) -> tuple[Column[Line], ...]:
    """None where nothing was measured on the host."""

    def latency(line: Line) -> str:
        found = line.artifact and line.artifact.latency_ms
        # With another number of threads it is no figure to compare with.
        return text.milliseconds(found if found and found.threads == line.threads else None)

    def sqnr(line: Line) -> str:
        found = line.artifact and line.artifact.golden_parity
        return text.decibel(found.sqnr_db) if found else text.MISSING

    timed = any(a.latency_ms for a in manifest.artifacts)
    compared = any(a.golden_parity for a in manifest.artifacts)
    p50 = Column("p50 ms", "Median time of one warm inference on this machine.", latency, 2)
    error = Column("SQNR dB", "The same on the host, on the same golden samples.", sqnr, 4)
    return (*([p50] if timed else []), *([error] if compared else []))


def _of_line(device: DeviceResult, column: Column[DeviceRun]) -> Column[Line]:
    """A column of runs as one of rows that several devices share."""

    def cell(line: Line) -> str:
        run = run_of(device, line)
        return column.text(run) if run else text.MISSING

    return Column(column.title, column.meaning, cell, column.rank, column.number)


def method(device: DeviceResult) -> str:
    """Where and how its figures were taken, such as `device, 1 thread`."""
    if not is_emulated(device):
        threads = sorted({run.threads for run in device.runs}) or [1]
        numbers = text.listed([str(n) for n in threads])
        return f"{Where.DEVICE.value}, {numbers} {'thread' if threads == [1] else 'threads'}"
    counted = any(run.instructions for run in device.runs)
    return f"{EMULATED}{COUNTED if counted else 'instructions not counted'}; no latency"


def in_short(device: DeviceResult) -> str:
    """Such as `Pixel 7, Android 14`."""
    return text.printable(", ".join(x for x in (device.facts.model, device.facts.system) if x))


def compared_on(devices: Sequence[DeviceResult]) -> str:
    """Such as `16 golden samples`; "" where nothing was compared."""
    compared = {run.parity.samples for d in devices for run in d.runs if run.parity}
    numbers = text.listed([str(n) for n in sorted(compared)])
    return f"{numbers} golden {'sample' if compared == {1} else 'samples'}" if compared else ""


def change(values: Sequence[float | None]) -> str:
    """Such as `34 → 41`; one figure where both are the same."""
    known = dict.fromkeys(f"{v:.0f}" for v in values if v is not None)
    return " → ".join(known) or text.MISSING


def _figure(value: float | None) -> str:
    return text.MISSING if value is None else text.significant(value)
