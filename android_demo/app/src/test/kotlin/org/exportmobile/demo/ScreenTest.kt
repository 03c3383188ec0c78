package org.exportmobile.demo

import android.app.Activity
import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.system.OsConstants
import org.exportmobile.core.EngineKind
import org.junit.After
import org.junit.Before
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowBuild
import org.robolectric.shadows.ShadowOs
import java.io.File

/** Screens with real layouts, real text and a real runtime. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], qualifiers = PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
abstract class ScreenTest {
    protected val app: DemoApp get() = RuntimeEnvironment.getApplication() as DemoApp
    private val controllers = mutableListOf<ActivityController<*>>()

    @Before
    fun device() {
        val made = File(requireNotNull(System.getProperty("models")), "manifest.json")
        check(made.isFile) { "$made is missing: run the quickstart first" }
        val memory = ActivityManager.MemoryInfo().apply { totalMem = 8_000_000_000 }.apply { availMem = 3_000_000_000 }
        shadowOf(app.getSystemService(ActivityManager::class.java)).setMemoryInfo(memory)
        ShadowOs.setSysconfValue(OsConstants._SC_PAGESIZE, 4096)
        ShadowBuild.setSupportedAbis(arrayOf("x86_64"))
    }

    @After
    fun close() {
        controllers.forEach { it.close() }
        DemoApplication.kinds = DemoApplication.usual
    }

    /** A folder as if it had been pushed to the app. */
    protected fun pushed(name: String): File = File(app.getExternalFilesDir("models"), name).apply { mkdirs() }

    protected fun use(vararg kinds: EngineKind) {
        DemoApplication.kinds = kinds.toList()
    }

    protected fun models(): Activity = start(ModelsActivity::class.java).get().also { it.await(MODEL) }

    protected fun about(): Activity = start(AboutActivity::class.java).get().also { it.await("Page size") }

    /** The digits' screen. */
    protected fun model(): ActivityController<ModelActivity> {
        val controller = opening(entry().folder)
        controller.get().await("Next sample")
        return controller
    }

    protected fun opening(folder: File): ActivityController<ModelActivity> =
        start(ModelActivity::class.java) { ModelActivity.intent(it, folder) }

    protected fun session(): Session = app.session(entry().folder)

    /** The digits, as the list finds them. */
    protected fun entry(): Entry {
        app.models.refresh()
        await("the list") { app.models.state.value.entries?.isNotEmpty() ?: false }
        val entries = app.models.state.value.entries.orEmpty()
        return entries.firstOrNull { it.manifest?.name == MODEL } ?: throw AssertionError("no $MODEL among $entries")
    }

    private fun <T : Activity> start(
        kind: Class<T>,
        intent: (Context) -> Intent = {
            Intent(it, kind)
        },
    ): ActivityController<T> = Robolectric.buildActivity(kind, intent(app)).setup().also { controllers += it }

    protected companion object {
        const val MODEL = "digits_deit_traced"
    }
}
