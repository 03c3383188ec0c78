package org.exportmobile.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File

class GoldenTest {
    @get:Rule
    val scratch = TemporaryFolder()

    private val signature = readManifest(resource(MANIFEST).readText()).signature
    private val whole = readNpz(resource("golden.npz"))

    @Test
    fun `samples come in the signature's order`() {
        val golden = Golden.open(resource("golden.npz"), signature)
        assertEquals(4, golden.count)
        assertEquals(listOf(0, 1, 2, 1), golden.labels)
        val samples = golden.samples().use { it.asSequence().toList() }
        assertEquals(listOf(0, 1, 2, 1), samples.map { it.label })
        for ((i, sample) in samples.withIndex()) {
            assertEquals(signature.inputs.map { it.shape to it.dtype }, sample.inputs.map { it.shape to it.dtype })
            assertEquals(signature.outputs.map { it.shape to it.dtype }, sample.outputs.map { it.shape to it.dtype })
            assertEquals(part("input/ids", i), sample.inputs[0].toDoubles().toList())
            assertEquals(part("output/state", i), sample.outputs[1].toDoubles().toList())
        }
        assertEquals(part("input/ids", 2), golden.sample(2).inputs[0].toDoubles().toList())
        assertThrows(NoSuchElementException::class.java) { golden.sample(4) }
    }

    @Test
    fun `the original agrees with itself`() {
        val golden = Golden.open(resource("golden.npz"), signature)
        val comparison = Comparison(signature.outputs)
        golden.samples().use { samples -> for (sample in samples) comparison.add(sample.outputs, sample.outputs) }
        assertEquals(200.0, comparison.parity(golden.labels).sqnrDb, 0.0)
    }

    @Test
    fun `without labels there are none`() {
        val golden = Golden.open(written(whole - "labels"), signature)
        assertNull(golden.labels)
        assertNull(golden.sample(0).label)
    }

    @Test
    fun `data of another model are refused`() {
        val ids = whole.getValue("input/ids")
        refused(whole - "output/state", "no array output/state")
        refused(whole + ("output/state" to whole.getValue("output/logits")), "the model has state (float16 2)")
        refused(whole + ("input/ids" to Tensor.zeros(DType.INT32, ids.shape)), "the model has ids (int64 1x6)")
        refused(whole + ("input/ids" to Tensor.zeros(DType.INT64, emptyList())), "the model has ids (int64 1x6)")
    }

    @Test
    fun `arrays that do not count the same samples are refused`() {
        refused(whole + ("input/ids" to Tensor.zeros(DType.INT64, listOf(3, 1, 6))), "its arrays hold [3, 4] samples")
        refused(whole + ("labels" to Tensor.zeros(DType.INT64, listOf(5))), "its arrays hold [4, 5] samples")
        val none = whole.mapValues { (_, tensor) -> Tensor.zeros(tensor.dtype, listOf(0) + tensor.shape.drop(1)) }
        refused(none, "holds no samples")
    }

    @Test
    fun `labels that are no classes are refused`() {
        refused(whole + ("labels" to Tensor.zeros(DType.FLOAT32, listOf(4))), "its labels are float32 of shape (4,)")
        refused(whole + ("labels" to Tensor.zeros(DType.INT64, listOf(4, 1))), "its labels are int64 of shape (4, 1)")
        val negative = Tensor.zeros(DType.INT64, listOf(4)).also { it.bytes().putLong(-1) }
        refused(whole + ("labels" to negative), "label -1 is no class")
    }

    @Test
    fun `there are no samples after the last`() {
        Golden.open(resource("golden.npz"), signature).samples().use { samples ->
            repeat(4) { samples.next() }
            assertFalse(samples.hasNext())
        }
    }

    private fun refused(arrays: Map<String, Tensor>, why: String) {
        val sentence = problem { Golden.open(written(arrays), signature) }
        assertTrue(sentence, why in sentence)
    }

    private fun written(arrays: Map<String, Tensor>): File =
        scratch.newFile().also { writeNpz(it.outputStream(), arrays) }

    private fun part(name: String, index: Int): List<Double> {
        val tensor = whole.getValue(name)
        val size = tensor.count / tensor.shape[0]
        return tensor.toDoubles().toList().subList(index * size, (index + 1) * size)
    }
}
