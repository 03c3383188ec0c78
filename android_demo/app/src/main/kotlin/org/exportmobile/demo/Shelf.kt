package org.exportmobile.demo

import android.content.Context
import android.net.Uri
import org.exportmobile.core.MANIFEST
import org.exportmobile.core.Manifest
import org.exportmobile.core.ModelFolder
import org.exportmobile.core.Problem
import java.io.File
import java.io.IOException

/** Where a model came from. */
enum class Origin(val title: Int) {
    APP(R.string.origin_app),
    PUSHED(R.string.origin_pushed),
    OPENED(R.string.origin_opened),
}

/**
 * A folder of the list.
 *
 * @property manifest null where the folder is broken; [problem] then says why.
 */
data class Entry(val folder: File, val origin: Origin, val stamp: Stamp, val manifest: Manifest?, val problem: String?)

/** Tells a manifest from another one at its place; zeros where there is none. Reads the folder. */
data class Stamp(val modified: Long, val bytes: Long) {
    constructor(folder: File) : this(File(folder, MANIFEST).lastModified(), File(folder, MANIFEST).length())
}

/** @property problem why the folders in the app are not all there; null where they are. */
data class Found(val entries: List<Entry>, val problem: String?)

/** What is wrong with [task], as a sentence; null where it was done. */
fun problemOf(task: () -> Unit): String? =
    try {
        task()
        null
    } catch (problem: Problem) {
        problem.message
    }

/** The folders of models that this app can reach. Not for the main thread. */
class Shelf(private val context: Context) {
    private val packed by lazy { File(context.filesDir, "models/app-${installed()}") }
    private val opened by lazy { File(context.filesDir, "models/opened") }

    /** All folders, those in the app first. */
    fun look(): Found {
        val problem = problemOf { unpack() }
        val pushed = context.getExternalFilesDir("models")
        val homes = listOf(Origin.APP to packed, Origin.PUSHED to pushed, Origin.OPENED to opened)
        return Found(homes.flatMap { (origin, home) -> folders(home).map { entry(it, origin) } }, problem)
    }

    /**
     * Copies a folder that the user chose; one of the same name is replaced.
     *
     * @throws Problem it is no folder of models, or there is no room for it.
     */
    fun open(tree: Uri) {
        val documents = Documents(context.contentResolver, tree)
        aside(File(opened, documents.name)) { part ->
            documents.copy(MANIFEST, part)
            val manifest = ModelFolder(part).manifest
            val artifacts = manifest.artifacts.flatMap { listOfNotNull(it.file) + it.sidecars.keys }
            (artifacts + listOfNotNull(manifest.golden?.file)).toSet().forEach { documents.copy(it, part) }
        }
    }

    private fun folders(home: File?): List<File> =
        home?.listFiles { file -> file.isDirectory && !file.name.endsWith(PART) }.orEmpty().sorted()

    private fun entry(folder: File, origin: Origin): Entry {
        val stamp = Stamp(folder)
        return try {
            Entry(folder, origin, stamp, ModelFolder(folder).manifest, null)
        } catch (problem: Problem) {
            Entry(folder, origin, stamp, null, problem.message)
        }
    }

    /** Copies the models in the app to where libraries can open them; again whenever the app was updated. */
    private fun unpack() {
        val old = packed.parentFile?.listFiles { file -> file.name.startsWith("app-") && file != packed }
        old.orEmpty().forEach { it.deleteRecursively() }
        for (name in context.assets.list(ASSETS).orEmpty().map { it.substringBefore('/') }.distinct()) {
            val folder = File(packed, name)
            if (!folder.exists()) aside(folder) { part -> unpack("$ASSETS/$name", part) }
        }
    }

    private fun unpack(from: String, part: File) {
        for (name in context.assets.list(from).orEmpty()) {
            context.assets.open("$from/$name").use { asset -> File(part, name).outputStream().use { asset.copyTo(it) } }
        }
    }

    /** Fills a folder aside and renames it at the end, so that a half-copied one is never seen. */
    private fun aside(folder: File, fill: (File) -> Unit) {
        val part = File(folder.parentFile, folder.name + PART)
        part.deleteRecursively()
        try {
            if (!part.mkdirs()) throw IOException("${part.name} cannot be made")
            fill(part)
            folder.deleteRecursively()
            if (!part.renameTo(folder)) throw IOException("${part.name} cannot be renamed")
        } catch (error: IOException) {
            throw Problem("${folder.name} cannot be copied: ${error.message}.", error)
        } finally {
            part.deleteRecursively()
        }
    }

    private fun installed() = context.packageManager.getPackageInfo(context.packageName, 0).lastUpdateTime

    private companion object {
        const val ASSETS = "models"
        const val PART = ".part"
    }
}
