package org.exportmobile.core

import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import kotlin.math.abs

class ParityTest {
    private val arrays = readNpz(resource("parity.npz"))

    @Test
    fun `metrics and verdicts are the exporter's`() {
        val cases = cases("parity.json")
        for (case in cases) {
            val name = case.text("name")
            val mismatch = case.textOrNull("mismatch")
            when {
                mismatch != null -> {
                    assertEquals(name, mismatch, assertThrows(Mismatch::class.java) { compared(case) }.message)
                }

                "refused" in case -> {
                    assertEquals(name, case.text("refused").sentence(), problem { compared(case) }.sentence())
                }

                else -> {
                    check(case, compared(case))
                }
            }
        }
        assertTrue("${cases.size} cases", cases.size > 30)
    }

    @Test
    fun `class scores are found where the exporter finds them`() {
        for (case in cases("top1.json")) {
            val outputs = case.listOrNull("outputs")!!.map(::spec)
            assertEquals("$outputs", case.numberOrNull("top1")?.toInt(), top1Output(outputs))
        }
    }

    @Test
    fun `nothing to compare is no pass`() {
        assertThrows(Mismatch::class.java) { Comparison(listOf(spec("y"))).parity() }
        assertThrows(Mismatch::class.java) { Comparison(emptyList()).apply { add(emptyList(), emptyList()) }.parity() }
    }

    @Test
    fun `golden samples are judged with what the exporter saw on them`() {
        val strict = Tolerance(minSqnrDb = 30.0, minAgreement = 0.9, maxDrop = 0.02)
        val seen = Parity(16, 0.1, 1.0, 25.0, 0.875, 0.875, 1.0)
        val artifact = artifact(strict, seen)
        assertNull(artifact.goldenProblem(seen.copy(sqnrDb = 22.1), random = false))
        assertEquals(
            "on the golden samples, SQNR 21.9 dB is below 22 dB",
            artifact.goldenProblem(seen.copy(sqnrDb = 21.9), random = false),
        )
        assertNotNull(artifact.goldenProblem(seen.copy(accuracy = 0.8), random = false))
        assertNotNull(artifact.goldenProblem(seen.copy(top1Agreement = 0.8), random = false))
        assertNotNull(artifact(strict, null).goldenProblem(seen, random = false))
    }

    @Test
    fun `what failed at export still fails`() {
        val failed = artifact(Tolerance(minSqnrDb = 10.0), null).copy(passed = false, reason = "too slow")
        assertEquals("too slow", failed.goldenProblem(Parity(1, 0.0, 1.0, 200.0), random = false))
    }

    @Test
    fun `without bounds there is no verdict`() {
        val sentence = problem { artifact(null, null).goldenProblem(Parity(1, 0.0, 1.0, 200.0), random = false) }
        assertTrue(sentence, "holds no tolerance to judge a.onnx by" in sentence)
    }

    @Test
    fun `numbers are written as Python writes them`() {
        assertEquals("1.23e-05", general(0.0000123456, 3))
        assertEquals("1.2e+201", general(1.2e201, 3))
        assertEquals("0.000123", general(0.000123456, 3))
        assertEquals("-12.5", general(-12.5))
        assertEquals("1e+06", general(999999.9))
        assertEquals("0", general(0.0))
        assertEquals("inf", general(Double.POSITIVE_INFINITY))
        assertEquals("0.12", fixed(0.125, 2))
        assertEquals("nan", fixed(Double.NaN, 1))
    }

    private fun check(case: JsonObject, found: Parity) {
        val name = case.text("name")
        val wanted = case.getValue("parity").jsonObject
        assertEquals(name, wanted.text("samples").toInt(), found.samples)
        near(name, wanted.numberOrNull("max_abs"), found.maxAbs)
        near(name, wanted.numberOrNull("cosine"), found.cosine)
        near(name, wanted.numberOrNull("sqnr_db"), found.sqnrDb)
        near(name, wanted.numberOrNull("top1_agreement"), found.top1Agreement)
        near(name, wanted.numberOrNull("accuracy"), found.accuracy)
        near(name, wanted.numberOrNull("reference_accuracy"), found.referenceAccuracy)
        assertEquals(name, wanted.textOrNull("worst_output"), found.worstOutput)
        val bounds = case.getValue("tolerance").jsonObject
        val tolerance =
            Tolerance(
                minSqnrDb = bounds.numberOrNull("min_sqnr_db"),
                atol = bounds.numberOrNull("atol"),
                minAgreement = bounds.numberOrNull("min_agreement"),
                maxDrop = bounds.numberOrNull("max_drop"),
                agreementOnRandom = bounds.flag("agreement_on_random"),
            )
        assertEquals(name, case.textOrNull("verdict"), judge(found, tolerance, case.flag("random")))
    }

    private fun near(name: String, wanted: Double?, found: Double?) {
        if (wanted == null || found == null || wanted.isNaN()) return assertEquals(name, wanted, found)
        assertTrue("$name: $found is not $wanted", abs(wanted - found) <= 1e-8 * maxOf(abs(wanted), 1e-12))
    }

    private fun compared(case: JsonObject): Parity {
        val comparison = Comparison(case.listOrNull("outputs")!!.map(::spec))
        val name = case.text("name")
        val wanted = columns(name, "wanted").map(::rows)
        val got = columns(name, "got").map(::rows)
        for (i in wanted[0].indices) comparison.add(wanted.map { it[i] }, got.map { it[i] })
        return comparison.parity(case.listOrNull("labels")?.map { it.jsonPrimitive.content.toInt() })
    }

    private fun columns(name: String, side: String): List<Tensor> =
        arrays.filterKeys { it.startsWith("$name/$side/") }.values.toList()

    private fun rows(column: Tensor): List<Tensor> {
        val rest = column.shape.drop(1)
        val size = column.bytes().limit() / column.shape[0]
        return List(column.shape[0]) { i ->
            val row = Tensor.zeros(column.dtype, rest)
            row.bytes().apply { for (k in 0 until size) put(k, column.bytes().get(i * size + k)) }
            row
        }
    }

    /** Without the exporter's hint. */
    private fun String.sentence() = substringBefore(". ").removeSuffix(".")

    private fun spec(name: String) = TensorSpec(name, listOf(1, 2), DType.FLOAT32)

    private fun artifact(tolerance: Tolerance?, goldenParity: Parity?) =
        Artifact(
            format = "onnx",
            precision = "int8",
            scheme = "static",
            passed = true,
            reason = null,
            file = "a.onnx",
            bytes = 1,
            sha256 = "00",
            sidecars = emptyMap(),
            parity = null,
            goldenParity = goldenParity,
            tolerance = tolerance,
            latency = null,
            notes = emptyList(),
            needs = Needs(),
            unusable = null,
        )
}
