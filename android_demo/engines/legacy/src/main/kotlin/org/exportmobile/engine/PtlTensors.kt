package org.exportmobile.engine

import org.exportmobile.core.DType
import org.exportmobile.core.Tensor
import org.exportmobile.core.firstLine
import org.pytorch.MemoryFormat
import java.nio.ByteBuffer
import org.pytorch.DType as NativeDType
import org.pytorch.Tensor as NativeTensor

/** What the library's Java tensors can hold. */
internal val TENSORS = setOf(DType.FLOAT32, DType.FLOAT64, DType.UINT8, DType.INT8, DType.INT32, DType.INT64)

internal fun nativeTensor(tensor: Tensor): NativeTensor {
    val shape = LongArray(tensor.shape.size) { tensor.shape[it].toLong() }
    val bytes = tensor.bytes()
    return when (tensor.dtype) {
        DType.FLOAT32 -> NativeTensor.fromBlob(bytes.asFloatBuffer(), shape)
        DType.FLOAT64 -> NativeTensor.fromBlob(bytes.asDoubleBuffer(), shape)
        DType.UINT8 -> NativeTensor.fromBlobUnsigned(bytes, shape)
        DType.INT8 -> NativeTensor.fromBlob(bytes, shape)
        DType.INT32 -> NativeTensor.fromBlob(bytes.asIntBuffer(), shape)
        DType.INT64 -> NativeTensor.fromBlob(bytes.asLongBuffer(), shape)
        DType.FLOAT16, DType.BOOL, DType.INT16 -> error("${tensor.dtype} is refused when a model is loaded")
    }
}

/** A copy in row-major order. */
internal fun copyOf(tensor: NativeTensor): Tensor {
    val shape = tensor.shape().map(Long::toInt)
    val copy = asStored(tensor, shape)
    return if (tensor.memoryFormat() == MemoryFormat.CONTIGUOUS) copy else channelsFirst(copy)
}

private fun asStored(tensor: NativeTensor, shape: List<Int>): Tensor =
    when (tensor.dtype()!!) {
        NativeDType.FLOAT32 -> filled(DType.FLOAT32, shape) { it.asFloatBuffer().put(tensor.dataAsFloatArray) }
        NativeDType.FLOAT64 -> filled(DType.FLOAT64, shape) { it.asDoubleBuffer().put(tensor.dataAsDoubleArray) }
        NativeDType.UINT8 -> filled(DType.UINT8, shape) { it.put(tensor.dataAsUnsignedByteArray) }
        NativeDType.INT8 -> filled(DType.INT8, shape) { it.put(tensor.dataAsByteArray) }
        NativeDType.INT32 -> filled(DType.INT32, shape) { it.asIntBuffer().put(tensor.dataAsIntArray) }
        NativeDType.INT64 -> filled(DType.INT64, shape) { it.asLongBuffer().put(tensor.dataAsLongArray) }
    }

private inline fun filled(dtype: DType, shape: List<Int>, fill: (ByteBuffer) -> Unit): Tensor =
    Tensor.zeros(dtype, shape).also { fill(it.bytes()) }

/** N x ... x C, as convolutions of this library leave their results, to N x C x .... */
private fun channelsFirst(tensor: Tensor): Tensor {
    val (batch, channels) = tensor.shape
    val result = Tensor.zeros(tensor.dtype, tensor.shape)
    val places = if (batch * channels == 0) 0 else tensor.count / (batch * channels)
    val size = tensor.dtype.size
    val (from, to) = tensor.bytes() to result.bytes()
    for (sample in 0 until batch) {
        for (channel in 0 until channels) {
            for (place in 0 until places) {
                val start = ((sample * places + place) * channels + channel) * size
                repeat(size) { to.put(from.get(start + it)) }
            }
        }
    }
    return result
}

/** What went wrong, without the TorchScript traceback that comes before it and the C++ stack that comes after. */
internal fun cause(failure: Throwable): String {
    val message = failure.message.orEmpty()
    if (message.startsWith(LACKING)) {
        return "it lacks " +
            OPERATOR
                .findAll(message)
                .map { it.value.trimEnd('.') }
                .distinct()
                .joinToString()
    }
    val lines = message.lineSequence().map(String::trim)
    val last = lines.lastOrNull { it.startsWith("RuntimeError: ") || it.startsWith("Error: ") }
    return last?.take(LONGEST) ?: firstLine(failure)
}

private const val LONGEST = 300
private const val LACKING = "Following ops cannot be found"
private val OPERATOR = Regex("""\w+::[\w.]+""")
