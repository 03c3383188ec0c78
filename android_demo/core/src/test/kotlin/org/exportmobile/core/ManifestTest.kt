package org.exportmobile.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test

class ManifestTest {
    private val text = resource(MANIFEST).readText()
    private val sha = "ab".repeat(32)

    @Test
    fun `what today's exporter writes is understood, all of it`() {
        val manifest = readManifest(text)
        assertEquals(emptyList<String>(), manifest.remarks)
        assertEquals("deit", manifest.name)
        assertEquals(Source("deit.pt", "TorchScript archive (traced)", 22_700_000, emptyList()), manifest.source)
        assertEquals(TensorSpec("ids", listOf(1, 6), DType.INT64, 0, 90), manifest.signature.inputs[0])
        assertEquals(TensorSpec("state", listOf(2), DType.FLOAT16), manifest.signature.outputs[1])
        assertEquals(Provenance("digits.npz", 360, random = false, labelled = true), manifest.evaluation)
        assertEquals("evaluation data", manifest.evidence)
        assertEquals(ImageSize(224, 224), manifest.preprocessing?.size)
        assertEquals(listOf(0.485, 0.456, 0.406), manifest.preprocessing?.mean)
        assertEquals(4, manifest.golden?.samples)
        assertEquals(listOf("a note"), manifest.notes)
        assertEquals(listOf("ptl", "pte", "onnx", "tflite"), manifest.artifacts.map { it.format })
    }

    @Test
    fun `an artifact brings what it is judged and shown by`() {
        val onnx = readManifest(text).artifacts[2]
        assertTrue(onnx.passed)
        assertNull(onnx.unusable)
        assertEquals("onnx int8 static", onnx.title)
        assertEquals("deit.onnx", onnx.file)
        assertEquals(mapOf("deit.onnx.data" to "12".repeat(32)), onnx.sidecars)
        assertEquals(31.4, onnx.parity!!.sqnrDb, 0.0)
        assertEquals(onnx.parity, onnx.goldenParity)
        assertEquals(Tolerance(minSqnrDb = 10.0, maxDrop = 0.02), onnx.tolerance)
        assertEquals(17.1, onnx.latency!!.p50, 0.0)
    }

    @Test
    fun `an artifact without a file says why`() {
        val failed = readManifest(text).artifacts[3]
        assertFalse(failed.passed)
        assertNull(failed.tolerance)
        assertTrue(failed.unusable!!, "has no kernel" in failed.unusable)
    }

    @Test
    fun `needs are read where they are`() {
        val needs = "{'facts': {'opset': '20', 'IR version': '9'}, 'lacking': ['PyTorch Lite 1.12.2 lacks aten::foo']}"
        val manifest = readManifest(changed("'format': 'onnx'" to "'format': 'onnx', 'needs': $needs"))
        val found = manifest.artifacts[0].needs
        assertEquals(listOf("opset" to "20", "IR version" to "9"), found.facts.toList())
        assertEquals(listOf("PyTorch Lite 1.12.2 lacks aten::foo"), found.lacking)
        assertEquals(Needs(), readManifest(MINIMAL).artifacts[0].needs)
        assertEquals(emptyList<String>(), manifest.remarks)
    }

    @Test
    fun `one strange artifact leaves the others usable`() {
        val strange =
            mapOf(
                "'format': 'onnx'" to "'format': 'gguf'",
                "'precision': 'fp32'" to "'precision': 'int4'",
                "'scheme': 'float'" to "'scheme': 'magic'",
                "'verdict': 'pass'" to "'verdict': 'maybe'",
            )
        for ((known, unknown) in strange) {
            val artifact = readManifest(changed(known to unknown)).artifacts.single()
            val value = unknown.substringAfter(": ").trim('\'')
            assertTrue("${artifact.unusable}", artifact.unusable!!.endsWith("$value; a newer one may."))
            assertNotNull(artifact.file)
        }
    }

    @Test
    fun `further fields are told, not refused`() {
        val colour = "'format': 'onnx'" to "'format': 'onnx', 'colour': 'blue'"
        val manifest = readManifest(changed(colour, "'name': 'm'" to "'name': 'm', 'weight': 3"))
        assertEquals(
            listOf("manifest.json holds what this app does not know and left out: artifacts[0].colour, weight."),
            manifest.remarks,
        )
        assertNull(manifest.artifacts[0].unusable)
    }

    @Test
    fun `another version is refused`() {
        refused("'schema_version': 2" to "'schema_version': 3", "has schema version 3, this app reads 2")
        refused("'schema_version': 2," to "", "schema_version is missing")
    }

    @Test
    fun `damage is named`() {
        refused("'name': 'm'," to "", "is damaged: name is missing")
        refused("'name': 'm'" to "'name': 3", "name is no text")
        refused("'max_abs': 0.5" to "'max_abs': '0.5'", "artifacts[0].parity.max_abs is no number")
        refused("'max_abs': 0.5" to "'max_abs': NaN", "artifacts[0].parity.max_abs is no number")
        refused("'max_abs': 0.5" to "'max_abs': 1e999", "artifacts[0].parity.max_abs is no number")
        refused("'samples': 8" to "'samples': -8", "artifacts[0].parity.samples is negative")
        refused("'samples': 8" to "'samples': 8.5", "artifacts[0].parity.samples is no whole number")
        refused("[1, 2]" to "[1, -2]", "signature.inputs[0].shape[1] is negative")
        refused("[1, 2]" to "[1, 2e9]", "signature.inputs[0].shape[1] is no whole number")
        refused("[1, 2]" to "{}", "signature.inputs[0].shape is no list")
        refused(sha to "ab", "artifacts[0].sha256 is no sha256")
        refused("'artifacts': [" to "'artifacts': [3, ", "artifacts[0] is no object")
        refused("'random': false" to "'random': 0", "evaluation.random is neither true nor false")
    }

    @Test
    fun `a verdict without what backs it is refused`() {
        refused("'bytes': 9," to "", "verdict is pass, but file, bytes, sha256 or parity is missing")
        refused("'verdict': 'pass'" to "'verdict': 'fail'", "verdict is fail, but reason is missing")
    }

    @Test
    fun `what is no JSON is refused with its line`() {
        refused("'name': 'm'," to "'name' 'm',", "is damaged in line 3: that is no JSON")
        assertTrue("is no JSON" in problem { readManifest(MINIMAL.dropLast(9)) })
        assertTrue("holds no JSON object" in problem { readManifest("[]") })
        assertTrue("is damaged" in problem { readManifest("") })
    }

    @Test
    fun `names that climb out of the folder are refused`() {
        for (name in listOf("../a.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "a\\\\b", "")) {
            refused("'file': 'm.onnx'" to "'file': '$name'", "which is no plain file name")
        }
        refused("'sidecars': {}" to "'sidecars': {'../m.data': '$sha'}", "which is no plain file name")
        refused("'golden': null" to "'golden': {'file': '../g.npz', 'sha256': '', 'samples': 1}", "no plain file name")
    }

    @Test
    fun `a model that this app cannot run is refused`() {
        refused("'dtype': 'int64'" to "'dtype': 'complex64'", "x holds complex64, an element type that this app")
        refused("[1, 2]" to "[70000, 70000]", "takes 39 GB, too much for this app")
    }

    @Test
    fun `a preprocessing that makes no sense is refused`() {
        val wrong =
            mapOf(
                "{'size': [224]}" to "size is no height and width",
                "{'size': [0, 4]}" to "size is no size of an image",
                "{'resize': 99999}" to "resize is no size of an image",
                "{'scale': 0}" to "scale is not above 0",
                "{'mean': [1, 2]}" to "mean has neither one value nor three",
                "{'std': [1, 0, 1]}" to "std is not one value or three, each above 0",
                "{'order': 'gbr'}" to "order is gbr, which this app does not know",
                "{'fit': 'pad'}" to "fit is pad, which this app does not know",
                "{'interpolation': 'box'}" to "interpolation is box, which this app does not know",
            )
        for ((json, why) in wrong) refused("'preprocessing': null" to "'preprocessing': $json", "preprocessing.$why")
    }

    private fun refused(change: Pair<String, String>, why: String) {
        val sentence = problem { readManifest(changed(change)) }
        assertTrue(sentence, why in sentence)
    }

    /** The minimal manifest with texts replaced, which are written with apostrophes for JSON's quotes. */
    private fun changed(vararg changes: Pair<String, String>): String =
        changes.fold(MINIMAL) { text, (old, new) ->
            assertTrue("the text holds $old", old.quoted() in text)
            text.replaceFirst(old.quoted(), new.quoted())
        }

    private fun String.quoted() = replace('\'', '"')
}
