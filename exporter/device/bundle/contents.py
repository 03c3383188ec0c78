"""What goes into the core, and what is left out of every layer."""

from __future__ import annotations

from exporter.runtimes.record import Bundle

# fmt: off
GLIBC = (
    "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0",
    "librt.so.1", "libutil.so.1", "libresolv.so.2", "libstdc++.so.6", "libgcc_s.so.1",
    "libgomp.so.1", "libz.so.1", "libexpat.so.1", "libffi.so.8",
)
"""Loader and shared libraries that the interpreter or any wheel needs."""

EXTENSIONS = (
    "_asyncio", "_contextvars", "_ctypes", "_decimal", "_interpchannels", "_interpqueues",
    "_interpreters", "_lsprof", "_multiprocessing", "_posixshmem", "_queue", "_zoneinfo",
    "mmap", "resource", "termios",
)
"""Extension modules of the standard library, besides those built into the interpreter: the ones
that need no further library."""

NOT_OF_STDLIB = frozenset({
    "__phello__", "_aix_support.py", "_android_support.py", "_apple_support.py",
    "_ios_support.py", "_osx_support.py", "_pyrepl", "antigravity.py", "curses", "dbm",
    "ensurepip", "ftplib.py", "idlelib", "imaplib.py", "lib-dynload", "lib2to3", "mailbox.py",
    "poplib.py", "pydoc_data", "sitecustomize.py", "smtplib.py", "sqlite3", "test", "this.py",
    "tkinter", "turtle.py", "turtledemo", "venv", "webbrowser.py", "wsgiref", "xmlrpc",
})
"""First parts of paths below `python3.13/`."""
# fmt: on

IN_NO_LAYER = ("*.pyi", "*/tests/*", "*/include/*", "*.h", "*.a", "*.c", "*.pxd", "*.dist-info/*")
"""Patterns of paths in any wheel; `*` matches any characters, `/` too."""

KEEP = ("*.dist-info/METADATA",)
"""Kept whatever patterns say: packages ask for their own version."""

CORE = Bundle(
    megabytes=60,
    leave_out=(
        *("numpy/f2py/*", "numpy/_pyinstaller/*", "numpy/doc/*", "numpy/random/lib/*"),
        *("numpy/_core/_*_tests.*.so", "numpy/_core/_simd.*.so", "numpy/random/_examples/*"),
    ),
)
"""Of numpy, which every runtime takes."""
