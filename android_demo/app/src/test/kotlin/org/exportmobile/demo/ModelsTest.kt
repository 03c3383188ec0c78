package org.exportmobile.demo

import android.app.Activity
import android.content.ComponentName
import android.content.Intent
import android.content.pm.ActivityInfo
import android.content.pm.ProviderInfo
import android.net.Uri
import android.provider.DocumentsContract
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.Bars
import java.io.File

class ModelsTest : ScreenTest() {
    private val made = File(requireNotNull(System.getProperty("models")))

    @Test
    fun `the app's own model is copied once and listed`() {
        val screen = models()
        assertTrue(screen.says("1×1×28×28 float32 → 1×10 float32"))
        assertTrue(screen.says("In the app"))
        val manifest = File(entry().folder, "manifest.json")
        manifest.setLastModified(1_000_000)
        entry()
        assertEquals(1_000_000, manifest.lastModified())
    }

    @Test
    fun `broken folders are listed with their sentence`() {
        pushed("empty")
        File(pushed("cut"), "manifest.json").writeText("{\"schema_version\": 2, ")
        File(pushed("later"), "manifest.json").writeText("{\"schema_version\": 99}")
        val screen = models()
        assertTrue(screen.says("manifest.json is missing; choose the folder that export-mobile wrote."))
        val problems = app.models.state.value.entries.orEmpty().mapNotNull { it.problem }
        assertEquals(problems.toString(), 3, problems.toSet().size)
    }

    @Test
    fun `a pushed folder opens`() {
        made.copyRecursively(pushed("mine"))
        val screen = models()
        screen.await("Pushed")
        screen.window.decorView
            .all()
            .last { view ->
                view.isClickable && texts(view).any { "Pushed" in it }
            }.performClick()
        val intent = shadowOf(screen).nextStartedActivity
        assertEquals(pushed("mine").path, intent.getStringExtra("folder"))
    }

    @Test
    fun `a pushed folder that was replaced is read again`() {
        made.copyRecursively(pushed("mine"))
        models().await("Pushed")
        val session = app.session(pushed("mine"))
        await("reading") { session.reading.value.model != null }
        models().await("Pushed")
        assertSame(session, app.session(pushed("mine")))
        File(pushed("mine"), "manifest.json").appendText(" ")
        app.models.refresh()
        await("forgetting") { app.session(pushed("mine")).run { this !== session && reading.value.model != null } }
    }

    @Test
    fun `pushed folders are listed where the app's own do not fit`() {
        val own = requireNotNull(entry().folder.parentFile)
        assertTrue(own.deleteRecursively() && own.createNewFile())
        made.copyRecursively(pushed("mine"))
        val screen = models()
        screen.await("digits cannot be copied")
        assertEquals(listOf(Origin.PUSHED), app.models.state.value.entries.orEmpty().map { it.origin })
    }

    @Test
    fun `a double tap opens one screen`() {
        for (screen in listOf(ModelActivity::class.java, AboutActivity::class.java)) {
            val info = app.packageManager.getActivityInfo(ComponentName(app, screen), 0)
            assertEquals(ActivityInfo.LAUNCH_SINGLE_TOP, info.launchMode)
        }
    }

    @Test
    fun `an artifact that is gone is a sentence`() {
        made.copyRecursively(pushed("mine"))
        pushed("mine").listFiles { file -> file.name.endsWith(".onnx") }.orEmpty().forEach { it.delete() }
        val session = app.session(pushed("mine"))
        await("reading") { session.reading.value.model != null }
        session.comparison.start(requireNotNull(session.reading.value.model), SETTINGS)
        await("the end") { !session.comparison.state.value.running }
        val problem = session.comparison.state.value.outcomes.first { it.artifact.format == "onnx" }.problem
        assertTrue(problem, problem.orEmpty().contains("is missing"))
    }

    @Test
    fun `a folder chosen in the system's picker is copied in`() {
        val tree = picked(made)
        val screen = models()
        screen.tap("Open a folder")
        val request = shadowOf(screen).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT_TREE, request.intent.action)
        shadowOf(screen).receiveResult(request.intent, Activity.RESULT_OK, Intent().setData(tree))
        screen.await("Opened")
        val entry = app.models.state.value.entries.orEmpty().last()
        assertEquals(MODEL, entry.manifest?.name)
        assertFalse("only what the manifest names is copied", File(entry.folder, "report.html").exists())
    }

    @Test
    fun `a folder without a manifest is refused and leaves nothing`() {
        val tree = picked(File(app.cacheDir, "photos").apply { mkdirs() })
        val screen = models()
        app.models.open(tree)
        screen.await("manifest.json is missing in photos")
        assertEquals(1, app.models.state.value.entries.orEmpty().size)
    }

    @Test
    fun `nothing lies below the system bars`() {
        Bars.show()
        try {
            val screen = models()
            val insets = requireNotNull(screen.window.decorView.rootWindowInsets)
            val place = IntArray(2).also { screen.requireViewById<android.view.View>(R.id.bar).getLocationInWindow(it) }
            assertTrue("${insets.systemWindowInsetTop}", insets.systemWindowInsetTop > 0)
            assertEquals(insets.systemWindowInsetTop, place[1])
            val scroll = screen.requireViewById<android.view.View>(R.id.scroll)
            assertEquals(insets.systemWindowInsetBottom, scroll.paddingBottom)
        } finally {
            Bars.hide()
        }
    }

    private fun picked(folder: File): Uri {
        val info = ProviderInfo().apply { authority = AUTHORITY }
        Robolectric.buildContentProvider(FolderProvider::class.java).create(info).get().folder = folder
        return DocumentsContract.buildTreeDocumentUri(AUTHORITY, "root")
    }

    private companion object {
        const val AUTHORITY = "org.exportmobile.documents"
        val SETTINGS = Settings(org.exportmobile.core.Plan(warmup = 0, runs = 1), threads = 1)
    }
}
