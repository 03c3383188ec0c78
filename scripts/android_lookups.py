"""What native code of Android libraries looks up by name in their Java part.

JNI finds classes, methods and fields by strings. Those of a class that a library names, or of one
whose native methods it brings (their instances come as arguments), are looked up where the library
has both the member's name and its descriptor among its constants. Linkers store a string that ends
another one only once (`from` in `aten::_copy_from`), so endings count as well. That may be a member
too many, but none too few: the ProGuard rules of the apps keep a little more than this finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import lief

from scripts.android_classes import JavaClass, Member


@dataclass(frozen=True)
class NativeNames:
    """The names that a native library knows.

    Attributes:
        constants: the bytes of its constant data.
        symbols: the functions `Java_...` that it exports.
    """

    constants: bytes
    symbols: frozenset[str]

    def has(self, text: str) -> bool:
        """Whether `text` is a constant, or the end of one."""
        return text.encode() + b"\0" in self.constants

    def names(self, one: str) -> bool:
        """Whether it can look up the class: `FindClass` takes `a/B`, fbjni writes `La/B;`."""
        return self.has(one) or self.has(f"L{one};")

    @cached_property
    def by_fbjni(self) -> bool:
        """Whether it uses fbjni, which makes descriptors from C++ types."""
        return self.names("com/facebook/jni/HybridData")

    def knows(self, member: Member) -> bool:
        """Whether it has the strings that finding or registering the member takes."""
        # A compiler loads such a short descriptor as a number.
        short = self.by_fbjni and len(member.descriptor) < 8
        return self.has(member.name) and (short or self.has(member.descriptor))

    def exports(self, member: Member) -> bool:
        """Whether it has the function of a native method, by JNI's naming rule."""
        short = f"Java_{mangled(member.owner)}_{mangled(member.name)}"
        overloaded = f"{short}__{mangled(member.descriptor[1:].partition(')')[0])}"
        return short in self.symbols or overloaded in self.symbols


def native_names(library: lief.ELF.Binary) -> NativeNames:
    """Reads them from the section of constants, and from the dynamic symbols."""
    constants = b"".join(bytes(part.content) for part in library.sections if part.name == ".rodata")
    symbols = (str(symbol.name) for symbol in library.exported_symbols)
    return NativeNames(constants, frozenset(name for name in symbols if name.startswith("Java_")))


def mangled(name: str) -> str:
    """As JNI writes a name into a symbol: `a_b/C` is `a_1b_C`."""
    special = {"_": "_1", ";": "_2", "[": "_3", "/": "_"}
    return "".join(
        special.get(c) or (c if c.isascii() and c.isalnum() else f"_0{ord(c):04x}") for c in name
    )


def lost(
    library: NativeNames, reference: Mapping[str, JavaClass], kept: Mapping[str, JavaClass]
) -> list[str]:
    """What the library looks up by name and does not find, as classes and members of them.

    Args:
        reference: the class files as the library's makers published them.
        kept: what is left of them in the app.
    """
    named = sorted(name for name in reference if library.names(name))
    gone = [name.replace("/", ".") for name in named if name not in kept]
    bound = sorted(
        one.name
        for one in reference.values()
        if one.name not in named and any(map(library.exports, one.natives))
    )
    for owner in (*named, *bound):
        if owner in kept:
            wanted = _looked_up(library, owner, reference, constructors=owner in named)
            found = {(member.name, member.descriptor) for member in _inherited(owner, kept)}
            gone += [str(one) for one in wanted if (one.name, one.descriptor) not in found]
    return gone


def unbound(libraries: Iterable[NativeNames], kept: Iterable[JavaClass]) -> list[str]:
    """Native methods for which no library has or registers a function."""
    known = tuple(libraries)
    natives = sorted(member for one in kept for member in one.natives)
    return [
        str(member)
        for member in natives
        if not any(
            library.exports(member) or (library.names(member.owner) and library.knows(member))
            for library in known
        )
    ]


def _looked_up(
    library: NativeNames, owner: str, reference: Mapping[str, JavaClass], constructors: bool
) -> list[Member]:
    """Members, as of `owner`, of it and what it inherits from; constructors are its own only."""
    own = reference[owner].members if constructors else frozenset()
    members = {m for m in _inherited(owner, reference) if m.name != "<init>"} | own
    known = {replace(one, owner=owner, native=False) for one in members if library.knows(one)}
    return sorted(known)


def _inherited(name: str, classes: Mapping[str, JavaClass]) -> Iterator[Member]:
    """Members of the class and of what it inherits from, as far as these are among `classes`."""
    if name in classes:
        yield from classes[name].members
        for parent in classes[name].parents:
            yield from _inherited(parent, classes)
