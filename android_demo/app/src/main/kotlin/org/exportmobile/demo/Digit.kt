package org.exportmobile.demo

import org.exportmobile.core.Pixels
import kotlin.math.hypot

/** A point of a drawing; any unit, y downwards. */
data class Point(val x: Float, val y: Float)

/**
 * A drawing as the digits of MNIST are: white on black, fitted into the middle 20 of 28 parts, its centre of mass in
 * the centre.
 *
 * @param strokes lines without lifting the pen, each of at least one point; at least one stroke.
 * @param size of the square image, in pixels.
 */
fun digitImage(strokes: List<List<Point>>, size: Int): Pixels {
    val pen = size * PEN
    val fitted = fit(strokes, size * BOX - pen)
    val first = ink(fitted, size, pen / 2)
    val (dx, dy) = offCentre(first, size)
    val ink = ink(fitted.map { stroke -> stroke.map { Point(it.x - dx, it.y - dy) } }, size, pen / 2)
    return Pixels(size, size, IntArray(size * size) { grey(ink[it]) })
}

private const val BOX = 20 / 28f

/** The width of a pen's line in MNIST, as a part of the image. */
private const val PEN = 2.5f / 28

/** Scales the strokes so that their longer side is [side], around the origin; a dot stays a dot. */
private fun fit(strokes: List<List<Point>>, side: Float): List<List<Point>> {
    val points = strokes.flatten()
    val left = points.minOf { it.x }
    val top = points.minOf { it.y }
    val width = points.maxOf { it.x } - left
    val height = points.maxOf { it.y } - top
    val longer = maxOf(width, height)
    val scale = if (longer > 0) side / longer else 1f
    return strokes.map { stroke ->
        stroke.map { Point((it.x - left - width / 2) * scale, (it.y - top - height / 2) * scale) }
    }
}

/** How much of each pixel is inked, 0 to 1; the origin is the image's centre. */
private fun ink(strokes: List<List<Point>>, size: Int, radius: Float): FloatArray {
    val segments = strokes.flatMap { if (it.size == 1) listOf(it[0] to it[0]) else it.zipWithNext() }
    return FloatArray(size * size) { i ->
        val x = i % size + 0.5f - size / 2f
        val y = i / size + 0.5f - size / 2f
        (radius + 0.5f - segments.minOf { (a, b) -> distance(x, y, a, b) }).coerceIn(0f, 1f)
    }
}

private fun distance(x: Float, y: Float, a: Point, b: Point): Float {
    val dx = b.x - a.x
    val dy = b.y - a.y
    val length = dx * dx + dy * dy
    val along = if (length == 0f) 0f else (((x - a.x) * dx + (y - a.y) * dy) / length).coerceIn(0f, 1f)
    return hypot(x - a.x - along * dx, y - a.y - along * dy)
}

/** The centre of mass, seen from the image's centre. */
private fun offCentre(ink: FloatArray, size: Int): Point {
    val mass = ink.sum()
    var x = 0f
    var y = 0f
    for ((i, value) in ink.withIndex()) {
        x += value * (i % size + 0.5f - size / 2f)
        y += value * (i / size + 0.5f - size / 2f)
    }
    return Point(x / mass, y / mass)
}

private fun grey(ink: Float): Int = (ink * 255).toInt().let { 0xff shl 24 or (it shl 16) or (it shl 8) or it }
