package org.exportmobile.core

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class MeasureTest {
    private var now = 0L
    private var runs = 0

    /** The first run takes 100 ms, later ones 1, 2, 3 ... ms. */
    private fun run() {
        now += if (runs == 0) 100_000_000L else runs * 1_000_000L
        runs++
    }

    @Test
    fun `the cold run and the warm-up are apart`() {
        val told = mutableListOf<Pair<Int, Int>>()
        val tell = { done: Int, all: Int -> told.plusAssign(done to all) }
        val timing = measure(Plan(warmup = 2, runs = 3), progress = tell, clock = { now }) { run() }
        assertEquals(Timing(100.0, listOf(3.0, 4.0, 5.0), stopped = false), timing)
        assertEquals((1..6).map { it to 6 }, told)
        assertEquals(4.0, timing.p50!!, 0.0)
        assertEquals(3.0, timing.min!!, 0.0)
    }

    @Test
    fun `it stops when asked`() {
        val timing = measure(Plan(warmup = 1, runs = 10), stop = { runs == 4 }, clock = { now }) { run() }
        assertEquals(Timing(100.0, listOf(2.0, 3.0), stopped = true), timing)
    }

    @Test
    fun `stopped at once there is a cold run and nothing made up`() {
        val timing = measure(Plan(), stop = { true }, clock = { now }) { run() }
        assertEquals(Timing(100.0, emptyList(), stopped = true), timing)
        assertNull(timing.p50)
        assertNull(timing.min)
    }

    @Test
    fun `a run that fails is not swallowed`() {
        assertThrows(Problem::class.java) { measure(Plan()) { throw Problem("broken") } }
        assertThrows(IllegalArgumentException::class.java) { Plan(runs = 0) }
    }

    @Test
    fun `percentiles are the exporter's`() {
        for (case in cases("latency.json")) {
            val samples = case.listOrNull("samples_ms")!!.map { it.jsonPrimitive.content.toDouble() }
            val timing = Timing(0.0, samples, stopped = false)
            assertEquals(case.numberOrNull("p50")!!, timing.p50!!, 1e-9)
            assertEquals(case.numberOrNull("p90")!!, timing.p90!!, 1e-9)
            assertEquals(case.numberOrNull("p99")!!, timing.p99!!, 1e-9)
            assertEquals(case.numberOrNull("min")!!, timing.min!!, 0.0)
        }
    }

    @Test
    fun `a report is JSON with what is not known as null`() {
        val run =
            BenchmarkRun(
                file = "a.onnx",
                format = "onnx",
                precision = "int8",
                scheme = "static",
                library = "ONNX Runtime 1.29.0",
                threads = 2,
                coldMs = 3.5,
                samplesMs = listOf(1.0, 2.0),
                p50 = 1.5,
                parity = Parity(16, 0.1, 0.99, 30.0),
                verdict = "pass",
            )
        val device = DeviceFacts("Pixel 7", "Android 14", "arm64-v8a", 8, 4096)
        val text = BenchmarkReport("digits", "2026-11-21T12:00:00Z", "0.1.0", device, runs = listOf(run)).toJson()
        val json = Json.parseToJsonElement(text).jsonObject
        assertEquals("4096", json.getValue("device").jsonObject.text("page_size"))
        val found = json.listOrNull("runs")!!.single().jsonObject
        assertEquals("[1.0,2.0]", found.getValue("samples_ms").toString())
        assertEquals("30.0", found.getValue("parity").jsonObject.text("sqnr_db"))
        assertEquals(JsonNull, found.getValue("thermal_before"))
    }

    @Test
    fun `a report is small enough to be handed to another app`() {
        val device = DeviceFacts("Pixel 7", "Android 14", "arm64-v8a", 8, 4096)

        fun report(runs: Int): JsonObject {
            val samples = List(1000) { 1.0 / (it + 3) }
            val run =
                BenchmarkRun(
                    "a.onnx",
                    "onnx",
                    "int8",
                    "static",
                    "ORT 1",
                    1,
                    samplesMs = samples,
                    p50 = 1.0,
                    verdict = "pass",
                )
            val text = BenchmarkReport("digits", "", "0.1.0", device, runs = List(runs) { run }).toJson()
            assertTrue("${text.length}", text.length <= 100_000)
            return Json.parseToJsonElement(text).jsonObject
        }

        fun JsonObject.samples() = listOrNull("runs")!!.first().jsonObject.listOrNull("samples_ms")!!
        assertEquals(listOf("0.3333", "0.25", "0.2", "0.1667"), report(4).samples().take(4).map { it.toString() })
        assertEquals("false", report(4).text("samples_left_out"))
        assertEquals(0, report(40).samples().size)
        assertEquals("true", report(40).text("samples_left_out"))
        assertEquals(40, report(40).listOrNull("runs")!!.size)
    }

    @Test
    fun `a parity that could not be computed does not end the report`() {
        val device = DeviceFacts("Pixel 7", "Android 14", "arm64-v8a", 8, 4096)
        val parity = Parity(16, Double.NaN, 1.0, 30.0)
        val run = BenchmarkRun("a.pte", "pte", "fp32", "float", "ExecuTorch 1", 1, parity = parity, verdict = "fail")
        val text = BenchmarkReport("digits", "", "0.1.0", device, runs = listOf(run)).toJson()
        val found = Json.parseToJsonElement(text).jsonObject.listOrNull("runs")!!
        assertEquals(JsonNull, found.single().jsonObject["parity"])
    }

    @Test
    fun `answers are the likeliest classes`() {
        val specs = listOf(TensorSpec("logits", listOf(1, 3), DType.FLOAT32))
        val answers = topAnswers(listOf(Tensor.of(floatArrayOf(1f, 3f, 2f), listOf(1, 3))), specs, 2)
        assertEquals(listOf(1, 2), answers.map { it.index })
        assertEquals(0.6652, answers[0].share, 1e-4)
        val shares = topAnswers(listOf(Tensor.of(floatArrayOf(0.1f, 0.7f, 0.2f), listOf(1, 3))), specs, 3)
        assertEquals(0.7, shares[0].share, 1e-6)
        assertEquals(3, shares.size)
    }

    @Test
    fun `what is no class has no answers`() {
        val specs = listOf(TensorSpec("y", listOf(1, 2), DType.FLOAT32))

        fun answers(vararg values: Float, found: List<TensorSpec> = specs) =
            topAnswers(listOf(Tensor.of(values, listOf(1, 2))), found, 3)

        assertTrue(answers(Float.NaN, 1f).isEmpty())
        assertTrue("a direction", answers(0.6f, -0.8f).isEmpty())
        assertTrue(answers(1f, 2f, found = listOf(specs[0].copy(name = "embedding"))).isEmpty())
        assertEquals(2, answers(1f, 2f).size)
    }
}
