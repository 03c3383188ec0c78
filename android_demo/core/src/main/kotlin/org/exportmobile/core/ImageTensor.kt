package org.exportmobile.core

/**
 * Pixels of an image, upright.
 *
 * @property argb row by row, 8 bits each of alpha, red, green and blue, the alpha ignored.
 */
class Pixels(val width: Int, val height: Int, val argb: IntArray) {
    init {
        require(width > 0 && height > 0 && argb.size == width * height) { "${argb.size} are not $width x $height" }
    }
}

/**
 * Prepares an image for a model's input exactly as the exporter does (its `image_tensor`).
 *
 * @param preprocess what the manifest says; null fills the input with pixels from 0 to 1.
 * @return a tensor of the input's shape and dtype; an integer input gets the pixels as they are.
 * @throws Problem the input takes no single image, or the preprocessing does not fit it or the image.
 */
fun imageTensor(image: Pixels, preprocess: Preprocess?, spec: TensorSpec): Tensor {
    val settings = preprocess ?: Preprocess()
    val layout = spec.imageLayout() ?: throw Problem("Input $spec takes no image of 1 or 3 channels.")
    val size = settings.size ?: ImageSize(layout.height, layout.width)
    refuseMisfit(settings, size, layout, spec)
    val planes = planesOf(image, layout.channels).map { it.fitted(settings, size) }
    return fill(if (settings.bgr) planes.reversed() else planes, settings, layout, spec)
}

private fun refuseMisfit(settings: Preprocess, size: ImageSize, layout: ImageLayout, spec: TensorSpec) {
    if (spec.shape.size == 4 && spec.shape[0] != 1) {
        throw Problem("Input $spec takes ${spec.shape[0]} images at once; export with a batch of 1.")
    }
    if (size != ImageSize(layout.height, layout.width)) {
        throw Problem("The preprocessing makes images of ${size.height}x${size.width}; input $spec takes others.")
    }
    if (spec.dtype.floating) {
        if (layout.channels == 1 && maxOf(settings.mean.size, settings.std.size) > 1) {
            throw Problem("The preprocessing has mean and std for 3 channels, input $spec has 1.")
        }
    } else if (spec.dtype == DType.BOOL || spec.dtype == DType.INT8) {
        throw Problem("Input $spec cannot hold pixels from 0 to 255.")
    } else if (settings.mean.any { it != 0.0 } || settings.std.any { it != 1.0 }) {
        throw Problem("Input $spec takes whole numbers; mean and std of the preprocessing cannot apply to it.")
    }
}

private fun planesOf(image: Pixels, channels: Int): List<Plane> =
    if (channels == 1) {
        listOf(planeOf(image) { luminance(it) })
    } else {
        listOf(planeOf(image) { it shr 16 }, planeOf(image) { it shr 8 }, planeOf(image) { it })
    }

private inline fun planeOf(image: Pixels, value: (argb: Int) -> Int): Plane =
    Plane(image.width, image.height, ByteArray(image.argb.size) { value(image.argb[it]).toByte() })

/** ITU-R 601-2 in Pillow's fixed point. */
private fun luminance(argb: Int): Int {
    val red = argb shr 16 and 0xff
    val green = argb shr 8 and 0xff
    val blue = argb and 0xff
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) shr 16
}

/** Resizes and cuts out the centre; rounds as the exporter does: halves to the even number. */
private fun Plane.fitted(settings: Preprocess, size: ImageSize): Plane {
    if (settings.fit == Fit.STRETCH) return resized(size.width, size.height, settings.interpolation)
    val whole = sizeBeforeCut(settings, size)
    if (whole.width < size.width || whole.height < size.height) {
        throw Problem(
            "The preprocessing resizes this image to ${whole.height}x${whole.width}, " +
                "smaller than ${size.height}x${size.width}; take a larger image, or export with a larger resize.",
        )
    }
    val left = Math.rint((whole.width - size.width) / 2.0).toInt()
    val top = Math.rint((whole.height - size.height) / 2.0).toInt()
    return resized(whole.width, whole.height, settings.interpolation).cut(left, top, size)
}

private fun Plane.sizeBeforeCut(settings: Preprocess, size: ImageSize): ImageSize {
    val short = minOf(width, height)
    val ratio = maxOf(size.width.toDouble() / width, size.height.toDouble() / height)
    val newHeight = settings.resize?.let { it.toLong() * height / short } ?: Math.rint(height * ratio).toLong()
    val newWidth = settings.resize?.let { it.toLong() * width / short } ?: Math.rint(width * ratio).toLong()
    if (maxOf(newHeight, newWidth) > LONGEST || newHeight * newWidth > LARGEST) {
        throw Problem("This image of ${height}x$width is too long and narrow to be resized for the model.")
    }
    if (settings.resize != null) return ImageSize(newHeight.toInt(), newWidth.toInt())
    return ImageSize(maxOf(size.height, newHeight.toInt()), maxOf(size.width, newWidth.toInt()))
}

/** Pixels on a side, and in all, that are resized to at most: an app's memory is small. */
private const val LONGEST = 1L shl 16
private const val LARGEST = 1L shl 26

private fun Plane.cut(left: Int, top: Int, size: ImageSize): Plane {
    if (size.width == width && size.height == height) return this
    val result = ByteArray(size.width * size.height)
    for (y in 0 until size.height) {
        values.copyInto(result, y * size.width, (top + y) * width + left, (top + y) * width + left + size.width)
    }
    return Plane(size.width, size.height, result)
}

private fun fill(planes: List<Plane>, settings: Preprocess, layout: ImageLayout, spec: TensorSpec): Tensor {
    val tensor = Tensor.zeros(spec.dtype, spec.shape)
    val put = writer(tensor)
    val area = layout.height * layout.width
    for ((channel, plane) in planes.withIndex()) {
        val level = if (spec.dtype.floating) levels(settings, channel) else null
        for (i in 0 until area) {
            val pixel = plane.values[i].toInt() and 0xff
            val at = if (layout.channelsLast) i * planes.size + channel else channel * area + i
            put(at, level?.get(pixel) ?: pixel.toFloat())
        }
    }
    return tensor
}

/** What each of the 256 pixel values becomes: float64 until the end, as the exporter counts. */
private fun levels(settings: Preprocess, channel: Int): FloatArray {
    val mean = settings.mean.getOrElse(channel) { settings.mean[0] }
    val std = settings.std.getOrElse(channel) { settings.std[0] }
    return FloatArray(256) { ((it / settings.scale - mean) / std).toFloat() }
}

private fun writer(tensor: Tensor): (Int, Float) -> Unit {
    val bytes = tensor.bytes()
    return when (tensor.dtype) {
        DType.FLOAT16 -> bytes.asShortBuffer().let { b -> { i, v -> b.put(i, floatToHalf(v)) } }
        DType.FLOAT32 -> bytes.asFloatBuffer().let { b -> { i, v -> b.put(i, v) } }
        DType.FLOAT64 -> bytes.asDoubleBuffer().let { b -> { i, v -> b.put(i, v.toDouble()) } }
        DType.INT16 -> bytes.asShortBuffer().let { b -> { i, v -> b.put(i, v.toInt().toShort()) } }
        DType.INT32 -> bytes.asIntBuffer().let { b -> { i, v -> b.put(i, v.toInt()) } }
        DType.INT64 -> bytes.asLongBuffer().let { b -> { i, v -> b.put(i, v.toLong()) } }
        DType.UINT8, DType.INT8, DType.BOOL -> { i, v -> bytes.put(i, v.toInt().toByte()) }
    }
}
