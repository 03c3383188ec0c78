package org.exportmobile.core

import java.math.BigDecimal
import java.math.MathContext
import java.math.RoundingMode

/** [value] with so many [digits] after the point, rounded as Python rounds. */
internal fun fixed(value: Double, digits: Int): String =
    if (value.isFinite()) BigDecimal(value).setScale(digits, RoundingMode.HALF_EVEN).toPlainString() else special(value)

/** [value] with so many significant [digits] and without trailing zeros, as Python's `g` writes it. */
internal fun general(value: Double, digits: Int = 6): String {
    if (!value.isFinite()) return special(value)
    if (value == 0.0) return "0"
    val rounded = BigDecimal(value).round(MathContext(digits, RoundingMode.HALF_EVEN)).stripTrailingZeros()
    val exponent = rounded.precision() - rounded.scale() - 1
    if (exponent in -4 until digits) return rounded.toPlainString()
    val size = Math.abs(exponent).toString().padStart(2, '0')
    return "${rounded.movePointLeft(exponent).toPlainString()}e${if (exponent < 0) '-' else '+'}$size"
}

private fun special(value: Double) =
    when {
        value.isNaN() -> "nan"
        value > 0 -> "inf"
        else -> "-inf"
    }

/** A tuple as Python and numpy write a shape. */
internal fun pythonShape(shape: List<Int>): String = shape.joinToString(", ", "(", if (shape.size == 1) ",)" else ")")

/** Each element as a Double; 64-bit integers above 2^53 are rounded, as numpy rounds them. */
fun Tensor.toDoubles(): DoubleArray {
    val bytes = bytes()
    return when (dtype) {
        DType.FLOAT16 -> bytes.asShortBuffer().let { b -> DoubleArray(count) { halfToFloat(b[it]).toDouble() } }
        DType.FLOAT32 -> bytes.asFloatBuffer().let { b -> DoubleArray(count) { b[it].toDouble() } }
        DType.FLOAT64 -> bytes.asDoubleBuffer().let { b -> DoubleArray(count) { b[it] } }
        else -> toLongs().let { b -> DoubleArray(count) { b[it].toDouble() } }
    }
}

/** Each element of a tensor of integers or truth values. */
fun Tensor.toLongs(): LongArray {
    val bytes = bytes()
    return when (dtype) {
        DType.BOOL -> LongArray(count) { if (bytes[it].toInt() == 0) 0 else 1 }
        DType.UINT8 -> LongArray(count) { bytes[it].toLong() and 0xff }
        DType.INT8 -> LongArray(count) { bytes[it].toLong() }
        DType.INT16 -> bytes.asShortBuffer().let { b -> LongArray(count) { b[it].toLong() } }
        DType.INT32 -> bytes.asIntBuffer().let { b -> LongArray(count) { b[it].toLong() } }
        DType.INT64 -> bytes.asLongBuffer().let { b -> LongArray(count) { b[it] } }
        DType.FLOAT16, DType.FLOAT32, DType.FLOAT64 -> error("${dtype.title} holds no integers")
    }
}

/** The value of an IEEE half float's bits. */
fun halfToFloat(half: Short): Float {
    val bits = half.toInt() and 0xffff
    val sign = if (bits and 0x8000 != 0) -1f else 1f
    val exponent = bits shr 10 and 0x1f
    val mantissa = bits and 0x3ff
    return when (exponent) {
        0 -> sign * Math.scalb(mantissa.toFloat(), -24)
        31 -> if (mantissa == 0) sign * Float.POSITIVE_INFINITY else Float.NaN
        else -> sign * Math.scalb((mantissa or 0x400).toFloat(), exponent - 25)
    }
}

/** The bits of the IEEE half float nearest to [value], ties to even. */
fun floatToHalf(value: Float): Short {
    val sign = value.toRawBits() ushr 16 and 0x8000
    if (value.isNaN()) return (sign or 0x7e00).toShort()
    val size = Math.abs(value)
    if (size >= HALF_OVERFLOW) return (sign or 0x7c00).toShort()
    // One unit in the last place of the half float; below its normal numbers the steps stay equal.
    val exponent = maxOf(if (size == 0f) -14 else Math.getExponent(size), -14)
    val steps = Math.rint(Math.scalb(size.toDouble(), 10 - exponent)).toInt()
    // Steps that reach the next power of two carry into the exponent by themselves.
    return (sign or ((exponent + 14 shl 10) + steps)).toShort()
}

private const val HALF_OVERFLOW = 65520f
