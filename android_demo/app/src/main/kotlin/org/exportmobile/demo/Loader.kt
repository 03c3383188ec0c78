package org.exportmobile.demo

import android.content.Context
import org.exportmobile.core.Artifact
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.ModelFolder
import org.exportmobile.core.Problem

/** Loads artifacts with this app's runtimes. Not for the main thread. */
class Loader(private val context: Context, private val kinds: List<EngineKind>, val device: Device) {
    /** The runtime of a format, if this app has it. */
    fun kind(format: String): EngineKind? = kinds.firstOrNull { it.format == format }

    /**
     * @throws Problem this app, this device or the runtime cannot load it.
     */
    fun load(folder: ModelFolder, artifact: Artifact, threads: Int): Engine =
        guarded {
            artifact.file ?: throw Problem(context.getString(R.string.no_file, artifact.reason.orEmpty()))
            artifact.unusable?.let { throw Problem(it) }
            val kind = kind(artifact.format) ?: throw Problem(noEngine(artifact.format))
            kind.refusal(device.machine)?.let { throw Problem(it) }
            refuseLarge(artifact.bytes ?: 0)
            kind.load(folder.file(artifact), folder.manifest.signature, threads)
        }

    /** Runs [task]; a model larger than memory is a [Problem] as well. */
    fun <T> guarded(task: () -> T): T =
        try {
            task()
        } catch (error: OutOfMemoryError) {
            throw Problem(context.getString(R.string.out_of_memory), error)
        }

    /** Native memory has no OutOfMemoryError: Android ends the process instead. Libraries may copy what they load. */
    private fun refuseLarge(bytes: Long) {
        val (_, free) = device.memory()
        if (2 * bytes > free) {
            throw Problem(context.getString(R.string.too_large, bytesText(context, bytes), bytesText(context, free)))
        }
    }

    private fun noEngine(format: String): String =
        when {
            format == "ptl" -> context.getString(R.string.no_engine_ptl)
            kinds.all { it.format == "ptl" } -> context.getString(R.string.no_engine_legacy)
            else -> context.getString(R.string.no_engine, format)
        }
}
