"""The two kinds of trouble a user may meet; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import errno


class UserError(Exception):
    """Something the user can mend: a missing file, a wrong shape, an option that does not fit.

    Ends the command with exit code 2. It reads as one sentence that says what is wrong, and a
    hint that says what to do next.

    Args:
        message: what is wrong, with the value that was given.
        hint: what to do about it; empty when the message already says so.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class DeviceError(UserError):
    """A device, or the way to it, is not ready or fails.

    Args:
        message: what is wrong, naming the device.
        hint: the exact remedy.
        lost: whether the device cannot be talked to any more, so that nothing else can be tried.
    """

    def __init__(self, message: str, hint: str = "", lost: bool = False) -> None:
        super().__init__(message, hint)
        self.lost = lost


_ENVIRONMENT = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EIO),
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EAGAIN),
        *(errno.EMFILE, errno.ENFILE),
    }
)


def refusal(error: OSError | MemoryError) -> UserError | None:
    """What the system refused through no fault of this program, for the user; None for a bug."""
    if isinstance(error, MemoryError):
        return UserError("There is not enough memory.", "Try --jobs 1, or a machine with more.")
    if error.errno not in _ENVIRONMENT:
        return None
    what = f": {error.filename}" if error.filename else ""
    return UserError(f"The system refused, {error.strerror}{what}.")


class FormatError(Exception):
    """One format cannot be made or run; the other formats go on.

    Becomes the verdict `fail` with `reason` as its cause. A reason names the operator and the
    user's source line where an operator is to blame.

    Args:
        reason: one sentence, fit for the table and the report.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
