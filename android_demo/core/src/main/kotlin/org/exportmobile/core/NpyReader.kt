package org.exportmobile.core

import java.io.Closeable
import java.io.DataInputStream
import java.io.EOFException
import java.io.IOException
import java.io.InputStream
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import java.util.zip.CheckedInputStream
import java.util.zip.ZipException

/**
 * One array of a .npz file, read from its first element to its last.
 *
 * @property shape sizes in elements; empty for a scalar.
 */
class NpyReader internal constructor(
    private val name: String,
    stream: InputStream,
    size: Long,
    private val crc: Long,
) : Closeable {
    private val checked = CheckedInputStream(stream, CRC32())
    private val input = DataInputStream(checked)
    private val header: NpyHeader = guarded { readNpyHeader(name, input) }
    private var whole: ByteBuffer? = null
    private var done = 0
    private var left = size - header.length

    val dtype: DType get() = header.dtype
    val shape: List<Int> get() = header.shape

    init {
        val claimed = shape.fold(dtype.size.toDouble()) { total, length -> total * length }
        if (claimed != left.toDouble()) throw damaged(name, "its header speaks of other data than it holds")
        if (claimed > Int.MAX_VALUE) throw Problem("Array $name is larger than 2 GB, too much for this app.")
    }

    /** The whole array; only for a reader that gave no [row] yet. */
    fun read(): Tensor {
        check(done == 0) { "rows were read already" }
        val data = take(shape)
        return Tensor(dtype, shape, if (header.fortran) rowMajor(data) else data)
    }

    /**
     * The next element of the first axis, without that axis: a file may hold more than fits into memory.
     *
     * @throws NoSuchElementException there are no more, or the array is a scalar.
     */
    fun row(): Tensor {
        if (shape.isEmpty() || done >= shape[0]) throw NoSuchElementException("$name has no more rows")
        val rest = shape.drop(1)
        if (!header.fortran) return Tensor(dtype, rest, take(rest)).also { done++ }
        // In that order the rows lie mixed.
        val all = whole ?: rowMajor(take(shape)).also { whole = it }
        val row = Tensor.zeros(dtype, rest)
        val start = done * row.bytes().limit()
        row.bytes().apply { for (i in 0 until limit()) put(i, all.get(start + i)) }
        done++
        return row
    }

    override fun close() = input.close()

    private fun take(part: List<Int>): ByteBuffer {
        val data = allocate(part.fold(dtype.size) { total, size -> total * size })
        val chunk = ByteArray(minOf(data.capacity(), CHUNK))
        guarded {
            var at = 0
            while (at < data.capacity()) {
                val size = minOf(chunk.size, data.capacity() - at)
                input.readFully(chunk, 0, size)
                data.put(chunk, 0, size)
                at += size
            }
        }
        (data as Buffer).rewind()
        left -= data.capacity()
        if (left == 0L && checked.checksum.value != crc) throw damaged(name, "its checksum is another one")
        return if (header.bigEndian) swapped(data, dtype.size) else data
    }

    private fun allocate(size: Int): ByteBuffer =
        try {
            ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
        } catch (error: OutOfMemoryError) {
            throw Problem("There is no memory left for array $name of ${size / 1_000_000} MB.", error)
        }

    /** Elements whose first axis runs fastest, in the order whose last axis does. */
    private fun rowMajor(data: ByteBuffer): ByteBuffer {
        val result = allocate(data.capacity())
        val index = IntArray(shape.size)
        val strides = shape.runningFold(1) { stride, size -> stride * size }
        for (to in 0 until data.capacity() / dtype.size) {
            val from = index.indices.sumOf { index[it] * strides[it] }
            for (i in 0 until dtype.size) result.put(to * dtype.size + i, data.get(from * dtype.size + i))
            var axis = shape.lastIndex
            while (axis >= 0 && ++index[axis] == shape[axis]) index[axis--] = 0
        }
        return result
    }

    private fun <T> guarded(action: () -> T): T =
        try {
            action()
        } catch (error: EOFException) {
            throw damaged(name, "it ends too early", error)
        } catch (error: ZipException) {
            throw damaged(name, "it cannot be unpacked", error)
        } catch (error: IOException) {
            throw Problem("Array $name cannot be read: ${error.message}.", error)
        }

    private companion object {
        const val CHUNK = 1 shl 16
    }
}

internal fun damaged(name: String, why: String, cause: Throwable? = null) =
    Problem("Array $name is damaged: $why. Copy the file again.", cause)

private fun swapped(data: ByteBuffer, size: Int): ByteBuffer {
    for (start in 0 until data.capacity() step size) {
        for (i in 0 until size / 2) {
            val left = data.get(start + i)
            data.put(start + i, data.get(start + size - 1 - i))
            data.put(start + size - 1 - i, left)
        }
    }
    return data
}
