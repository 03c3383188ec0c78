package org.exportmobile.demo

import android.app.Activity
import android.content.Intent
import android.view.View
import android.widget.RadioButton
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Signature
import org.exportmobile.core.Tensor
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import java.io.File
import java.util.concurrent.CountDownLatch

/** Compare and Benchmark. */
class JobTest : ScreenTest() {
    @Test
    fun `compare runs every artifact and says why one fails`() {
        val screen = model().get()
        screen.tap("Compare")
        assertEquals(4, screen.texts().count { it == "not run" })
        screen.tap("Compare all")
        screen.await("Compare again")
        assertEquals(1, screen.texts().count { it == "pass" })
        assertEquals(3, screen.texts().count { it == "cannot run" })
        assertTrue(screen.says("the kernel aten::gelu.out is missing"))
        val outcome = session().comparison.state.value.outcomes.first { it.artifact.format == "onnx" }
        assertEquals(16, outcome.parity?.samples)
        assertEquals(30, outcome.timing?.samples?.size)
    }

    @Test
    fun `wrong outputs fail by the exporter's rule`() {
        use(Wrong)
        val screen = model().get()
        screen.tap("Compare")
        screen.tap("Compare all")
        screen.await("Compare again")
        assertEquals(0, screen.texts().count { it == "pass" })
        assertEquals(1, screen.texts().count { it == "fail" })
        assertTrue(screen.texts().toString(), screen.says("On the golden samples"))
    }

    @Test
    fun `it goes on while the screen is turned`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val controller = model()
        controller.get().tap("Compare")
        controller.get().tap("Compare all")
        controller.recreate()
        assertTrue(session().comparison.state.value.running)
        assertTrue(controller.get().texts().toString(), controller.get().says("Cancel"))
        slow.gate.countDown()
        controller.get().await("Compare again")
        assertEquals(1, slow.loads.get())
        assertEquals(1, controller.get().texts().count { it == "pass" })
    }

    @Test
    fun `it goes on while the app is put away`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val controller = model()
        controller.get().tap("Compare")
        controller.get().tap("Compare all")
        controller.pause().stop()
        slow.gate.countDown()
        await("the end") { !session().comparison.state.value.running }
        controller.start().resume()
        controller.get().await("pass")
    }

    @Test
    fun `a benchmark that was put away says so`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val controller = model()
        controller.get().tap("Benchmark")
        controller.get().tap("50")
        controller.get().tap("Start")
        controller.recreate()
        assertFalse("turning is no interruption", session().benchmark.state.value.interrupted)
        controller.pause().stop()
        slow.gate.countDown()
        await("the end") { !session().benchmark.state.value.running }
        controller.restart().start().resume()
        controller.get().await("The app was put away meanwhile")
        val model = requireNotNull(session().reading.value.model)
        assertTrue(report(session().benchmark.state.value, model, app).interrupted)
        session().benchmark.start(model, requireNotNull(session().benchmark.state.value.settings))
        await("the next") { !session().benchmark.state.value.running }
        assertFalse("the next is a new one", session().benchmark.state.value.interrupted)
    }

    @Test
    fun `the screen stays on and the reader silent while a job runs`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val screen = model().get()
        screen.tap("Compare")
        screen.tap("Compare all")
        val page = screen.requireViewById<View>(R.id.page)
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_NONE, screen.status().accessibilityLiveRegion)
        screen.tap("Try")
        assertTrue(page.keepScreenOn)
        screen.tap("Compare")
        slow.gate.countDown()
        screen.await("Compare again")
        assertFalse(page.keepScreenOn)
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, screen.status().accessibilityLiveRegion)
    }

    @Test
    fun `what was left runs no longer`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val controller = model()
        controller.get().tap("Compare")
        controller.get().tap("Compare all")
        controller.get().finish()
        controller.pause().stop().destroy()
        slow.gate.countDown()
        await("the end") { !session().comparison.state.value.running }
        assertTrue(session().comparison.state.value.stopped)
    }

    @Test
    fun `a benchmark is cancelled by a second tap, and never runs twice`() {
        val slow = Slow(pause = 20)
        use(slow)
        val screen = model().get()
        screen.tap("Benchmark")
        screen.tap("1000")
        screen.tap("Start")
        val model = requireNotNull(session().reading.value.model)
        session().benchmark.start(model, requireNotNull(session().benchmark.state.value.settings))
        await("some runs") { (session().benchmark.state.value.progress?.done ?: 0) > 8 }
        screen.tap("Cancel")
        screen.await("Stopped early")
        val timing = requireNotNull(session().benchmark.state.value.outcomes.first { it.timing != null }.timing)
        assertTrue(timing.stopped)
        assertTrue("${timing.samples.size}", timing.samples.size in 1..999)
        assertEquals(1, slow.loads.get())
    }

    @Test
    fun `a benchmark is shared as JSON`() {
        val screen = model().get()
        screen.tap("Benchmark")
        screen.tap("50")
        screen.tap("Start")
        screen.await("Start again")
        assertTrue(screen.says("Thermal status: none before, none after"))
        screen.tap("Try")
        screen.tap("Benchmark")
        assertTrue(screen.requireViewById<RadioButton>(R.id.runs_50).isChecked)
        screen.tap("Share the JSON")
        val chooser = shadowOf(screen).nextStartedActivity

        @Suppress("DEPRECATION")
        val send = requireNotNull(chooser.getParcelableExtra<Intent>(Intent.EXTRA_INTENT))
        assertEquals(Intent.ACTION_SEND, send.action)
        assertEquals("text/plain", send.type)
        val report = Json.parseToJsonElement(requireNotNull(send.getStringExtra(Intent.EXTRA_TEXT))).jsonObject
        val runs = report.getValue("runs").jsonArray.map { it.jsonObject }
        assertEquals(listOf("pte", "onnx", "tflite", "ptl"), runs.map { it.getValue("format").jsonPrimitive.content })
        assertEquals(50, runs[1].getValue("samples_ms").jsonArray.size)
        assertEquals("pass", runs[1].getValue("verdict").jsonPrimitive.content)
        assertFalse(runs[0].getValue("problem").jsonPrimitive.content.isEmpty())
    }

    private fun Activity.status() = requireViewById<View>(R.id.status)

    /** Answers with the classes in reverse. */
    private object Wrong : EngineKind by DesktopOnnx {
        override fun load(file: File, signature: Signature, threads: Int): Engine {
            val engine = DesktopOnnx.load(file, signature, threads)
            return object : Engine by engine {
                override fun run(inputs: List<Tensor>): List<Tensor> =
                    engine.run(inputs).map { output ->
                        val values = FloatArray(output.count).also { output.bytes().asFloatBuffer().get(it) }
                        Tensor.of(values.reversedArray(), output.shape)
                    }
            }
        }
    }
}
