"""Counts the instructions of an inference on an emulated CPU: a cost that repeats.

The agent runs on this machine in qemu's user mode, where a TCG plugin counts what the guest
executes between the marks that the agent sets around each timed inference.

What the figure is: the number of arm64 instructions that all threads of the guest executed, in the
kernels that the runtime chose for that CPU. It repeats to 0.1 %, whatever else the machine works
at: Python's hashes, addresses, and the random bytes of a new process are the same in each run, and
what is left is the state of the allocator. With one thread, that is: several wait for each other in
loops. The agent's own Python between the marks is in it, 5,700 instructions an inference.

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
