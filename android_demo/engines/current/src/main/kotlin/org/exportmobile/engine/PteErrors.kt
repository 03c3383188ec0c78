package org.exportmobile.engine

/** ExecuTorch's codes in words, after its runtime/core/error.h; the exporter says the same. */
private val MEANINGS =
    mapOf(
        0x01 to "internal error",
        0x02 to "the runtime is in the wrong state",
        0x10 to "an operator or delegate does not support what it was given",
        0x11 to "something is not implemented",
        0x12 to "an operator was given an argument that is wrong",
        0x13 to "a value has the wrong type",
        0x14 to "an operator has no kernel in this runtime",
        0x20 to "something the file refers to was not found",
        0x21 to "not enough memory",
        0x22 to "the file cannot be read",
        0x23 to "the file is damaged or is not a .pte",
        0x24 to "the file's external data is damaged",
        0x25 to "not enough resources",
        0x30 to "the delegate was made for another version",
        0x31 to "the delegate ran out of memory",
        0x32 to "the delegate is not in this runtime",
    )

/** What one of ExecuTorch's error codes says. */
internal fun meaning(code: Int): String = MEANINGS[code] ?: "error 0x${code.toString(16)}"
