"""The plots of what was measured on devices. Devices of one kind share one scale."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.manifest import DeviceResult, DeviceRun, Manifest, Sweep
from exporter.report import devices as on
from exporter.report import sweep, text
from exporter.report.charts import Bar, Chart, Scale, scale
from exporter.types import Latency, Verdict

_SHORTER = "shorter is better"


def device_charts(manifest: Manifest) -> tuple[Chart, ...]:
    """Latency on each real device, then instructions on each emulated one where counted."""
    real = [d for d in manifest.devices if not on.is_emulated(d)]
    counted = [
        d for d in manifest.devices if on.is_emulated(d) and any(r.instructions for r in d.runs)
    ]
    return (*_latencies(manifest, real), *_instructions(manifest, counted))


def sweep_charts(manifest: Manifest, found: Sweep) -> tuple[Chart, ...]:
    """One an artifact, with a bar a CPU, on a scale of its own: what matters is the ratio."""
    return tuple(_across_cpus(line) for line in sweep.lines(manifest, found))


def _across_cpus(line: sweep.Line) -> Chart:
    place, note = scale([cell.count for cell in line.cells if cell.count])

    def bar(cell: sweep.Cell) -> Bar:
        if cell.count is None:
            return Bar(cell.cpu, line.colour, text.MISSING, failed=False)
        value = f"{cell.instructions} M" + (f", {cell.ratio}" if cell.ratio else "")
        return Bar(cell.cpu, line.colour, value, failed=False, end=place(cell.count))

    return Chart(line.label, _SHORTER, note, tuple(bar(cell) for cell in line.cells))


def _latencies(manifest: Manifest, devices: Sequence[DeviceResult]) -> tuple[Chart, ...]:
    timed = [run.latency_ms for device in devices for run in device.runs if run.latency_ms]
    hosts = [host for d in devices for run in d.runs if (host := _host(manifest, run))]
    place, note = scale([x for t in (*timed, *hosts) for x in (t.min, t.p90)])
    tick = ("tick: the same artifact on the host",) if hosts else ()

    def chart(device: DeviceResult) -> Chart:
        threads = on.several_threads([device])
        bars = tuple(_latency_bar(manifest, run, threads, place) for run in device.runs)
        legend = (on.method(device), "bar: median; line: fastest to 90th percentile", *tick, *note)
        return Chart(f"{text.printable(device.name)}: latency, ms", _SHORTER, legend, bars)

    return tuple(chart(device) for device in devices)


def _latency_bar(manifest: Manifest, run: DeviceRun, threads: bool, place: Scale) -> Bar:
    found, host = run.latency_ms, _host(manifest, run)
    return Bar(
        on.label(manifest, run, threads),
        _colour(manifest, run),
        f"{text.milliseconds(found)} ms" if found else text.MISSING,
        failed=run.verdict is Verdict.FAIL,
        end=place(found.p50) if found else None,
        spread=(place(found.min), place(found.p90)) if found else None,
        tick=place(host.p50) if host else None,
    )


def _host(manifest: Manifest, run: DeviceRun) -> Latency | None:
    """The artifact's latency on the host with as many threads."""
    artifact = on.artifact_of(manifest, run.file)
    found = artifact and artifact.latency_ms
    return found if found and found.threads == run.threads else None


def _instructions(manifest: Manifest, devices: Sequence[DeviceResult]) -> tuple[Chart, ...]:
    counts = [r.instructions.median for d in devices for r in d.runs if r.instructions]
    place, note = scale(counts)

    def chart(device: DeviceResult) -> Chart:
        threads = on.several_threads([device])
        bars = tuple(_count_bar(manifest, run, threads, place) for run in device.runs)
        title = f"{text.printable(device.name)}: million instructions"
        return Chart(title, _SHORTER, (on.method(device), *note), bars)

    return tuple(chart(device) for device in devices)


def _count_bar(manifest: Manifest, run: DeviceRun, threads: bool, place: Scale) -> Bar:
    found = run.instructions
    return Bar(
        on.label(manifest, run, threads),
        _colour(manifest, run),
        f"{text.millions(found.median)} M" if found else text.MISSING,
        failed=run.verdict is Verdict.FAIL,
        end=place(found.median) if found else None,
    )


def _colour(manifest: Manifest, run: DeviceRun) -> str:
    artifact = on.artifact_of(manifest, run.file)
    return artifact.format.value if artifact else ""
