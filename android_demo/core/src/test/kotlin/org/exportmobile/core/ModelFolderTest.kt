package org.exportmobile.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.io.RandomAccessFile
import java.security.MessageDigest

class ModelFolderTest {
    @get:Rule
    val scratch = TemporaryFolder()

    private val folder get() = scratch.root

    @Before
    fun write() {
        val digest = MessageDigest.getInstance("SHA-256")

        fun sha256(text: String) = digest.digest(text.toByteArray()).joinToString("") { "%02x".format(it) }

        val sidecars = """"sidecars": {"m.data": "${sha256("weights")}"}"""
        val text = MINIMAL.replace("ab".repeat(32), sha256("graph")).replace(""""sidecars": {}""", sidecars)
        File(folder, MANIFEST).writeText(text)
        File(folder, "m.onnx").writeText("graph")
        File(folder, "m.data").writeText("weights")
    }

    @Test
    fun `files are given once they are seen to be those that were exported`() {
        val model = ModelFolder(folder)
        val artifact = model.manifest.artifacts.single()
        assertEquals(File(folder, "m.onnx"), model.file(artifact))
        File(folder, "m.data").writeText("heights")
        assertTrue("m.data has changed since the export" in problem { model.file(artifact) })
        File(folder, "m.onnx").delete()
        assertTrue("m.onnx is missing" in problem { model.file(artifact) })
    }

    @Test
    fun `what cannot be used is not given`() {
        val model = ModelFolder(folder)
        val artifact = model.manifest.artifacts.single().copy(unusable = "It is odd.")
        assertEquals("It is odd.", problem { model.file(artifact) })
    }

    @Test
    fun `a folder without a manifest is refused`() {
        File(folder, MANIFEST).delete()
        assertTrue("manifest.json is missing" in problem { ModelFolder(folder) })
        File(folder, MANIFEST).mkdir()
        assertTrue("manifest.json is missing" in problem { ModelFolder(folder) })
    }

    @Test
    fun `a folder that cannot be listed is not said to be empty`() {
        assertTrue("may not read the folder" in problem { ModelFolder(File(folder, MANIFEST)) })
    }

    @Test
    fun `a manifest as large as a model is not read`() {
        RandomAccessFile(File(folder, MANIFEST), "rw").use { it.setLength(40_000_000) }
        assertTrue("of 40 MB is none" in problem { ModelFolder(folder) })
    }

    @Test
    fun `golden data are the exported ones`() {
        assertTrue("without golden data" in problem { ModelFolder(folder).golden() })
        resource(MANIFEST).copyTo(File(folder, MANIFEST), overwrite = true)
        resource("golden.npz").copyTo(File(folder, "golden.npz"))
        assertEquals(4, ModelFolder(folder).golden().count)
        File(folder, "golden.npz").appendText(" ")
        assertTrue("golden.npz has changed" in problem { ModelFolder(folder).golden() })
    }

    @Test
    fun `the quickstart's own folder is understood where it was made`() {
        val made = File("../../digits-deit-mobile")
        assumeTrue("no quickstart was run here", File(made, MANIFEST).isFile)
        val model = ModelFolder(made)
        assertEquals(emptyList<String>(), model.manifest.remarks)
        assertTrue(model.manifest.artifacts.all { model.file(it).isFile })
        val golden = model.golden()
        assertEquals(model.manifest.golden?.samples, golden.count)
        val samples = golden.samples().use { it.asSequence().toList() }
        val right = samples.count { best(it, model.manifest.signature) == it.label }
        assertEquals("the original model knows its golden samples", golden.count, right)
    }

    private fun best(sample: GoldenSample, signature: Signature) =
        topAnswers(sample.outputs, signature.outputs, 1).single().index
}
