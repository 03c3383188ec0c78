@file:Suppress("DEPRECATION", "removal") // the security manager is the JVM's only witness of every file

package org.exportmobile.demo

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.security.Permission
import java.util.concurrent.CopyOnWriteArrayList

/** What StrictMode would tell on a device: Robolectric's files are the JVM's, which it does not watch. */
class MainThreadTest : ScreenTest() {
    @Test
    fun `no model's file is touched on the main thread`() {
        val witness = Witness(Thread.currentThread(), app.dataDir.path)
        System.setSecurityManager(witness)
        try {
            val screen = model().get()
            screen.tap("Next sample")
            screen.await("artifacts says ")
            screen.tap("Compare")
            screen.tap("Compare all")
            screen.await("Compare again")
        } finally {
            System.setSecurityManager(null)
        }
        assertEquals(emptyList<String>(), witness.onMain.toSet().toList())
        assertTrue("the witness saw the worker's files", witness.elsewhere.any { it.endsWith(".onnx") })
    }

    private class Witness(private val main: Thread, private val home: String) : SecurityManager() {
        val onMain = CopyOnWriteArrayList<String>()
        val elsewhere = CopyOnWriteArrayList<String>()

        override fun checkPermission(permission: Permission) = Unit

        override fun checkRead(file: String) = note(file)

        override fun checkWrite(file: String) = note(file)

        private fun note(file: String) {
            if (!file.startsWith("$home/files/models")) return
            if (Thread.currentThread() === main) onMain += file else elsewhere += file
        }
    }
}
