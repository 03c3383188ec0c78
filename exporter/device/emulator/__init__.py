"""An emulated arm64 phone: real adbd and qemu in namespaces of their own, at 127.0.0.1."""

from exporter.device.emulator.control import running, start, stop, wait
from exporter.device.emulator.cpus import CPUS, DEFAULT_CPU, DEFAULT_STORAGE, cpu_name
from exporter.device.emulator.launch import DEFAULT_PORT
from exporter.device.emulator.parts import Parts, prepare
from exporter.device.emulator.state import Running, status

__all__ = [
    "CPUS",
    "DEFAULT_CPU",
    "DEFAULT_PORT",
    "DEFAULT_STORAGE",
    "Parts",
    "Running",
    "cpu_name",
    "prepare",
    "running",
    "start",
    "status",
    "stop",
    "wait",
]
