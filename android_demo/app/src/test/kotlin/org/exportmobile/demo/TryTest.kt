package org.exportmobile.demo

import android.app.Activity
import android.app.ActivityManager
import android.content.ComponentCallbacks2
import android.content.Intent
import android.net.Uri
import org.exportmobile.core.Problem
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import java.util.concurrent.CountDownLatch

class TryTest : ScreenTest() {
    @Test
    fun `a drawn seven is a seven`() {
        val screen = model().get()
        screen.finger(screen.requireViewById(R.id.pad), SEVEN)
        screen.await("1 of 4 artifacts says 7")
        ended()
        assertTrue(screen.says("the kernel aten::gelu.out is missing"))
        assertTrue(screen.says("not built for memory pages of 16 KB"))
        assertTrue(screen.says("has no PyTorch Lite"))
        screen.tap("Clear")
        assertFalse(screen.says("artifacts says 7"))
    }

    @Test
    fun `the golden samples are read as the original reads them`() {
        val screen = model().get()
        val labels = requireNotNull(session().reading.value.model?.golden?.labels)
        repeat(3) { i ->
            screen.tap("Next sample")
            screen.await("Sample ${i + 1} of 16, label ${labels[i]}")
            screen.await("The original model says ${labels[i]}")
            screen.await("artifacts says ${labels[i]}")
        }
    }

    @Test
    fun `a drawing and its answers survive rotation`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val controller = model()
        controller.get().run { finger(requireViewById(R.id.pad), SEVEN) }
        assertTrue(session().trial.state.value.running)
        controller.recreate()
        slow.gate.countDown()
        val screen = controller.get()
        screen.await("artifacts says 7")
        assertEquals(1, screen.requireViewById<DrawView>(R.id.pad).strokes.size)
    }

    @Test
    fun `strokes drawn while it runs are answered by one more run`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val screen = model().get()
        val pad = screen.requireViewById<DrawView>(R.id.pad)
        repeat(4) { i -> screen.finger(pad, SEVEN.map { (x, y) -> x * .8f to y * (.7f + i * .05f) }) }
        slow.gate.countDown()
        ended()
        val given = session().trial.state.value.shown?.given as Given.Drawing
        assertEquals(4, given.strokes.size)
        assertEquals(1, slow.loads.get())
    }

    @Test
    fun `what was cleared while it ran does not come back`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val screen = model().get()
        screen.finger(screen.requireViewById(R.id.pad), SEVEN)
        screen.tap("Clear")
        slow.gate.countDown()
        await("the end") { session().trial.state.value == TrialState() }
        assertFalse(screen.says("artifacts says 7"))
    }

    @Test
    fun `a model larger than memory is a sentence`() {
        use(Slow(failure = OutOfMemoryError("no room")))
        val screen = model().get()
        screen.tap("Next sample")
        screen.await("does not fit into this device’s memory")
    }

    @Test
    fun `a failure while it runs is a sentence`() {
        use(Slow(failure = Problem("The file is damaged.")))
        val screen = model().get()
        screen.tap("Next sample")
        screen.await("The file is damaged.")
    }

    @Test
    fun `what was loaded is closed with the screen`() {
        val slow = Slow()
        use(slow)
        val controller = model()
        controller.get().tap("Next sample")
        ended()
        assertEquals(1, slow.open.get())
        controller.get().finish()
        controller.destroy()
        await("closing") { slow.open.get() == 0 }
    }

    @Test
    fun `what is drawn last is not run for a screen that is gone`() {
        val slow = Slow(gate = CountDownLatch(1))
        use(slow)
        val controller = model()
        val screen = controller.get()
        repeat(2) { screen.finger(screen.requireViewById(R.id.pad), SEVEN) }
        screen.finish()
        controller.pause().stop().destroy()
        slow.gate.countDown()
        ended()
        await("closing") { slow.open.get() == 0 }
        assertEquals(1, slow.loads.get())
    }

    @Test
    fun `memory is given back in the background`() {
        val slow = Slow()
        use(slow)
        model().get().tap("Next sample")
        ended()
        app.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN)
        app.worker.run {}
        assertEquals(1, slow.open.get())
        app.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND)
        await("closing") { slow.open.get() == 0 }
    }

    @Test
    fun `a photo that its app does not give is a sentence`() {
        val photo = Uri.parse("content://photos/1")
        shadowOf(app.contentResolver).registerInputStreamSupplier(photo) { throw IllegalStateException("no session") }
        val screen = model().get()
        session().trial.run(requireNotNull(session().reading.value.model), Given.Photo(photo))
        screen.await("That file is no picture that this device can read")
    }

    @Test
    fun `a photo that was picked before the model is read is tried when it is`() {
        val folder = entry().folder
        val gate = CountDownLatch(1)
        app.worker.run(gate::await)
        val screen = opening(folder).get()
        val pick = Intent(Intent.ACTION_OPEN_DOCUMENT)
        screen.startActivityForResult(pick, TryPage.PICK)
        val photo = Uri.parse("content://photos/2")
        shadowOf(app.contentResolver).registerInputStreamSupplier(photo) { ByteArray(0).inputStream() }
        shadowOf(screen).receiveResult(pick, Activity.RESULT_OK, Intent().setData(photo))
        gate.countDown()
        screen.await("That file is no picture that this device can read")
    }

    @Test
    fun `a model that only just fits is not loaded`() {
        use(DesktopOnnx)
        val onnx = requireNotNull(entry().manifest).artifacts.first { it.format == "onnx" }
        val free = 2 * requireNotNull(onnx.bytes)
        val memory = ActivityManager.MemoryInfo().apply { threshold = 1_000_000 }
        val screen = model().get()
        for ((more, refused) in listOf(-1 to true, 0 to false)) {
            memory.availMem = memory.threshold + free + more
            shadowOf(app.getSystemService(ActivityManager::class.java)).setMemoryInfo(memory)
            session().trial.release()
            screen.tap("Next sample")
            ended()
            assertEquals(refused, screen.says("may take twice that while it loads"))
        }
    }

    private fun ended() = await("the end") { session().trial.state.value.run { said.isNotEmpty() && !running } }
}
