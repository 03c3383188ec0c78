"""What goes into each layer, and what is left out of it."""

from __future__ import annotations

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

_IN_NO_LAYER = ("*.pyi", "*/tests/*", "*/include/*", "*.h", "*.a", "*.c", "*.pxd", "*.dist-info/*")

KEEP = ("*.dist-info/METADATA",)
"""Kept whatever the patterns below say: packages ask for their own version."""

LEAVE_OUT: dict[str, tuple[str, ...]] = {
    "core": (
        *_IN_NO_LAYER,
        *("numpy/f2py/*", "numpy/_pyinstaller/*", "numpy/doc/*", "numpy/random/lib/*"),
        *("numpy/_core/_*_tests.*.so", "numpy/_core/_simd.*.so", "numpy/random/_examples/*"),
    ),
    "pte": _IN_NO_LAYER,
    "onnx": (
        *_IN_NO_LAYER,
        # For programs in C: the Python module has all of it inside.
        "onnxruntime/capi/libonnxruntime.so*",
        *("onnxruntime/backend/*", "onnxruntime/datasets/*", "onnxruntime/quantization/*"),
        *("onnxruntime/tools/*", "onnxruntime/transformers/*", "onnxruntime/*.txt"),
    ),
    "tflite": (
        *_IN_NO_LAYER,
        # For GPUs, and for a newer interface than the interpreter's, which has all inside.
        *("ai_edge_litert/libLiteRtWebGpu*", "ai_edge_litert/libLiteRt.so"),
        *("ai_edge_litert/aot/*", "ai_edge_litert/tools/*", "ai_edge_litert/vendors/*"),
    ),
    "ptl": (
        *_IN_NO_LAYER,
        *("torch/bin/*", "torch/share/*", "torch/test/*", "torch/onnx/*"),
        *("torch/_dynamo/*", "torch/_inductor/*", "torch/_numpy/*", "torch/testing/_internal/?*/*"),
        "torch/testing/_internal/common_*",
        *("torch/lib/libtorchbind_test.so", "torch/lib/libjitbackend_test.so"),
        *("torch/lib/libbackend_with_compiler.so", "torch/lib/libaoti_custom_ops.so"),
    ),
}
"""Layer -> patterns of paths in its wheels; `*` matches any characters, `/` too."""

KEEP_SOURCES = frozenset({"ptl"})
"""Layers that need their sources beside the bytecode: importing torch reads comments of its own."""

ADD_EMPTY: dict[str, tuple[str, ...]] = {
    # Importing torch fails where this is missing; it is started only to share tensors.
    "ptl": ("torch/bin/torch_shm_manager",),
}
"""Layer -> files that must exist and may be empty."""

ABOUT_MB = {"core": 60, "pte": 4, "onnx": 21, "tflite": 14, "ptl": 146}
"""Layer -> size of its download, for the progress line."""
