package org.exportmobile.core

import java.io.File
import java.io.IOException
import java.security.MessageDigest

private const val LARGEST_MANIFEST = 32L shl 20

/**
 * A folder that the exporter wrote.
 *
 * @throws Problem there is no manifest, or it is damaged; see [readManifest].
 */
class ModelFolder(val folder: File) {
    val manifest: Manifest = readManifest(manifestText(File(folder, MANIFEST)))

    /**
     * The file of an artifact, once it and its sidecars are seen to be those that were exported. Reads them whole.
     *
     * @throws Problem it cannot be used, or a file is missing or has changed.
     */
    fun file(artifact: Artifact): File {
        artifact.unusable?.let { throw Problem(it) }
        val name = artifact.file ?: throw Problem("There is no file of ${artifact.title}.")
        (mapOf(name to artifact.sha256) + artifact.sidecars).forEach { (part, digest) -> checked(part, digest) }
        return File(folder, name)
    }

    /**
     * The golden data.
     *
     * @throws Problem there are none, or they have changed or are damaged.
     */
    fun golden(): Golden {
        val golden = manifest.golden ?: throw Problem("${manifest.name} was exported without golden data.")
        return Golden.open(checked(golden.file, golden.sha256), manifest.signature)
    }

    private fun checked(name: String, digest: String?): File {
        val file = File(folder, name)
        if (!file.isFile) throw Problem("$name is missing; copy the whole folder again.")
        if (sha256(file) != digest) throw Problem("$name has changed since the export; copy the folder again.")
        return file
    }
}

private fun manifestText(file: File): String {
    val listed = file.parentFile?.list()
    listed ?: throw Problem("This app may not read the folder; make it readable (chmod -R a+rX).")
    if (!file.isFile) throw Problem("$MANIFEST is missing; choose the folder that export-mobile wrote.")
    if (file.length() > LARGEST_MANIFEST) throw Problem("$MANIFEST of ${file.length() / 1_000_000} MB is none.")
    return try {
        file.readText()
    } catch (error: IOException) {
        throw Problem("$MANIFEST cannot be read: ${error.message}.", error)
    }
}

private fun sha256(file: File): String {
    val digest = MessageDigest.getInstance("SHA-256")
    val chunk = ByteArray(1 shl 16)
    try {
        file.inputStream().use { stream ->
            while (true) {
                val size = stream.read(chunk)
                if (size < 0) break
                digest.update(chunk, 0, size)
            }
        }
    } catch (error: IOException) {
        throw Problem("${file.name} cannot be read: ${error.message}.", error)
    }
    return digest.digest().joinToString("") { "%02x".format(it) }
}
