"""The namespaces a device lives in, and why a machine may refuse them."""

from __future__ import annotations

import errno
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from exporter.device.emulator.system import (
    Namespace,
    bring_loopback_up,
    give_up_privileges,
    unshare,
)
from exporter.errors import UserError

SHELL_USER = 2000
"""`shell` of Android: who adbd and all that it starts run as."""

SHELL_GROUPS = (1004, 1007, 1011, 3003)
"""input, log, adb, inet: the names are in the device's /etc/group."""

_OLDEST_KERNEL = (6, 7)
"""The first whose user namespaces have a binfmt_misc of their own."""


def enter(machine: Machine) -> None:
    """Puts this process into namespaces of its own, and its children into a new PID namespace.

    Args:
        machine: the one we are on.

    Raises:
        UserError: it does not allow this; with the remedy.
    """
    try:
        _enter_user_namespace(os.geteuid(), os.getegid())
        unshare(Namespace.NET | Namespace.UTS | Namespace.IPC | Namespace.PID)
        bring_loopback_up()
    except OSError as error:
        raise refusal(error, machine) from error


def _enter_user_namespace(user: int, group: int) -> None:
    """As root: root and the shell are themselves. As another user: that one is root, and alone."""
    ready, go = os.pipe()
    helper = os.fork()  # the map of a new namespace is written from outside of it
    if helper == 0:
        os.close(go)
        started = os.read(ready, 1)
        os._exit(_write_maps(os.getppid(), user, group) if started else 0)
    os.close(ready)
    try:
        unshare(Namespace.USER)
        os.write(go, b"x")
    finally:
        os.close(go)
        _, status = os.waitpid(helper, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise OSError(code, os.strerror(code), "uid_map")


def _write_maps(process: int, user: int, group: int) -> int:
    """Returns 0 or an error number."""
    folder = Path(f"/proc/{process}")
    try:
        if user == 0:
            kept = (0, *SHELL_GROUPS, SHELL_USER)
            (folder / "uid_map").write_text(f"0 0 1\n{SHELL_USER} {SHELL_USER} 1\n")
            (folder / "gid_map").write_text("".join(f"{one} {one} 1\n" for one in sorted(kept)))
        else:
            _map_one(folder, 0, user, group)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _map_one(process: Path, inside: int, user: int, group: int) -> None:
    # user_namespaces(7): the groups of an unprivileged process may not change from here on.
    (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{inside} {user} 1\n")
    (process / "gid_map").write_text(f"{inside} {group} 1\n")


def become_shell(machine: Machine) -> None:
    """Goes from root of the device's user namespace to the shell's user, without a way back."""
    if machine.root:
        give_up_privileges()  # the user that follows may not
        os.setgroups(SHELL_GROUPS)
        os.setgid(SHELL_USER)
        os.setuid(SHELL_USER)
    else:
        unshare(Namespace.USER)
        _map_one(Path("/proc/self"), SHELL_USER, 0, 0)
        give_up_privileges()


@dataclass(frozen=True)
class Machine:
    """What decides whether namespaces can be made.

    Attributes:
        kernel: its release, such as `6.8.0-45-generic`.
        root: whether this is root.
        user_namespaces: how many user namespaces this user may have.
        for_users: whether users other than root may have any (Debian's switch).
        apparmor: whether AppArmor keeps programs without a profile from using them (Ubuntu's).
        binfmt_misc: whether the kernel has the module loaded or built in.
    """

    kernel: str
    root: bool
    user_namespaces: int
    for_users: bool
    apparmor: bool
    binfmt_misc: bool

    @staticmethod
    def this() -> Machine:
        """The one we are on."""
        return Machine(
            kernel=platform.release(),
            root=os.geteuid() == 0,
            user_namespaces=_setting("user/max_user_namespaces", 1),
            for_users=_setting("kernel/unprivileged_userns_clone", 1) == 1,
            apparmor=_setting("kernel/apparmor_restrict_unprivileged_userns", 0) == 1,
            binfmt_misc="binfmt_misc" in Path("/proc/filesystems").read_text(),
        )


def _setting(name: str, default: int) -> int:
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return default


def refusal(error: OSError, machine: Machine) -> UserError:
    """What keeps the device from starting, and the remedy."""
    version = tuple(map(int, re.findall(r"\d+", machine.kernel)[:2]))
    if version < _OLDEST_KERNEL:
        return UserError(
            f"The emulated device needs Linux 6.7 or newer, and this is {machine.kernel}.",
            "Only from then on can it be set up without a change to the whole machine; update the "
            "kernel, or use a phone.",
        )
    if machine.user_namespaces == 0:
        return _switched_off("user namespaces are switched off", "user.max_user_namespaces=10000")
    if not machine.root and not machine.for_users:
        return _switched_off(
            "user namespaces are for root only", "kernel.unprivileged_userns_clone=1"
        )
    if not machine.root and machine.apparmor:
        return _switched_off(
            "AppArmor keeps users from user namespaces",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if not machine.binfmt_misc:
        return UserError(
            "The emulated device needs the kernel's binfmt_misc, which is not loaded.",
            "sudo modprobe binfmt_misc",
        )
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return UserError(
        f"The emulated device could not be set up ({what}).",
        "Inside a container, namespaces must be allowed: run it on the machine itself, or with "
        "docker run --privileged.",
    )


def _switched_off(what: str, setting: str) -> UserError:
    return UserError(
        f"The emulated device cannot start: {what} on this machine.", f"sudo sysctl -w {setting}"
    )
