"""What a user should notice about runs on devices: failures, and what is odd about the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.manifest import Artifact, DeviceResult, DeviceRun, Manifest
from exporter.report import devices as on
from exporter.report import text
from exporter.report.rows import CLEARLY_SLOWER, Failure
from exporter.types import DeviceState, Parity, Precision, Verdict

WARMER_C = 5.0
"""Degrees that a run may warm the device by, and not be noted."""

CLEARLY_LOWER = 0.9
"""Ratio of clock frequencies; less is what governors do without need."""

HALF_THE_ERROR_DB = 6.0
"""20 log10(2): a difference this much below the error has half its amplitude."""


def failures(
    manifest: Manifest, device: DeviceResult, threads: bool | None = None
) -> tuple[Failure, ...]:
    """The artifacts that do not hold on a device, and why it ended early if it did."""
    if threads is None:
        threads = on.several_threads([device])
    runs = (
        Failure(on.label(manifest, run, threads), text.printable(run.reason or ""), "")
        for run in device.runs
        if run.verdict is Verdict.FAIL
    )
    early = Failure("not all was run", text.printable(device.problem or ""), "")
    return (*runs, *([early] if device.problem else []))


def warnings(manifest: Manifest, device: DeviceResult) -> tuple[str, ...]:
    """One sentence each."""
    found = (
        _slower(manifest, device),
        _throttled(manifest, device),
        *_differs_from_host(manifest, device),
    )
    return tuple(sentence for sentence in found if sentence)


def uncounted(devices: Sequence[DeviceResult]) -> str:
    """Names the emulated devices without instructions, and how to get them, or ""."""
    without = [
        device
        for device in devices
        if on.is_emulated(device) and not any(run.instructions for run in device.runs)
    ]
    ran = [(d.name, run) for d in without for run in d.runs if run.parity]  # only these are counted
    single = dict.fromkeys(name for name, run in ran if run.threads == 1 and not run.notes)
    several = dict.fromkeys(name for name, _ in ran)
    if single:
        names = text.listed([text.printable(name) for name in single])
        remedy = f"To have them counted: {on.COUNTER_SETUP}"
        return f"Instructions were not counted on {names}. {remedy}"
    if several and not any(run.threads == 1 for _, run in ran):
        names = text.listed([text.printable(name) for name in several])
        return f"Instructions were not counted on {names}: they are counted with --threads 1 only."
    return ""


def notes(manifest: Manifest, device: DeviceResult) -> tuple[str, ...]:
    """Notes of the device, and of its runs by label; what several runs say is said once."""
    threads = on.several_threads([device])
    said: dict[str, list[str]] = {}
    for run in device.runs:
        for note in run.notes:
            said.setdefault(note, []).append(on.label(manifest, run, threads))
    of_runs = (f"{', '.join(labels)}: {note}" for note, labels in said.items())
    return tuple(text.printable(note) for note in (*device.notes, *of_runs))


def _slower(manifest: Manifest, device: DeviceResult) -> str:
    """Names the reduced artifacts that cost more than float there, by the cost that counts."""
    threads = on.several_threads([device])
    slow = []
    for run, artifact in _known(manifest, device.runs):
        full = _float_run(manifest, device, run, artifact)
        cost, against = _cost(device, run), full and _cost(device, full)
        if full and cost and against and cost / against > CLEARLY_SLOWER:
            name = on.label(manifest, run, threads)
            slow.append(f"{name} ({cost / against:.1f}x its {on.file_label(manifest, full.file)})")
    if not slow:
        return ""
    what = "More instructions" if on.is_emulated(device) else "Slower"
    return f"{what} than float on {text.printable(device.name)}: {', '.join(slow)}."


def _cost(device: DeviceResult, run: DeviceRun) -> float | None:
    if on.is_emulated(device):
        return run.instructions.median if run.instructions else None
    return run.latency_ms.p50 if run.latency_ms else None


def _float_run(
    manifest: Manifest, device: DeviceResult, run: DeviceRun, artifact: Artifact
) -> DeviceRun | None:
    """The same format in fp32, with as many threads, where `run` is of less."""
    if artifact.precision is Precision.FP32:
        return None
    return next(
        (
            other
            for other, full in _known(manifest, device.runs)
            if full.format is artifact.format
            and full.precision is Precision.FP32
            and other.threads == run.threads
        ),
        None,
    )


def _throttled(manifest: Manifest, device: DeviceResult) -> str:
    """Names the runs that left the device clearly warmer or slower; else looks at all together."""
    if on.is_emulated(device) or not device.runs:
        return ""
    threads = on.several_threads([device])
    name = text.printable(device.name)
    hot = [
        f"{on.label(manifest, run, threads)} ({change})"
        for run in device.runs
        if (change := _worse(run.before, run.after))
    ]
    if hot:
        return f"Throttled or heated up on {name}, so that times may be too long: {', '.join(hot)}."
    if change := _worse(device.runs[0].before, device.runs[-1].after):
        return f"Throttled or heated up on {name} from the first run to the last: {change}."
    return ""


def _worse(before: DeviceState | None, after: DeviceState | None) -> str:
    """Such as `34 to 41 °C`, or `2850 to 1804 MHz` of the fastest core, or ""."""
    if not before or not after:
        return ""
    found = []
    cold, warm = before.temperature_c, after.temperature_c
    if cold is not None and warm is not None and warm - cold >= WARMER_C:
        found.append(f"{cold:.0f} to {warm:.0f} °C")
    fast, slow = max(before.frequency_mhz, default=0), max(after.frequency_mhz, default=0)
    if slow and slow < CLEARLY_LOWER * fast:
        found.append(f"{fast} to {slow} MHz")
    return ", ".join(found)


def _differs_from_host(manifest: Manifest, device: DeviceResult) -> tuple[str, ...]:
    """One sentence a precision: kernels differ in the last bits of float, and in more of int8."""
    threads = on.several_threads([device])
    found: dict[Precision, list[str]] = {}
    for run, artifact in _known(manifest, device.runs):
        if run.host_parity and _matters(artifact, run.host_parity):
            own = artifact.golden_parity
            error = f" (its error on the host: {text.magnitude(own.max_abs)})" if own else ""
            found.setdefault(artifact.precision, []).append(
                f"{on.label(manifest, run, threads)} "
                f"by up to {text.magnitude(run.host_parity.max_abs)}{error}"
            )
    return tuple(
        f"{precision.value} outputs on {text.printable(device.name)} differ from the host's: "
        f"{'; '.join(runs)}. What holds on the host need not hold there."
        for precision, runs in sorted(found.items())
    )


def _matters(artifact: Artifact, difference: Parity) -> bool:
    """Whether two machines' outputs of one artifact differ by more than rounding.

    They do where the difference breaks a bound that the artifact is judged by; below fp32 also
    where it has half the amplitude of the artifact's own error.
    """
    least, most = artifact.tolerance.get("min_sqnr_db"), artifact.tolerance.get("atol")
    if isinstance(least, int | float) and difference.sqnr_db < least:
        return True
    if isinstance(most, int | float) and difference.max_abs > most:
        return True
    own = artifact.golden_parity
    if artifact.precision is Precision.FP32 or not own or own.sqnr_db >= text.EXACT_DB:
        return False
    return difference.sqnr_db < own.sqnr_db + HALF_THE_ERROR_DB


def _known(manifest: Manifest, runs: Iterable[DeviceRun]) -> tuple[tuple[DeviceRun, Artifact], ...]:
    """Runs with their artifacts."""
    pairs = ((run, on.artifact_of(manifest, run.file)) for run in runs)
    return tuple((run, artifact) for run, artifact in pairs if artifact)
