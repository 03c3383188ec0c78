package org.exportmobile.engine

import org.exportmobile.core.DType
import org.exportmobile.core.Problem
import org.exportmobile.core.Tensor
import org.exportmobile.core.TensorSpec
import org.tensorflow.lite.DataType
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Tensor as NativeTensor

private val DTYPES =
    mapOf(
        DataType.FLOAT32 to DType.FLOAT32,
        DataType.BOOL to DType.BOOL,
        DataType.UINT8 to DType.UINT8,
        DataType.INT8 to DType.INT8,
        DataType.INT16 to DType.INT16,
        DataType.INT32 to DType.INT32,
        DataType.INT64 to DType.INT64,
    )
private val INTEGERS = mapOf(DType.UINT8 to 0..255, DType.INT8 to -128..127, DType.INT16 to -32768..32767)

/** Pairs of (in the file, in the model): the exporter stores 64-bit values in 32 bits. */
private val NARROWED = setOf(DType.INT32 to DType.INT64, DType.FLOAT32 to DType.FLOAT64)

/**
 * One input or output: where it is in the file, and what its values are there.
 *
 * @param spec in the model.
 * @property position among the file's inputs or outputs.
 * @param at the file's input or output at a position.
 * @throws Problem the file's type is none that the model's can be made of.
 */
internal class Slot(private val spec: TensorSpec, val position: Int, at: (Int) -> NativeTensor) {
    private val tensor = at(position)
    private val stored: DType =
        DTYPES[tensor.dataType()]
            ?: throw Problem("${spec.name} is ${tensor.dataType()} in the file, which this app cannot use.")
    private val scale = tensor.quantizationParams().scale
    private val zero = tensor.quantizationParams().zeroPoint
    private val quantized = spec.dtype == DType.FLOAT32 && stored in INTEGERS && scale > 0

    init {
        val fits = stored == spec.dtype || quantized || stored to spec.dtype in NARROWED
        if (!fits) throw Problem("${spec.name} is ${stored.title} in the file, and ${spec.dtype.title} in the model.")
        val own = TensorSpec(spec.name, tensor.shape().asList(), stored)
        if (own.shape != spec.shape) throw Problem("The file has $own, not $spec.")
    }

    /** A value of the model as the file's: q = round(x / scale) + zero point, or narrowed. */
    fun toFile(value: Tensor): Tensor {
        if (stored == spec.dtype) return value
        val result = Tensor.zeros(stored, value.shape)
        val (from, to) = value.bytes() to result.bytes()
        when (stored) {
            DType.INT32 -> {
                to.asIntBuffer().let { ints -> repeat(value.count) { ints.put(narrow(from.long)) } }
            }

            DType.FLOAT32 -> {
                to.asFloatBuffer().let { floats ->
                    repeat(value.count) { floats.put(from.double.toFloat()) }
                }
            }

            else -> {
                repeat(value.count) { to.putInteger(quantize(from.float)) }
            }
        }
        return result
    }

    /**
     * The way back: x = scale * (q - zero point), or widened.
     *
     * @param bytes the file's; the result keeps them where nothing is to convert.
     */
    fun toModel(bytes: ByteBuffer, shape: IntArray): Tensor {
        (bytes as Buffer).rewind() // as ByteBuffer.rewind it is missing in Android 8
        if (stored == spec.dtype) return Tensor(stored, shape.asList(), bytes)
        val result = Tensor.zeros(spec.dtype, shape.asList())
        val from = bytes.order(ByteOrder.nativeOrder())
        val to = result.bytes()
        when (stored) {
            DType.INT32 -> repeat(result.count) { to.putLong(from.int.toLong()) }
            DType.FLOAT32 -> repeat(result.count) { to.putDouble(from.float.toDouble()) }
            else -> repeat(result.count) { to.putFloat(scale * (from.integer() - zero)) }
        }
        return result
    }

    private fun narrow(value: Long): Int {
        if (value != value.toInt().toLong()) throw Problem("${spec.name} holds $value, and the file stores 32 bits.")
        return value.toInt()
    }

    private fun quantize(value: Float): Int {
        val limits = INTEGERS.getValue(stored)
        // As numpy rounds, halves to even.
        return (
            Math.rint(
                (value / scale).toDouble(),
            ) + zero
        ).coerceIn(limits.first.toDouble(), limits.last.toDouble()).toInt()
    }

    private fun ByteBuffer.putInteger(value: Int) {
        if (stored == DType.INT16) putShort(value.toShort()) else put(value.toByte())
    }

    private fun ByteBuffer.integer(): Int =
        when (stored) {
            DType.INT16 -> short.toInt()
            DType.UINT8 -> get().toInt() and 0xFF
            else -> get().toInt()
        }
}
