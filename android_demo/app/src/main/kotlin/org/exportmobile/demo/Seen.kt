package org.exportmobile.demo

import android.graphics.Bitmap
import org.exportmobile.core.Pixels
import org.exportmobile.core.Tensor
import org.exportmobile.core.TensorSpec
import org.exportmobile.core.imageLayout
import org.exportmobile.core.toDoubles

/** An output in four words. */
data class OutputSummary(val name: String, val low: Double, val high: Double, val mean: Double)

/** An input as a picture, its smallest value black and its largest white; null where it is no image. */
fun seen(input: Tensor, spec: TensorSpec): Pixels? {
    val layout = spec.imageLayout() ?: return null
    val values = input.toDoubles()
    val low = values.min()
    val range = (values.max() - low).takeIf { it > 0 } ?: 1.0
    val area = layout.height * layout.width

    fun level(pixel: Int, channel: Int): Int {
        val at = if (layout.channelsLast) pixel * layout.channels + channel else channel * area + pixel
        return ((values[at] - low) / range * 255).toInt()
    }
    val argb =
        IntArray(area) { pixel ->
            val (red, green, blue) = List(3) { level(pixel, minOf(it, layout.channels - 1)) }
            0xff shl 24 or (red shl 16) or (green shl 8) or blue
        }
    return Pixels(layout.width, layout.height, argb)
}

fun Pixels.bitmap(): Bitmap = Bitmap.createBitmap(argb, width, height, Bitmap.Config.ARGB_8888)

/** What outputs that are no class scores can be told apart by. */
fun summaries(outputs: List<Tensor>, specs: List<TensorSpec>): List<OutputSummary> =
    outputs.zip(specs) { output, spec ->
        val values = output.toDoubles()
        if (values.isEmpty()) return@zip OutputSummary("$spec", Double.NaN, Double.NaN, Double.NaN)
        OutputSummary("$spec", values.min(), values.max(), values.average())
    }
