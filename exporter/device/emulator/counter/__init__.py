"""Counts the instructions of an inference on an emulated CPU: a cost that repeats.

The agent runs on this machine in qemu's user mode, where a TCG plugin counts what the guest
executes between the marks that the agent sets around each timed inference.

What the figure is: the number of arm64 instructions that all threads of the guest executed, of the
kernels that the runtime chose for that CPU. Three counts of one artifact differ by less than 0.1 %,
on any machine, whatever else works there. The calls of the agent itself are in it: some thousand
instructions of Python an inference.

What it is not: time. Instructions take from a fraction of a cycle to hundreds; the plugin knows
neither caches nor memory, neither stalls nor how many instructions a core issues at once. An
instruction on vectors of 512 bits counts one, like one on 128 bits. It compares artifacts, kernels
and CPU generations, and shows a change of the code; it does not say how long any of it takes.
What a plugin may see is in qemu's manual, "QEMU TCG Plugins":
https://www.qemu.org/docs/master/devel/tcg-plugins.html
"""

from exporter.device.emulator.counter.build import available, prepare
from exporter.device.emulator.counter.count import Counter

__all__ = ["Counter", "available", "prepare"]
