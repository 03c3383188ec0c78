package org.exportmobile.core

import java.io.DataInputStream
import java.nio.ByteOrder

/**
 * What stands before the elements of an array.
 *
 * @property length bytes of the header, all included.
 */
internal class NpyHeader(
    val dtype: DType,
    val shape: List<Int>,
    val fortran: Boolean,
    val bigEndian: Boolean,
    val length: Long,
)

private val MAGIC = "\u0093NUMPY".toByteArray(Charsets.ISO_8859_1)
private val DESCR = Regex("""'descr'\s*:\s*'([<>|=]?)(\w+)'""")
private val ORDER = Regex("""'fortran_order'\s*:\s*(True|False)""")
private val SHAPE = Regex("""'shape'\s*:\s*\(([\d\s,]*)\)""")
private const val LONGEST = 1 shl 16

private val CODES =
    mapOf(
        "f2" to DType.FLOAT16,
        "f4" to DType.FLOAT32,
        "f8" to DType.FLOAT64,
        "b1" to DType.BOOL,
        "u1" to DType.UINT8,
        "i1" to DType.INT8,
        "i2" to DType.INT16,
        "i4" to DType.INT32,
        "i8" to DType.INT64,
    )

/**
 * Reads the header of npy version 1, 2 or 3.
 *
 * @throws Problem it is none, or of elements that this app does not know.
 * @throws java.io.IOException the stream ends or fails.
 */
internal fun readNpyHeader(name: String, input: DataInputStream): NpyHeader {
    val magic = ByteArray(MAGIC.size).also { input.readFully(it) }
    if (!magic.contentEquals(MAGIC)) throw damaged(name, "it is no NumPy array")
    val version = input.readUnsignedByte()
    input.readUnsignedByte()
    if (version !in 1..3) throw Problem("Array $name is of npy version $version, this app reads 1 to 3.")
    val lengthBytes = if (version == 1) 2 else 4
    val length = (0 until lengthBytes).fold(0L) { total, i -> total or (input.readUnsignedByte().toLong() shl 8 * i) }
    if (length > LONGEST) throw damaged(name, "its header of $length bytes is none")
    val text = ByteArray(length.toInt()).also { input.readFully(it) }.toString(Charsets.UTF_8)
    return parse(name, text, MAGIC.size + 2 + lengthBytes + length)
}

private fun parse(name: String, text: String, length: Long): NpyHeader {
    val order = ORDER.find(text)
    val shape = SHAPE.find(text)
    if (order == null || shape == null) throw damaged(name, "its header is none")
    val descr = DESCR.find(text) ?: throw Problem("Array $name holds records, not plain numbers.")
    val (endian, code) = descr.destructured
    val dtype = CODES[code] ?: throw Problem("Array $name holds numpy's type $code, which this app does not know.")
    val sizes = shape.groupValues[1].split(",").map { it.trim() }.filter { it.isNotEmpty() }
    return NpyHeader(
        dtype = dtype,
        shape = sizes.map { it.toIntOrNull() ?: throw damaged(name, "its shape has a size of $it") },
        fortran = order.groupValues[1] == "True" && sizes.size > 1,
        bigEndian = dtype.size > 1 && endian == ">",
        length = length,
    )
}

/** The header, version 1, of elements in row-major order and the machine's byte order. */
internal fun npyHeader(tensor: Tensor): ByteArray {
    val code = CODES.entries.first { it.value == tensor.dtype }.key
    val endian =
        when {
            tensor.dtype.size == 1 -> '|'
            ByteOrder.nativeOrder() == ByteOrder.BIG_ENDIAN -> '>'
            else -> '<'
        }
    val dictionary = "{'descr': '$endian$code', 'fortran_order': False, 'shape': ${pythonShape(tensor.shape)}, }"
    // Elements start at a multiple of 64 bytes.
    val before = MAGIC.size + 4
    val size = (before + dictionary.length + 1 + 63) / 64 * 64 - before
    val text = dictionary.padEnd(size - 1) + "\n"
    val start = byteArrayOf(1, 0, (size and 0xff).toByte(), (size shr 8).toByte())
    return MAGIC + start + text.toByteArray(Charsets.US_ASCII)
}
