"""Runs the agent in a qemu that counts."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from exporter.base.text import last_line
from exporter.device import cache
from exporter.device.emulator.counter import process
from exporter.device.job import JOB_FILE, OUTPUTS_FILE, RESULT_FILE, read_result
from exporter.errors import FormatError, UserError

QEMU, PLUGIN = "qemu-aarch64", "count.so"
LOG_FILE = "count.log"
TIMEOUT_S = 1800.0
"""For one artifact. torch takes 30 s to be imported alone."""

_ADDRESS_SPACE = "0x4000000000"
"""256 GiB, reserved and not used: addresses in it do not depend on where this machine puts qemu."""

_REASONS = {
    signal.SIGILL: "it executes an instruction that this CPU lacks",
    signal.SIGSEGV: "it reads or writes memory that it does not have",
    signal.SIGBUS: "it reads or writes memory that it does not have",
    signal.SIGKILL: "the machine may have run out of memory",
    signal.SIGABRT: "it gave up",
}


@dataclass(frozen=True)
class Counter:
    """A qemu for arm64 programs with the plugin that counts their instructions.

    Attributes:
        place: folder of the cache with both.
    """

    place: Path

    @cached_property
    def version(self) -> str:
        """Of qemu, with Debian's, such as `10.0.13+ds-0+deb13u1`."""
        names = " ".join(cache.provenance(self.place))
        found = re.search(r"qemu_(\S+)\.dsc", names)
        return found[1] if found else "unknown"

    @cached_property
    def digest(self) -> str:
        """Of qemu's version and the plugin: counts with the same digest compare."""
        return cache.digest(self.version, self.place / PLUGIN)

    def run(
        self,
        cpu: str,
        core: Path,
        overlay: Path,
        agent: Path,
        folder: Path,
        timeout: float = TIMEOUT_S,
    ) -> tuple[int, ...]:
        """Runs a job whose `marks` are on, on this machine; on one core if its `threads` is 1.

        Args:
            cpu: any that this qemu knows, such as `cortex-a53` or `max,sve=off`.
            core: layer `core` of the runtime bundle.
            overlay: layer of the job's format.
            agent: the agent's file.
            folder: holds the job, and is its working directory. It gets the agent's files, and
                `count.log` with all that was said.
            timeout: seconds that it may take.

        Returns:
            Instructions of each timed inference, all threads: warm ones, as the agent leaves the
            cold run and the warm-up unmarked.

        Raises:
            FormatError: the artifact does not run on that CPU.
            UserError: qemu does not know the CPU.
        """
        expected = _timed_runs(folder)
        for name in (RESULT_FILE, OUTPUTS_FILE):  # or an earlier job's would be taken for ours
            (folder / name).unlink(missing_ok=True)
        core, overlay, folder = core.resolve(), overlay.resolve(), folder.resolve()
        with tempfile.TemporaryDirectory(prefix="export-mobile-count-") as name:
            counts = Path(name) / "counts"
            command = [*self._qemu(cpu, counts), *_python(core), agent.resolve(), "."]
            try:
                code = process.run(
                    command,
                    folder=folder,
                    log=folder / LOG_FILE,
                    seconds=timeout,
                    env=_environment(core, overlay, folder),
                )
            except process.OutOfTimeError as error:
                raise FormatError(
                    f"it takes longer than {timeout:.0f} s under qemu on {cpu}"
                ) from error
            if code != 0:
                raise _failure(code, cpu, folder)
            return _read(counts, expected)

    def _qemu(self, cpu: str, counts: Path) -> list[str | Path]:
        # Two commas are one: to qemu, a single one ends an option's value.
        plugin, out = (str(path).replace(",", ",,") for path in (self.place / PLUGIN, counts))
        return [
            *(self.place / QEMU, "-cpu", cpu),
            *("-plugin", f"file={plugin},out={out}"),
            # Random bytes that a kernel hands to a new process, and addresses in it: hash tables
            # and allocators take different ways with different ones.
            *("-seed", "0", "-R", _ADDRESS_SPACE),
        ]


def _python(core: Path) -> list[str | Path]:
    """As the bundle's `run.sh` starts it, which a shell of this machine cannot do."""
    loader, python = core / "lib" / "ld-linux-aarch64.so.1", core / "bin" / "python3"
    return [loader, "--library-path", core / "lib", "--argv0", python, python, "-B"]


def _environment(core: Path, overlay: Path, folder: Path) -> dict[str, str]:
    """That of the bundle's `run.sh`, and what makes counts repeat. Nothing of the caller's."""
    for path in (core, overlay):
        if re.search("[:;]", str(path)):
            raise UserError(
                f"The runtime lies in {path}, and its path may have neither ':' nor ';'.",
                "Set XDG_CACHE_HOME to another folder.",
            )
    return {
        "PYTHONHOME": str(core / "py"),
        "PYTHONPATH": f"{core / 'site'}:{overlay / 'site'}",
        **dict.fromkeys(("PYTHONUTF8", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"), "1"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "TMPDIR": str(folder),
        "HOME": str(folder),
        **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"),
    }


def _timed_runs(folder: Path) -> int:
    job = json.loads((folder / JOB_FILE).read_bytes())
    if not job["marks"] or job["runs"] < 1:
        raise ValueError("a job is counted by its marks, of at least one timed run")
    return int(job["runs"])


def _read(counts: Path, expected: int) -> tuple[int, ...]:
    """The plugin's lines: as many numbers above zero as there were timed runs, or an error."""
    lines = counts.read_text().splitlines() if counts.exists() else []
    numbers = tuple(int(line) for line in lines if line.isdecimal())
    if len(lines) != expected or len(numbers) != expected or 0 in numbers:
        raise FormatError(
            f"the plugin saw {len(numbers)} inferences from start to end where "
            f"{expected} were timed"
        )
    return numbers


def _failure(code: int, cpu: str, folder: Path) -> FormatError | UserError:
    said = (folder / LOG_FILE).read_text(encoding="utf-8")
    if "unable to find CPU model" in said:
        return UserError(f"qemu has no CPU {cpu!r}.", "Choose such as cortex-a53 or max.")
    if code < 0:
        number = signal.Signals(-code)
        why = _REASONS.get(number, "nobody says why")
        return FormatError(f"crashed on {cpu} under qemu with {number.name}: {why}")
    if (folder / RESULT_FILE).exists():
        try:
            read_result(folder)
        except FormatError as error:
            return error
    why = last_line(said, f"exit code {code}")
    return FormatError(f"does not run on {cpu} under qemu: {why}")
