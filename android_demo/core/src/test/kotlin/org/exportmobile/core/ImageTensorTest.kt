package org.exportmobile.core

import kotlinx.serialization.json.JsonObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class ImageTensorTest {
    private val arrays = readNpz(resource("images.npz"))
    private val spec = TensorSpec("pixels", listOf(1, 3, 4, 4), DType.FLOAT32)
    private val image = Pixels(5, 4, IntArray(20) { it * 0x010203 })

    @Test
    fun `every image becomes the exporter's tensor`() {
        val cases = cases("images.json")
        for (case in cases) {
            val name = case.text("name")
            val found = imageTensor(pixels(case.text("image")), preprocess(case), spec(case.getValue("input")))
            val wanted = arrays.getValue("tensor/$name")
            assertEquals(name, wanted.dtype, found.dtype)
            assertEquals(name, wanted.shape, found.shape)
            assertArrayEquals(name, wanted.toDoubles(), found.toDoubles(), 0.0)
        }
        assertTrue("${cases.size} cases", cases.size > 25)
    }

    @Test
    fun `layouts are told apart`() {
        assertEquals(ImageLayout(5, 6, 3, false), spec.copy(shape = listOf(1, 3, 5, 6)).imageLayout())
        assertEquals(ImageLayout(5, 6, 1, true), spec.copy(shape = listOf(5, 6, 1)).imageLayout())
        assertNull(spec.copy(shape = listOf(1, 2, 5, 6)).imageLayout())
        assertNull(spec.copy(shape = listOf(1, 3)).imageLayout())
    }

    @Test
    fun `what does not fit is refused`() {
        val three = Preprocess(mean = listOf(0.1, 0.2, 0.3))
        val refused =
            listOf(
                Triple(spec.copy(shape = listOf(1, 128)), Preprocess(), "takes no image"),
                Triple(spec.copy(shape = listOf(2, 3, 4, 4)), Preprocess(), "takes 2 images at once"),
                Triple(spec, Preprocess(size = ImageSize(5, 4)), "makes images of 5x4"),
                Triple(spec, Preprocess(resize = 3), "resizes this image to 3x3"),
                Triple(spec.copy(shape = listOf(1, 1, 4, 4)), three, "for 3 channels"),
                Triple(spec.copy(dtype = DType.UINT8), three, "whole numbers"),
                Triple(spec.copy(dtype = DType.INT8), Preprocess(), "cannot hold pixels"),
            )
        for ((input, preprocess, words) in refused) {
            val sentence = problem { imageTensor(image, preprocess, input) }
            assertTrue(sentence, words in sentence)
        }
    }

    @Test
    fun `an image like a thread does not take all memory`() {
        val thread = Pixels(40_000, 1, IntArray(40_000))
        assertTrue("too long and narrow" in problem { imageTensor(thread, Preprocess(), spec) })
    }

    @Test
    fun `half floats are rounded to the nearest, ties to even`() {
        for (bits in 0..0xffff) {
            val value = halfToFloat(bits.toShort())
            if (!value.isNaN()) assertEquals(bits.toShort(), floatToHalf(value))
        }
        assertTrue(halfToFloat(floatToHalf(Float.NaN)).isNaN())
        assertEquals(1f, halfToFloat(floatToHalf(1f + 1f / 2048)))
        assertEquals(1f + 1f / 512, halfToFloat(floatToHalf(1f + 3f / 2048)))
        assertEquals(Float.POSITIVE_INFINITY, halfToFloat(floatToHalf(65520f)))
        assertEquals(65504f, halfToFloat(floatToHalf(65519f)))
    }

    private fun assertEquals(wanted: Float, found: Float) = assertEquals(wanted, found, 0f)

    private fun pixels(name: String): Pixels {
        val array = arrays.getValue("image/$name")
        val (height, width) = array.shape
        val values = array.toLongs().map { it.toInt() }
        val rgb = values.chunked(3) { (red, green, blue) -> (red shl 16) + (green shl 8) + blue }
        return Pixels(width, height, rgb.toIntArray())
    }

    private fun preprocess(case: JsonObject): Preprocess? =
        (case["preprocess"] as? JsonObject)?.let { Fields.read(it, "", mutableListOf()) { preprocess() } }
}
