"""The classes of an Android app before and after R8: class files and dex, as far as names go."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import lief

_NATIVE = 0x100
_WIDTHS = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4}
_WIDTHS |= {15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
"""Bytes of a constant after its tag (Java Virtual Machine Specification, 4.4)."""


@dataclass(frozen=True, order=True)
class Member:
    """A method or field: `forward` of `org/a/Module`, with a descriptor such as `(I)V` or `J`."""

    owner: str
    name: str
    descriptor: str
    native: bool = False

    def __str__(self) -> str:
        gap = "" if self.descriptor.startswith("(") else ": "
        return f"{self.owner.replace('/', '.')}.{self.name}{gap}{self.descriptor}"


@dataclass(frozen=True)
class JavaClass:
    """A class by its JNI name, such as `org/a/Tensor$1`, with its own members.

    Attributes:
        parents: the superclass and the interfaces.
    """

    name: str
    parents: tuple[str, ...]
    members: frozenset[Member]

    @property
    def natives(self) -> frozenset[Member]:
        """Methods that a library has to bring."""
        return frozenset(member for member in self.members if member.native)


def class_files(folder: Path) -> dict[str, JavaClass]:
    """All classes below `folder`, by name."""
    classes = (_class_file(path.read_bytes()) for path in sorted(folder.rglob("*.class")))
    return {one.name: one for one in classes}


def dex_classes(data: bytes) -> dict[str, JavaClass]:
    """All classes of a dex file, by name."""
    file = lief.DEX.parse(list(data))
    if not isinstance(file, lief.DEX.File):
        raise ValueError("not a dex file")
    return {one.name: one for one in map(_dex_class, file.classes)}


def _dex_class(one: lief.DEX.Class) -> JavaClass:
    name = _plain(one.fullname)
    methods = (
        Member(name, str(method.name), _dex_descriptor(method), _dex_native(method))
        for method in one.methods
    )
    fields = (Member(name, str(field.name), _dex_type(field.type)) for field in one.fields)
    parents = (_plain(one.parent.fullname),) if one.parent else ()
    return JavaClass(name, parents, frozenset((*methods, *fields)))


def _plain(name: object) -> str:
    """`a/B` of `La/B;`."""
    return str(name).removeprefix("L").removesuffix(";")


def _dex_native(method: lief.DEX.Method) -> bool:
    return lief.DEX.ACCESS_FLAGS.NATIVE in method.access_flags


def _dex_descriptor(method: lief.DEX.Method) -> str:
    prototype = method.prototype
    assert prototype is not None
    parameters = "".join(map(_dex_type, prototype.parameters_type))
    return f"({parameters}){_dex_type(prototype.return_type)}"


def _dex_type(kind: lief.DEX.Type | None) -> str:
    # lief prints types as `int[]` and `La/B;[]`.
    plain = str(kind).rstrip("[]")
    return "[" * str(kind).count("[]") + _PRIMITIVES.get(plain, plain)


_PRIMITIVES = {
    "void": "V",
    "bool": "Z",
    "byte": "B",
    "short": "S",
    "char": "C",
    "int": "I",
    "long": "J",
    "float": "F",
    "double": "D",
}


def _class_file(data: bytes) -> JavaClass:
    """Reads a class file (Java Virtual Machine Specification, 4.1): names, parents and members."""
    texts, classes, place = _constants(data)
    _, this, parent, count = struct.unpack_from(">4H", data, place)
    interfaces = struct.unpack_from(f">{count}H", data, place + 8)
    place += 8 + 2 * count
    name = texts[classes[this]]
    members: list[Member] = []
    for _ in ("fields", "methods"):
        (count,) = struct.unpack_from(">H", data, place)
        place += 2
        for _ in range(count):
            flags, title, descriptor, attributes = struct.unpack_from(">4H", data, place)
            members.append(Member(name, texts[title], texts[descriptor], bool(flags & _NATIVE)))
            place = _after_attributes(data, place + 8, attributes)
    # Only java.lang.Object has no superclass.
    parents = tuple(texts[classes[index]] for index in (parent, *interfaces) if index)
    return JavaClass(name, parents, frozenset(members))


def _constants(data: bytes) -> tuple[dict[int, str], dict[int, int], int]:
    """Texts and classes (as the index of their text) by index, and where the constants end."""
    (count,) = struct.unpack_from(">H", data, 8)
    texts: dict[int, str] = {}
    classes: dict[int, int] = {}
    place, index = 10, 1
    while index < count:
        tag = data[place]
        if tag == 1:
            (length,) = struct.unpack_from(">H", data, place + 1)
            texts[index] = data[place + 3 : place + 3 + length].decode(errors="replace")
            place += 3 + length
        else:
            if tag == 7:
                (classes[index],) = struct.unpack_from(">H", data, place + 1)
            place += 1 + _WIDTHS[tag]
        # A long or a double takes two indices.
        index += 2 if tag in (5, 6) else 1
    return texts, classes, place


def _after_attributes(data: bytes, place: int, count: int) -> int:
    for _ in range(count):
        (length,) = struct.unpack_from(">I", data, place + 2)
        place += 6 + length
    return place
