package org.exportmobile.core

/** How an image is fitted to the model's size. */
enum class Fit { CROP, STRETCH }

/** Height and width in pixels. */
data class ImageSize(val height: Int, val width: Int)

/**
 * Image to tensor: (pixel / scale - mean) / std, where a pixel is 0 to 255.
 *
 * The layout (NCHW or NHWC) and the number of channels (3, or 1 for grey) are those of the model's input.
 *
 * @property size of the result; null is the model's input.
 * @property resize the shorter side is made this long before the centre is cut out; null makes the image just large
 *   enough for the cut.
 * @property fit [Fit.CROP] keeps proportions and cuts out the centre, [Fit.STRETCH] does neither.
 * @property mean subtracted, one value or one a channel, in the model's channel order.
 * @property std divided by, likewise.
 * @property scale what a pixel is divided by first.
 * @property bgr channel order of the model; false is RGB.
 * @property interpolation how the image is resized, always with anti-aliasing, as Pillow does it.
 */
data class Preprocess(
    val size: ImageSize? = null,
    val resize: Int? = null,
    val fit: Fit = Fit.CROP,
    val mean: List<Double> = listOf(0.0),
    val std: List<Double> = listOf(1.0),
    val scale: Double = 255.0,
    val bgr: Boolean = false,
    val interpolation: Interpolation = Interpolation.BILINEAR,
)

/** Where an image input has its height, width and channels. */
data class ImageLayout(val height: Int, val width: Int, val channels: Int, val channelsLast: Boolean)

/**
 * The image layout of an input (N, C, H, W), (N, H, W, C), (C, H, W) or (H, W, C) with C 1 or 3; null where it takes no
 * images.
 */
fun TensorSpec.imageLayout(): ImageLayout? {
    if (shape.size !in 3..4) return null
    val (a, b, c) = shape.takeLast(3)
    return when {
        a == 1 || a == 3 -> ImageLayout(b, c, a, channelsLast = false)
        c == 1 || c == 3 -> ImageLayout(a, b, c, channelsLast = true)
        else -> null
    }
}

/** Reads the manifest's `preprocessing`; what it leaves out is the default. */
internal fun Fields.preprocess(): Preprocess {
    val default = Preprocess()
    val size = counts("size")
    if (size != null && size.size != 2) damaged("size", "is no height and width")
    val result =
        Preprocess(
            size = size?.let { (height, width) -> ImageSize(height, width) },
            resize = countOrNull("resize")?.coerceAtMost(Int.MAX_VALUE.toLong())?.toInt(),
            fit = choice("fit", Fit.entries) ?: default.fit,
            mean = numbers("mean") ?: default.mean,
            std = numbers("std") ?: default.std,
            scale = numberOrNull("scale") ?: default.scale,
            bgr = choice("order", Order.entries) == Order.BGR,
            interpolation = choice("interpolation", Interpolation.entries) ?: default.interpolation,
        )
    refuseSenseless(result)
    return result
}

private enum class Order { RGB, BGR }

private fun <T : Enum<T>> Fields.choice(name: String, choices: List<T>): T? =
    textOrNull(name)?.let { text ->
        choices.firstOrNull { it.name.lowercase() == text } ?: damaged(name, "is $text, which this app does not know")
    }

private fun Fields.refuseSenseless(preprocess: Preprocess) {
    val size = preprocess.size
    if (size != null && (size.height !in SIDE || size.width !in SIDE)) damaged("size", "is no size of an image")
    if (preprocess.resize != null && preprocess.resize !in SIDE) damaged("resize", "is no size of an image")
    if (preprocess.scale <= 0) damaged("scale", "is not above 0")
    if (preprocess.mean.size !in CHANNELS) damaged("mean", "has neither one value nor three")
    if (preprocess.std.size !in CHANNELS || preprocess.std.any { it <= 0 }) {
        damaged("std", "is not one value or three, each above 0")
    }
}

private val SIDE = 1..16384
private val CHANNELS = listOf(1, 3)
