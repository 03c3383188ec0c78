package org.exportmobile.demo

import android.app.Application
import org.exportmobile.core.EngineKind
import java.io.File

/** What lives as long as the process: the work goes on while screens come and go. */
abstract class DemoApp : Application() {
    /** This app's runtimes. They are not loaded before they are used. */
    abstract val engines: List<EngineKind>

    /** The app's own version. */
    val version: String get() = packageManager.getPackageInfo(packageName, 0).versionName.orEmpty()
    val worker by lazy { Worker() }
    val device by lazy { Device(this) }
    val models by lazy { Models(Shelf(this), worker, ::forgetReplaced) }
    private val sessions = HashMap<File, Session>()

    /** The work on the model in [folder]: always the same one, unless it could not be read or was replaced. */
    fun session(folder: File): Session =
        sessions[folder]?.takeIf { it.reading.value.problem == null }
            ?: Session(folder, Loader(this, engines, device), Photos(this), worker).also { sessions[folder] = it }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        if (level >= TRIM_MEMORY_BACKGROUND) sessions.values.forEach { it.release() }
    }

    private fun forgetReplaced(entries: List<Entry>) {
        for (entry in entries) {
            val model = sessions[entry.folder]?.reading?.value?.model ?: continue
            if (model.stamp != entry.stamp) sessions.remove(entry.folder)?.close()
        }
    }
}
