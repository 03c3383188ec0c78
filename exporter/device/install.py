"""Brings the runtime's layers to a device, once: what is there already is checked byte for byte.

A layer lies in `HOME/runtime/<name>-<digest>` and is never changed. It comes as a tar into a folder
of another name, which is renamed once all of it is there. What is there is not believed: its
hashes are taken anew by each run, by the interpreter that comes with it, as devices' own sha256sum
can be slow or missing. It says what it found, and the comparison is made on this machine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from secrets import token_hex

from exporter.base.text import last_line
from exporter.device import facts
from exporter.device.adb import Completed, Device, quote
from exporter.device.archive import streamed
from exporter.device.bundle import CORE, Layer
from exporter.device.bundle.seal import LIST_FILE
from exporter.device.refusals import Trouble, named, one_line, recognize, refusal
from exporter.errors import DeviceError
from exporter.types import Tell

FOLDER = "runtime"
"""In our folder on the device."""

_NEAR = re.compile(r"127\.0\.0\.1:|localhost:|emulator-\d")
"""Devices on this machine: to pack for them takes longer than to send."""

_SILENCE_S = 20.0
_CLEAN_S = 120.0
"""To remove a layer of ten thousand files from slow storage."""
_HASTE_S = 10.0
"""To clean up after what went wrong; what is left then, the next run removes."""
_SLOWEST = 50_000
"""Bytes a second: a slower link is of no use."""
_SLOWEST_READ = 2_000_000
"""Bytes a second for a device to read and hash; an emulated one does 50 times as many."""
_BLOCK = 4096
"""Bytes that storage is given out in on all but odd file systems."""

_SWEEP = """mkdir -p {folder} && cd {folder} || exit
rm -rf .*.part || exit
for layer in {patterns}; do
  case $layer in {kept}) ;; *) rm -rf "$layer" || exit;; esac
done
for layer in {names}; do if [ -d "$layer" ]; then echo "$layer"; else rm -f "$layer"; fi; done
"""

_HASHES = """
import hashlib, os, sys
os.chdir(sys.argv[1])
for layer in sys.argv[2:]:
    for folder, _, names in os.walk(layer):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb", buffering=0) as file:
                    print(hashlib.file_digest(file, "sha256").hexdigest(), path, sep="  ")
            except OSError as error:
                print(error.strerror, path, sep="  ")
"""
"""For the device's Python: hash and path of each file of some layers."""


def install(device: Device, home: str, layers: Sequence[Layer], tell: Tell) -> dict[str, str]:
    """Makes sure that layers of the runtime are on a device, whole and unchanged.

    What killed runs and older versions of these layers have left is removed.

    Args:
        device: whose lock the caller holds, see `Session`.
        home: our folder there.
        layers: `core` first, which checks the others.
        tell: takes a line of progress before something that takes seconds.

    Returns:
        The folder of each layer on the device, by its name.

    Raises:
        DeviceError: there is no space for them, or they do not arrive there, or do not work.
    """
    folder = f"{home}/{FOLDER}"
    names = {layer.name: f"{layer.name}-{layer.digest[:16]}" for layer in layers}
    present = _sweep(device, folder, names)
    absent = [layer for layer in layers if layer.name not in present]
    _require_space(device, folder, absent)
    core = f"{folder}/{names[CORE]}"
    for group in (layers[:1], layers[1:]):  # whether the others are whole, a whole core says
        there = {names[layer.name]: layer for layer in group if layer not in absent}
        damaged = [there[name] for name in _problems(device, folder, core, there)]
        for layer in damaged:
            tell(f"runtime {layer.name}: damaged on {named(device.serial)}, to be sent again")
            _checked(device, f"rm -rf {quote(f'{folder}/{names[layer.name]}')}", folder)
        _require_space(device, folder, damaged)
        missing = [layer for layer in group if layer in absent or layer in damaged]
        _send(device, folder, {names[layer.name]: layer for layer in missing}, core, tell)
    return {name: f"{folder}/{place}" for name, place in names.items()}


def _sweep(device: Device, folder: str, names: dict[str, str]) -> set[str]:
    """Removes what is of no use any more; which layers are there, whole or not.

    Args:
        device: where.
        folder: of all layers.
        names: of each layer's folder in it.
    """
    script = _SWEEP.format(
        folder=quote(folder),
        patterns=" ".join(f"{name}-*" for name in names),
        kept="|".join(names.values()),
        names=" ".join(names.values()),
    )
    found = _checked(device, script, folder).text.split()
    return {layer for layer, name in names.items() if name in found}


def _send(
    device: Device,
    folder: str,
    missing: dict[str, Layer],
    core: str,
    tell: Tell,
) -> None:
    """Brings layers to a device and checks them there; where one fails, nothing is left of them.

    Args:
        device: where.
        folder: of all layers.
        missing: name that a layer's folder is to have -> the layer.
        core: folder of the one that checks; it may be the one that is missing.
        tell: takes progress.
    """
    parts = {f".{name}.{token_hex(8)}.part": name for name in missing}
    places = " ".join(quote(f"{folder}/{part}") for part in parts)
    try:
        for part, name in parts.items():
            _unpack(device, missing[name], f"{folder}/{part}", tell)
            core = f"{folder}/{part}" if missing[name].name == CORE else core
        there = {part: missing[name] for part, name in parts.items()}
        for part, problem in _problems(device, folder, core, there).items():
            raise DeviceError(
                f"The runtime's part {there[part].name} does not work on {named(device.serial)} "
                f"after it was sent there: {problem}.",
                "Try again; if it stays: another cable, and a look at the device's storage.",
            )
        for part, name in parts.items():
            _checked(device, f"mv {quote(f'{folder}/{part}')} {quote(f'{folder}/{name}')}", folder)
    except BaseException as error:
        if not (isinstance(error, DeviceError) and error.lost):
            with suppress(DeviceError):
                device.run(f"rm -rf {places}", timeout=_HASTE_S)
        raise


def _unpack(device: Device, layer: Layer, part: str, tell: Tell) -> None:
    compress = not _NEAR.match(device.serial)
    size = f"{layer.size / 1e6:.0f} MB"
    tell(f"runtime {layer.name}: sending {size}")

    def progress(sent: int) -> None:
        tell(f"runtime {layer.name}: sending, {min(sent, layer.size) / 1e6:.0f} of {size}")

    unpack = f"tar -x -C {quote(part)}"
    with streamed(layer.folder, compress, progress) as archive:
        done = device.stream(
            f"mkdir {quote(part)} && {'gunzip -c | ' if compress else ''}{unpack}",
            silence=_SILENCE_S,
            deadline=60.0 + layer.size / _SLOWEST,
            stdin=archive,
        )
    if recognize(done.stderr) is Trouble.NO_SPACE:
        device.run(f"rm -rf {quote(part)}", timeout=_CLEAN_S)  # so that what is free is told right
        raise _no_space(device, part.rpartition("/")[0], [layer])
    if done.code:
        raise _refused(device, done, part)


def _problems(device: Device, folder: str, core: str, there: dict[str, Layer]) -> dict[str, str]:
    """What is wrong with layers on a device: exactly their files have to be there, unchanged.

    Args:
        device: where.
        folder: of all layers.
        core: folder of the layer that checks; where that does not work, nothing is right.
        there: name of a layer's folder -> what it should hold.

    Returns:
        Name of a layer's folder -> a clause, for those that are not right.
    """
    if not there:
        return {}
    words = (f"{core}/run.sh", core, "-c", _HASHES, folder, *there)
    done = device.stream(
        f"sh {' '.join(map(quote, words))}",
        silence=_SILENCE_S,
        deadline=60.0 + sum(layer.size for layer in there.values()) / _SLOWEST_READ,
    )
    if done.code:
        return dict.fromkeys(there, one_line(last_line(done.stderr, f"exit code {done.code}")))
    found = set(done.text.splitlines())
    problems = {}
    for name, layer in there.items():
        inside = {line for line in found if line.partition("  ")[2].startswith(f"{name}/")}
        if wrong := sorted(line.partition("  ")[2] for line in inside ^ _right(name, layer)):
            problems[name] = f"{named(wrong[0].partition('/')[2])} is not what it should be"
    return problems


def _right(name: str, layer: Layer) -> set[str]:
    """What the device has to say of a layer in the folder `name`."""
    listed = (layer.folder / LIST_FILE).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in (*listed, f"{layer.digest}  {LIST_FILE}"))
    return {f"{digest}  {name}/{path}" for digest, path in pairs}


def _require_space(device: Device, folder: str, layers: Sequence[Layer]) -> None:
    free = _free(device, folder) if layers else None
    if free is not None and free < sum(map(_taken, layers)):
        raise _no_space(device, folder, layers)


def _no_space(device: Device, folder: str, layers: Sequence[Layer]) -> DeviceError:
    needed, free = sum(map(_taken, layers)), _free(device, folder)
    there = "fewer" if free is None else f"{free / 1e6:.0f} MB"
    return refusal(
        Trouble.NO_SPACE,
        device.serial,
        f" for the runtime: it takes {needed / 1e6:.0f} MB, and {there} are free in "
        f"{named(folder)}",
    )


def _taken(layer: Layer) -> int:
    """Bytes of storage that a layer takes."""
    sizes = (path.lstat().st_size for path in layer.folder.rglob("*"))
    return sum(_BLOCK + -(-size // _BLOCK) * _BLOCK for size in sizes)


def _free(device: Device, folder: str) -> int | None:
    """Bytes of storage that are free where `folder` is, if the device can tell."""
    return facts.free_bytes(_checked(device, f"df -kP {quote(folder)}", folder).text)


def _checked(device: Device, command: str, folder: str) -> Completed:
    done = device.run(command, timeout=_CLEAN_S)
    if done.code:
        raise _refused(device, done, folder)
    return done


def _refused(device: Device, done: Completed, path: str) -> DeviceError:
    """The error for a command about a file or folder that failed."""
    trouble = recognize(done.stderr)
    if trouble in (Trouble.DENIED, Trouble.READ_ONLY, Trouble.NO_SPACE):
        return refusal(trouble, device.serial, f": {named(path)}")
    why = one_line(done.stderr) or f"exit code {done.code}"
    return DeviceError(
        f"{named(device.serial)} refused to work in {named(path)}: {why}",
        f"Start anew there: export-mobile devices clean {shlex.quote(device.serial)}",
    )
