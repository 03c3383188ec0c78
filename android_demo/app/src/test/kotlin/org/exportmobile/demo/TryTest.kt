package org.exportmobile.demo

import org.exportmobile.core.Problem
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import java.util.concurrent.CountDownLatch

class TryTest : ScreenTest() {
    @Test
    fun `a drawn seven is a seven`() {
        val screen = model().get()
        screen.finger(screen.requireViewById(R.id.pad), SEVEN)
        screen.await("1 of 4 artifacts say 7")
        ended()
        assertTrue(screen.says("the kernel aten::gelu.out is missing"))
        assertTrue(screen.says("not built for memory pages of 16 KB"))
        assertTrue(screen.says("has no PyTorch Lite"))
        screen.tap("Clear")
        assertFalse(screen.says("say 7"))
    }

    @Test
    fun `the golden samples are read as the original reads them`() {
        val screen = model().get()
        val labels = requireNotNull(session().reading.value.model?.golden?.labels)
        repeat(3) { i ->
            screen.tap("Next sample")
            screen.await("Sample ${i + 1} of 16, label ${labels[i]}")
            screen.await("The original model says ${labels[i]}")
            screen.await("say ${labels[i]}")
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
        screen.await("say 7")
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
        assertFalse(screen.says("say 7"))
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

    private fun ended() = await("the end") { session().trial.state.value.run { said.isNotEmpty() && !running } }
}
