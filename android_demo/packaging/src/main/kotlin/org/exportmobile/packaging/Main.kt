package org.exportmobile.packaging

import java.nio.file.Path
import kotlin.io.path.Path
import kotlin.io.path.createDirectories
import kotlin.io.path.deleteIfExists
import kotlin.io.path.exists
import kotlin.io.path.extension
import kotlin.io.path.isDirectory
import kotlin.io.path.listDirectoryEntries
import kotlin.io.path.moveTo
import kotlin.io.path.name
import kotlin.io.path.walk
import kotlin.system.exitProcess

/** What every model folder has beside its artifacts. */
private val COMMON = setOf("manifest.json", "golden.npz")

/** `verify APK...` prints the schemes of each signature; `pack --name value...` makes an APK (see apk/pom.xml). */
fun main(words: Array<String>) {
    try {
        when (words.firstOrNull()) {
            "verify" -> words.drop(1).forEach { println(schemes(Path(it)).joinToString(" ")) }
            "pack" -> pack(Options(words.drop(1)))
            else -> throw Problem("The first word must be verify or pack.")
        }
    } catch (problem: Problem) {
        System.err.println("packaging: ${problem.message}")
        exitProcess(2)
    }
}

private fun pack(options: Options) {
    val minSdk = options.number("--min-sdk")
    val scratch = options.path("--scratch").createDirectories()
    val password =
        System.getenv("EXPORT_MOBILE_KEY_PASSWORD") ?: throw Problem("EXPORT_MOBILE_KEY_PASSWORD is not set.")
    val identity = Identity.of(options.path("--keystore"), options.one("--key-alias"), password.toCharArray())
    val models = models(options.paths("--models"), options.one("--formats").split(","))
    val libraries = libraries(options.path("--native"), options.one("--abi"))
    val dex = Dex(classFiles(options.paths("--program")), options.paths("--library"), options.paths("--rules"), minSdk)
    val classes = Entry("classes.dex", dex.write(scratch.resolve("dex")), stored = false)

    val unsigned = scratch.resolve("unsigned.apk")
    val signed = scratch.resolve("signed.apk")
    assemble(options.path("--linked"), listOf(classes) + libraries + models, unsigned)
    sign(unsigned, identity, minSdk, signed)
    unsigned.deleteIfExists()
    // Nobody finds half an APK under the final name.
    signed.moveTo(options.path("--output").also { it.parent.createDirectories() }, overwrite = true)
}

/** Jars as they are, and the class files of folders. */
private fun classFiles(classPath: List<Path>): List<Path> =
    classPath.flatMap {
        if (it.isDirectory()) {
            it
                .walk()
                .filter { file ->
                    file.extension == "class"
                }.sorted()
        } else {
            sequenceOf(it)
        }
    }

/** `assets/models/<folder>/...` of what the app can run: files with a suffix of [formats] and [COMMON]. */
private fun models(folders: List<Path>, formats: List<String>): List<Entry> {
    folders.groupBy { it.name }.values.firstOrNull { it.size > 1 }?.let {
        throw Problem("Two model folders are named ${it.first().name}; rename one.")
    }
    return folders.flatMap { folder ->
        if (!folder.resolve("manifest.json").exists()) {
            throw Problem("$folder has no manifest.json; give an output folder of export-mobile.")
        }
        folder
            .listDirectoryEntries()
            .filter { it.name in COMMON || it.extension in formats }
            .map { Entry("assets/models/${folder.name}/${it.name}", it, stored = it.extension != "json") }
    }
}

private fun libraries(folder: Path, abi: String): List<Entry> {
    val place = folder.resolve(abi)
    if (!place.isDirectory()) throw Problem("There are no native libraries for $abi in $folder.")
    return place.listDirectoryEntries("*.so").map { Entry("lib/$abi/${it.name}", it, stored = true) }
}
