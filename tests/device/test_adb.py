"""The transport, on the real adb and adbd: what works, and every way in which it fails."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.device import link, transfer
from exporter.device.adb import Adb, Device, quote
from exporter.device.connections import parse
from exporter.device.kept import Kept
from exporter.device.refusals import Trouble, explain, recognize
from exporter.errors import DeviceError, UserError
from tests.device.conftest import FreshPhone
from tests.device.processes import adbd_of
from tests.device.strangers import stranger

WORK = "/data/local/tmp/test-adb"
NASTY = "a 'b\"; $(touch gone) `x` -n \\n\n\t*?~ü"


@pytest.fixture
def work(phone: Device) -> str:
    """An empty folder on the shared device."""
    phone.shell(f"rm -rf {WORK}; mkdir {WORK}")
    return WORK


def processes(device: Device) -> str:
    return device.shell("ps -A -o ARGS")


def wait_until(there: Callable[[], object], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def big_file(folder: Path, size: int = 150_000_000) -> Path:
    path = folder / "big"
    with path.open("wb") as file:
        file.truncate(size)
    return path


# Commands


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("exit 3", 3),
        ("(exit 255)", 255),
        ("sh -c 'kill -SEGV $$'", 128 + signal.SIGSEGV),
        ("sh -c 'kill -KILL $$'", 128 + signal.SIGKILL),
        ("if", 1),  # no command at all
        ("/no/such/program", 127),
    ],
)
def test_exit_code(phone: Device, command: str, code: int) -> None:
    assert phone.run(command).code == code


def test_output_is_exact_and_apart(phone: Device) -> None:
    done = phone.run(r"printf 'a\0b\r\n\377'; printf 'wrong' >&2; exit 4")
    assert (done.code, done.stdout, done.stderr) == (4, b"a\0b\r\n\xff", "wrong")
    assert phone.run("printf '\n'").stdout == b"\n"


def test_large_output_is_whole(phone: Device, work: str) -> None:
    phone.shell(f"head -c 3000000 /dev/urandom > {work}/noise")
    noise = phone.run(f"cat {work}/noise").stdout
    assert hashlib.sha256(noise).hexdigest() in phone.shell(f"sha256sum {work}/noise")


def test_nasty_words_are_harmless(phone: Device, work: str) -> None:
    for word in (NASTY, "-rf", "'", "", "$HOME", "a\\'b"):
        assert phone.shell(f"printf %s {quote(word)}") == word
    phone.shell(f"cd {work} && mkdir -- {quote(NASTY)}")
    assert phone.shell(f"cd {work} && printf %s *") == NASTY
    assert phone.run(f"ls {work}/gone").code == 1


def test_nul_is_refused() -> None:
    with pytest.raises(UserError, match="NUL"):
        quote("a\0b")


def test_failing_shell_says_why(phone: Device) -> None:
    with pytest.raises(DeviceError, match=r"exit code 1: .*No such file") as caught:
        phone.shell("cat /nope")
    assert not caught.value.lost


def test_what_a_command_leaves_running_ends_with_it(phone: Device) -> None:
    started = time.monotonic()
    assert phone.run("sleep 301 & echo up").text == "up\n"
    assert time.monotonic() - started < 10
    assert "sleep 301" not in processes(phone)


def test_lines_come_as_they_are_written(phone: Device) -> None:
    seen: list[tuple[str, float]] = []
    done = phone.stream(
        "echo one; sleep 1; printf 'two\nthree'",
        silence=20,
        deadline=60,
        on_line=lambda line: seen.append((line, time.monotonic())),
    )
    assert [line for line, _ in seen] == ["one", "two", "three"]
    assert seen[1][1] - seen[0][1] > 0.5
    assert done.text == "one\ntwo\nthree"


def test_file_is_sent_as_stdin(phone: Device, work: str, tmp_path: Path) -> None:
    noise = os.urandom(2_000_000)
    (tmp_path / "noise").write_bytes(noise)
    with (tmp_path / "noise").open("rb") as file:
        done = phone.stream("sha256sum", silence=20, deadline=60, stdin=file)
    assert done.text.split()[0] == hashlib.sha256(noise).hexdigest()


def test_no_stdin_is_an_empty_one(phone: Device) -> None:
    assert phone.run("cat; echo end", timeout=10).text == "end\n"


def test_busy_command_is_not_a_hung_device(phone: Device) -> None:
    assert phone.stream("sleep 7", silence=6, deadline=60).code == 0


def test_deadline_ends_the_command_not_the_device(phone: Device) -> None:
    with pytest.raises(DeviceError, match="had not ended after 3 s") as caught:
        phone.run("trap '' HUP TERM INT; sleep 302", timeout=3)
    assert not caught.value.lost
    wait_until(lambda: "sleep 302" not in processes(phone))


def test_exception_ends_the_command(phone: Device) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        phone.stream("trap '' HUP; echo up; sleep 303", silence=20, deadline=60, on_line=stop)
    wait_until(lambda: "sleep 303" not in processes(phone))


def test_beats_are_what_tells_a_busy_command_from_a_hung_device(
    phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "BEAT_SECONDS", 1000)
    with pytest.raises(DeviceError, match="does not answer") as caught:
        phone.stream("sleep 304", silence=3, deadline=60)
    assert caught.value.lost


CALLER = """
import sys
from exporter.device.adb import Adb
from exporter.device.kept import Kept
phone = Adb(port=int(sys.argv[1])).device(sys.argv[2])
if sys.argv[3] == "stream":
    phone.stream("echo up; sleep 305", silence=20, deadline=60, on_line=print)
else:
    with Kept(phone, "echo up; cat >/dev/null; sleep 1; echo > " + sys.argv[4]) as kept:
        print(kept.line(), flush=True)
        input()
"""


def caller(phone: Device, *words: str) -> subprocess.Popen[str]:
    port = os.environ["ANDROID_ADB_SERVER_PORT"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", CALLER, port, phone.serial, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    return process


def test_command_ends_when_its_caller_is_killed(phone: Device) -> None:
    with caller(phone, "stream") as process:
        assert "sleep 305" in processes(phone)
        process.kill()
    wait_until(lambda: "sleep 305" not in processes(phone))


def test_kept_command_cleans_up_when_its_caller_is_killed(phone: Device, work: str) -> None:
    with caller(phone, "keep", f"{work}/cleaned") as process:
        process.kill()
    wait_until(lambda: phone.run(f"[ -e {work}/cleaned ]").code == 0)


def test_kept_command(phone: Device, work: str) -> None:
    with Kept(phone, f"echo up; echo more; cat >/dev/null; rm -r {work}; exit 3") as kept:
        assert (kept.line(), kept.line()) == ("up", "more")
        with pytest.raises(DeviceError, match="nothing came for 1 s"):
            kept.line(timeout=1)
        assert phone.run(f"ls {work}").code == 0
        assert kept.close().code == 3
    assert phone.run(f"ls {work}").code == 1


def test_kept_command_that_refuses(phone: Device, work: str) -> None:
    lock = f"exec 9>>{work}/lock; flock -n 9 || exit 75; echo held; cat >/dev/null"
    with Kept(phone, lock) as first:
        assert first.line() == "held"
        with Kept(phone, lock) as second:
            assert second.line() is None
            assert second.close().code == 75
    with Kept(phone, lock) as third:
        assert third.line() == "held"


# Files


def test_push_and_pull(phone: Device, work: str, tmp_path: Path) -> None:
    noise = os.urandom(5_000_000)
    (tmp_path / NASTY).write_bytes(noise)
    transfer.push(phone, tmp_path / NASTY, f"{work}/new/{NASTY}")
    assert phone.shell(f"cd {work}/new && printf %s *") == NASTY
    assert ".part" not in phone.shell(f"ls -A {work}/new")
    back = tmp_path / "back"
    back.write_text("old")
    transfer.pull(phone, f"{work}/new/{NASTY}", back)
    assert back.read_bytes() == noise
    assert {p.name for p in tmp_path.iterdir()} == {NASTY, "back"}


def test_pull_of_what_is_not_there(phone: Device, work: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=f"no such file: {work}/nope"):
        transfer.pull(phone, f"{work}/nope", tmp_path / "back")
    assert not list(tmp_path.iterdir())


def test_push_of_no_file(phone: Device, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no file"):
        transfer.push(phone, tmp_path, "/data/local/tmp/x")


def test_push_onto_a_folder(phone: Device, work: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="is a folder"):
        transfer.push(phone, big_file(tmp_path, 10), work)
    assert ".part" not in phone.shell(f"ls -A {work} /data/local/tmp")


def test_push_without_permission(phone: Device, work: str, tmp_path: Path) -> None:
    if phone.shell("id -u") == "0\n":
        pytest.skip("adbd is root in an emulated device of an unprivileged user")
    phone.shell(f"mkdir -m 500 {work}/shut")
    with pytest.raises(DeviceError, match=f"permission denied: {work}/shut") as caught:
        transfer.push(phone, big_file(tmp_path, 10), f"{work}/shut/x")
    assert not caught.value.lost
    assert "/data/local/tmp" in caught.value.hint


def test_push_to_a_read_only_place(phone: Device, tmp_path: Path) -> None:
    tmp_path = tmp_path / "device unauthorized"  # a name is no message
    tmp_path.mkdir()
    with pytest.raises(DeviceError, match=r"read-only: /system|permission denied: /system"):
        transfer.push(phone, big_file(tmp_path, 10), "/system/x")


def test_push_that_arrives_changed(
    phone: Device, work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.shell(f"echo old > {work}/x")
    monkeypatch.setattr(transfer, "sha256", lambda path: "0" * 64)
    with pytest.raises(DeviceError, match="arrived changed"):
        transfer.push(phone, big_file(tmp_path, 10), f"{work}/x")
    assert phone.shell(f"cat {work}/x; ls -A {work}") == "old\nx\n"
    back = tmp_path / "back"
    back.write_text("old")
    with pytest.raises(DeviceError, match="arrived changed"):
        transfer.pull(phone, f"{work}/x", back)
    assert back.read_text() == "old"


def test_push_to_a_full_device(fresh_phone: FreshPhone, tmp_path: Path) -> None:
    _, phone = fresh_phone(storage="20m")
    with pytest.raises(DeviceError, match=r"no space left in \S+ \([\d.]+ MB free\)") as caught:
        transfer.push(phone, big_file(tmp_path, 30_000_000), "/data/local/tmp/x")
    assert not caught.value.lost
    assert "devices clean" in caught.value.hint
    assert phone.run("ls -A /data/local/tmp").stdout == b""


# The link


def test_stopped_adbd(
    fresh_phone: FreshPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, phone = fresh_phone()
    adbd = adbd_of(running)
    monkeypatch.setattr(transfer, "SILENCE_SECONDS", 3.0)

    def stop(line: str) -> None:
        os.kill(adbd, signal.SIGSTOP)

    started = time.monotonic()
    with pytest.raises(DeviceError, match="does not answer") as caught:
        phone.stream("echo up; sleep 30", silence=4, deadline=60, on_line=stop)
    assert caught.value.lost
    with pytest.raises(DeviceError, match="does not answer"):
        transfer.push(phone, big_file(tmp_path), "/data/local/tmp/x")
    with pytest.raises(DeviceError, match="does not answer"):
        phone.run("true", timeout=2)
    assert time.monotonic() - started < 45
    os.kill(adbd, signal.SIGCONT)
    wait_until(lambda: phone.run("true").code == 0)


def test_adbd_killed_during_shell(fresh_phone: FreshPhone) -> None:
    running, phone = fresh_phone()
    adbd = adbd_of(running)
    with pytest.raises(DeviceError, match=r"connection to .* was lost") as caught:
        phone.stream(
            "echo up; sleep 30",
            silence=20,
            deadline=60,
            on_line=lambda line: os.kill(adbd, signal.SIGKILL),
        )
    assert caught.value.lost


@pytest.mark.parametrize("way", ["push", "pull"])
def test_adbd_killed_during_transfer(
    fresh_phone: FreshPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    running, phone = fresh_phone()
    adbd = adbd_of(running)
    back = tmp_path / "back"
    cuts = []

    class Cut(link.Client):
        """Kills adbd when it has begun to copy."""

        def hear_out(self, seconds: float) -> bool:
            if way == "pull":
                wait_until(lambda: list(tmp_path.glob(".*.part")))
            assert not super().hear_out(0.03), "it is over too soon to be cut"
            os.kill(adbd, signal.SIGKILL)
            cuts.append(adbd)
            return super().hear_out(seconds)

    if way == "push":
        file = big_file(tmp_path)
        monkeypatch.setattr(transfer, "Client", Cut)
        with pytest.raises(DeviceError, match=r"connection to \S+ was lost") as caught:
            transfer.push(phone, file, "/data/local/tmp/x")
        file.unlink()
    else:
        phone.shell("truncate -s 60000000 /data/local/tmp/big")
        monkeypatch.setattr(transfer, "Client", Cut)
        with pytest.raises(DeviceError, match=r"connection to \S+ was lost") as caught:
            transfer.pull(phone, "/data/local/tmp/big", back)
    assert caught.value.lost
    assert cuts == [adbd]
    assert not list(tmp_path.iterdir())


def test_client_that_does_not_go_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_EXIT_SECONDS", 0.2)
    with link.Client(["sh", "-c", "exec >&- 2>&-; sleep 60"]) as client:
        assert client.hear_out(20)
        assert client.exit_code() == -signal.SIGKILL


def test_unknown_serial(adb: Adb, phone: Device) -> None:
    for ask in (lambda: adb.resolve("no such"), lambda: adb.device("no such").run("true")):
        with pytest.raises(DeviceError, match="'no such' is not connected") as caught:
            ask()
        assert phone.serial in caught.value.hint
        assert caught.value.lost


@pytest.mark.parametrize("serial", ["-s", "a;touch x", "$(id)", "a\nb", "{detail}", "--help"])
def test_nasty_serials_are_harmless(adb: Adb, serial: str) -> None:
    for ask in (lambda: adb.resolve(serial), lambda: adb.device(serial).run("true")):
        with pytest.raises(DeviceError, match="is not connected"):
            ask()


def test_only_device_is_meant_by_auto(adb: Adb, phone: Device) -> None:
    assert adb.resolve("auto").serial == phone.serial


def test_two_devices_and_none_named(adb: Adb, phone: Device, fresh_phone: FreshPhone) -> None:
    _, other = fresh_phone()
    with pytest.raises(DeviceError, match="2 devices are ready") as caught:
        adb.resolve("auto")
    assert phone.serial in caught.value.message
    assert other.serial in caught.value.message


@pytest.mark.parametrize(
    ("answers", "said"), [(True, "has not allowed this computer"), (False, "is offline")]
)
def test_devices_that_are_not_ready(adb: Adb, answers: bool, said: str) -> None:
    with stranger(answers) as address:
        try:
            for _ in range(2):  # not connected yet, then listed
                with pytest.raises(DeviceError, match=said) as caught:
                    adb.resolve(address)
                assert caught.value.lost
            with pytest.raises(DeviceError, match=said):
                adb.device(address).run("true", timeout=20)
        finally:
            adb.disconnect(address)


def test_connect_refused(adb: Adb) -> None:
    with pytest.raises(DeviceError, match=r"Nothing answers adb at 127.0.0.1:1\."):
        adb.resolve("127.0.0.1:1")


def test_unknown_host(adb: Adb) -> None:
    with pytest.raises(DeviceError, match=r"no address that can be found|Nothing answers"):
        adb.resolve("no.such.host.invalid:5555")


def test_address_is_connected_first(adb: Adb, fresh_phone: FreshPhone) -> None:
    running, _ = fresh_phone()
    adb.disconnect(running.serial)
    assert adb.resolve(running.serial).shell("echo up") == "up\n"


def test_adb_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    with pytest.raises(UserError, match="adb is not on PATH") as caught:
        Adb()
    assert "apt-get install adb" in caught.value.hint
    program = tmp_path / "platform-tools" / "adb"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert Adb().calling("x")[0] == str(program)


# What adb says


LISTED = """* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
28171FDH2000AB         device usb:1-2 product:panther model:Pixel_7 device:panther transport_id:3
a phone of mine        offline transport_id:4
0123456789ABCDEF       no permissions (missing udev rules? user is in the plugdev group); see \
[http://developer.android.com/tools/device.html] usb:1-1 transport_id:5
192.168.1.20:5555      unauthorized transport_id:6
device                 recovery usb:1-3

"""


def test_listing_is_read() -> None:
    found = parse(LISTED)
    assert [c.serial for c in found] == [
        *("28171FDH2000AB", "a phone of mine", "0123456789ABCDEF", "192.168.1.20:5555", "device")
    ]
    assert [c.ready for c in found] == [True, False, False, False, False]
    assert found[0].attributes["model"] == "Pixel_7"
    assert [c.refusal().message.split()[0] for c in found[1:]] == [
        *("'a", "This", "192.168.1.20:5555", "device")
    ]
    assert "udev" in found[2].refusal().hint
    assert "recovery" in found[4].refusal().message


def test_no_listing_is_a_broken_server() -> None:
    text = "error: cannot connect to daemon at tcp:5037: Connection refused"
    with pytest.raises(DeviceError, match="server on this computer does not work: error: cannot"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("error: more than one device/emulator", Trouble.SEVERAL),
        ("error: device 'x y' not found", Trouble.NOT_FOUND),
        ("adb: error: failed to get feature set: device 'X' not found", Trouble.NOT_FOUND),
        ("error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS", Trouble.UNAUTHORIZED),
        ("error: device still authorizing", Trouble.AUTHORIZING),
        ("error: device offline", Trouble.OFFLINE),
        ("failed to connect to '10.0.0.1:5555': Connection refused", Trouble.REFUSED),
        ("adb: error: failed to copy 'a' to 'b': couldn't read from device", Trouble.LOST),
        ("adb: error: connect failed: closed", Trouble.LOST),
        ("error: target doesn't support PTY args -Tt", Trouble.OLD_PROTOCOL),
        ("sideload", Trouble.OTHER_MODE),
        ("bootloader", Trouble.OTHER_MODE),
    ],
)
def test_texts_of_adb(text: str, trouble: Trouble) -> None:
    assert recognize(text) is trouble


def test_unknown_text_is_quoted_on_one_line() -> None:
    error = explain("adb: \x1b[31msomething\nnew", "X")
    assert error.message == "adb failed with X: adb: [31msomething new"
