package org.exportmobile.core

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.sin

/**
 * Pillow's filters.
 *
 * @property support how far one reaches, in pixels of the smaller of the two images; 0 takes the nearest pixel.
 */
enum class Interpolation(internal val support: Double, internal val weight: (Double) -> Double) {
    NEAREST(0.0, { 0.0 }),
    BILINEAR(1.0, { x -> maxOf(0.0, 1 - abs(x)) }),
    BICUBIC(2.0, { x -> bicubic(abs(x)) }),
    LANCZOS(3.0, { x -> if (x >= -3 && x < 3) sinc(x) * sinc(x / 3) else 0.0 }),
}

private fun bicubic(x: Double): Double {
    val a = -0.5
    return when {
        x < 1 -> ((a + 2) * x - (a + 3)) * x * x + 1
        x < 2 -> (((x - 5) * x + 8) * x - 4) * a
        else -> 0.0
    }
}

private fun sinc(x: Double): Double = if (x == 0.0) 1.0 else sin(x * PI) / (x * PI)

/** One channel of an image, row by row, each value 0 to 255. */
internal class Plane(val width: Int, val height: Int, val values: ByteArray)

/**
 * Resizes as Pillow 13 does, to the bit: across and down, each in 8-bit fixed point.
 *
 * The order decides how halves are rounded: down comes first where the height shrinks much more than the width. Older
 * ones always go across first, which changes some pixels by one grey level.
 */
internal fun Plane.resized(newWidth: Int, newHeight: Int, interpolation: Interpolation): Plane {
    if (newWidth == width && newHeight == height) return this
    if (interpolation == Interpolation.NEAREST) return nearest(newWidth, newHeight)
    if (height > newHeight && height - newHeight > 2 * (width - newWidth)) {
        return down(newHeight, interpolation).across(newWidth, interpolation)
    }
    return across(newWidth, interpolation).down(newHeight, interpolation)
}

private fun Plane.nearest(newWidth: Int, newHeight: Int): Plane {
    val columns = nearestOf(width, newWidth)
    val rows = nearestOf(height, newHeight)
    val result = ByteArray(newWidth * newHeight)
    for (y in 0 until newHeight) {
        for (x in 0 until newWidth) result[y * newWidth + x] = values[rows[y] * width + columns[x]]
    }
    return Plane(newWidth, newHeight, result)
}

private fun nearestOf(old: Int, new: Int): IntArray {
    val step = old.toDouble() / new
    var at = step * 0.5
    // Pillow adds up the steps: a product would round differently.
    return IntArray(new) { minOf(at.toInt(), old - 1).also { at += step } }
}

/** The source pixels from [first] on that make one pixel of the result, each times its fixed-point factor. */
private class Window(val first: Int, val factors: IntArray)

private const val PRECISION_BITS = 32 - 8 - 2
private const val HALF = 1 shl (PRECISION_BITS - 1)

private fun weights(old: Int, new: Int, interpolation: Interpolation): List<Window> {
    val scale = old.toDouble() / new
    val filterScale = maxOf(scale, 1.0)
    val support = interpolation.support * filterScale
    return List(new) { i ->
        val center = (i + 0.5) * scale
        val first = maxOf((center - support + 0.5).toInt(), 0)
        val last = minOf((center + support + 0.5).toInt(), old)
        val raw = DoubleArray(last - first) { interpolation.weight((it + first - center + 0.5) * (1.0 / filterScale)) }
        val sum = raw.sum()
        Window(first, IntArray(raw.size) { fixedPoint(if (sum == 0.0) raw[it] else raw[it] / sum) })
    }
}

private fun fixedPoint(factor: Double): Int = (factor * (1 shl PRECISION_BITS) + if (factor < 0) -0.5 else 0.5).toInt()

private fun Plane.across(newWidth: Int, interpolation: Interpolation): Plane {
    if (newWidth == width) return this
    val windows = weights(width, newWidth, interpolation)
    val result = ByteArray(newWidth * height)
    for (y in 0 until height) {
        for ((x, window) in windows.withIndex()) {
            result[y * newWidth + x] = window.sum(values, y * width + window.first, 1)
        }
    }
    return Plane(newWidth, height, result)
}

private fun Plane.down(newHeight: Int, interpolation: Interpolation): Plane {
    if (newHeight == height) return this
    val windows = weights(height, newHeight, interpolation)
    val result = ByteArray(width * newHeight)
    for ((y, window) in windows.withIndex()) {
        for (x in 0 until width) result[y * width + x] = window.sum(values, window.first * width + x, width)
    }
    return Plane(width, newHeight, result)
}

private fun Window.sum(values: ByteArray, start: Int, step: Int): Byte {
    var sum = HALF
    var at = start
    for (factor in factors) {
        sum += (values[at].toInt() and 0xff) * factor
        at += step
    }
    return (sum shr PRECISION_BITS).coerceIn(0, 255).toByte()
}
