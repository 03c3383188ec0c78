package org.exportmobile.demo

import android.app.Activity
import android.view.View
import android.widget.Button
import android.widget.ScrollView
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.annotation.Config
import java.io.File

/** What the screens look like: pictures to look at, and what must hold of every one. */
class LooksTest : ScreenTest() {
    @Test
    fun phone() = everyScreen("phone")

    @Test
    @Config(qualifiers = "+night")
    fun night() = everyScreen("night")

    @Test
    @Config(qualifiers = SMALL, fontScale = 1.3f)
    fun `small with large letters`() = everyScreen("small")

    @Test
    @Config(qualifiers = SIDEWAYS)
    fun sideways() = everyScreen("sideways")

    @Test
    @Config(qualifiers = TABLET)
    fun tablet() = everyScreen("tablet")

    /**
     * The pictures of the README, written with -Dscreenshots.update; with -Dengine.hosts=FOLDER (`pte.json` and so on,
     * see [Hosted]) by the Android libraries.
     */
    @Test
    @Config(qualifiers = README)
    fun readme() {
        val hosts =
            listOf("pte", "onnx", "tflite").associateWith {
                File(System.getProperty("engine.hosts").orEmpty(), "$it.json")
            }
        val engines = hosts.filterValues { it.isFile }.map { (format, start) -> Hosted(format, start) }
        if (engines.isNotEmpty()) use(*engines.toTypedArray())
        val screen = tried()
        keep(screen, "try")
        compared(screen)
        keep(screen, "compare")
        engines.forEach { it.close() }
    }

    private fun keep(screen: Activity, name: String) {
        val picture = screen.shot("readme-$name")
        assertTrue("${picture.length()} bytes", picture.length() < 150_000)
        if (System.getProperty("screenshots.update") == null) return
        picture.copyTo(File(System.getProperty("screenshots"), "$name.png"), overwrite = true)
    }

    private fun everyScreen(name: String) {
        pushed("half-copied")
        check(models(), "$name-models")
        check(about(), "$name-about")
        val screen = tried()
        check(screen, "$name-try")
        compared(screen)
        check(screen, "$name-compare")
        screen.tap("Benchmark")
        screen.tap("50")
        screen.tap("Start")
        screen.await("Start again")
        check(screen, "$name-benchmark")
    }

    private fun tried(): Activity {
        val screen = model().get()
        screen.finger(screen.requireViewById(R.id.pad), SEVEN)
        await("the end") { session().trial.state.value.run { said.isNotEmpty() && !running } }
        assertEquals("7", screen.requireViewById<TextView>(R.id.big).text.toString())
        return screen
    }

    private fun compared(screen: Activity) {
        screen.tap("Compare")
        screen.tap("Compare all")
        screen.await("Compare again")
    }

    private fun check(screen: Activity, name: String) {
        screen.shot(name)
        assertEquals("$name: cut", emptyList<String>(), cut(screen))
        assertEquals("$name: too small to touch", emptyList<String>(), small(screen))
        assertEquals("$name: without a name", emptyList<String>(), nameless(screen))
    }

    /** Texts that do not fit into their views. */
    private fun cut(screen: Activity): List<String> =
        screen.window.decorView
            .all()
            .filterIsInstance<TextView>()
            .filter { it.seen() }
            .filter { view ->
                val layout = view.layout ?: return@filter false
                val ellipsis = (0 until layout.lineCount).any { layout.getEllipsisCount(it) > 0 }
                val broken = view is Button && layout.lineCount > 1
                val outside = view.parent !is ScrollView && view.bottom > (view.parent as View).height
                ellipsis || broken || outside ||
                    layout.height > view.height - view.compoundPaddingTop - view.compoundPaddingBottom
            }.map { it.text.toString() }

    private fun small(screen: Activity): List<String> {
        val least = (48 * screen.resources.displayMetrics.density).toInt()
        return screen.window.decorView
            .all()
            .filter { it.seen() && it.isClickable }
            .filter {
                minOf(it.width, it.height) <
                    least
            }.map {
                "${it.javaClass.simpleName} ${it.width}x${it.height} of $least: ${texts(it)}${it.contentDescription}"
            }
    }

    /** What TalkBack could only call "unlabelled". */
    private fun nameless(screen: Activity): List<String> =
        screen.window.decorView
            .all()
            .filter { it.seen() && (it.isClickable || it is android.widget.ImageView) }
            .filter { it.contentDescription.isNullOrEmpty() && texts(it).isEmpty() }
            .map { it.toString() }
}
