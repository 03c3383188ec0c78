package org.exportmobile.core

import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Element types that the exporter writes, by numpy's names; [size] is in bytes. */
enum class DType(val size: Int, val floating: Boolean = false) {
    FLOAT16(2, floating = true),
    FLOAT32(4, floating = true),
    FLOAT64(8, floating = true),
    BOOL(1),
    UINT8(1),
    INT8(1),
    INT16(2),
    INT32(4),
    INT64(8),
    ;

    /** numpy's name, as manifests spell it. */
    val title: String get() = name.lowercase()

    companion object {
        /** @throws Problem the name is none that this app knows. */
        fun of(title: String): DType =
            entries.firstOrNull { it.title == title }
                ?: throw Problem("This app does not know the element type $title.")
    }
}

/**
 * One input or output.
 *
 * @property shape sizes in elements; empty for a scalar.
 * @property high bound (exclusive) of an integer input, such as a vocabulary size, where known.
 */
data class TensorSpec(
    val name: String,
    val shape: List<Int>,
    val dtype: DType,
    val low: Long? = null,
    val high: Long? = null,
) {
    override fun toString(): String = "$name (${dtype.title} ${shape.joinToString("x").ifEmpty { "scalar" }})"
}

/** Flat inputs and outputs of a model, in call order. */
data class Signature(val inputs: List<TensorSpec>, val outputs: List<TensorSpec>)

/**
 * Elements in row-major order.
 *
 * @property data direct, in the machine's byte order (little-endian on every Android device); its
 *   position is 0 and its limit the number of bytes. Nobody moves them: read through [bytes].
 */
class Tensor(val dtype: DType, val shape: List<Int>, private val data: ByteBuffer) {
    init {
        val wanted = elements(shape) * dtype.size
        require(data.limit().toLong() == wanted) { "$shape of ${dtype.title} is $wanted bytes, not ${data.limit()}" }
    }

    /** How many elements there are. */
    val count: Int get() = data.limit() / dtype.size

    /** A view of its own of the bytes, from the first to the last. */
    fun bytes(): ByteBuffer = data.duplicate().order(ByteOrder.nativeOrder()).also { (it as Buffer).rewind() }

    companion object {
        /** Zeros. */
        fun zeros(dtype: DType, shape: List<Int>): Tensor {
            val size = Math.toIntExact(elements(shape) * dtype.size)
            return Tensor(dtype, shape, ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder()))
        }

        /** A float32 tensor of [values]. */
        fun of(values: FloatArray, shape: List<Int>): Tensor =
            zeros(DType.FLOAT32, shape).also { it.bytes().asFloatBuffer().put(values) }

        private fun elements(shape: List<Int>): Long =
            shape.fold(1L) { total, size -> Math.multiplyExact(total, size.toLong()) }
    }
}
