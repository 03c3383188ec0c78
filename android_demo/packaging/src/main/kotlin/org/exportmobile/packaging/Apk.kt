package org.exportmobile.packaging

import com.android.tools.build.apkzlib.zip.AlignmentRules
import com.android.tools.build.apkzlib.zip.ZFile
import com.android.tools.build.apkzlib.zip.ZFileOptions
import java.nio.file.Path
import kotlin.io.path.deleteIfExists
import kotlin.io.path.inputStream

/** Bytes: the largest page of an Android device, from which the system maps stored entries. */
const val PAGE = 16384

/** A file that goes into the app as [name]; [stored] without compression, so that it can be mapped. */
data class Entry(val name: String, val file: Path, val stored: Boolean)

/**
 * Writes an unsigned APK, the same bytes for the same inputs.
 *
 * @param linked aapt2's: the manifest, the resources and their table.
 */
fun assemble(linked: Path, entries: List<Entry>, result: Path) {
    result.deleteIfExists()
    val options =
        ZFileOptions()
            .setAlignmentRule(AlignmentRules.constant(PAGE))
            .setNoTimestamps(true)
            .setAutoSortFiles(true)
    ZFile.openReadWrite(result.toFile(), options).use { apk ->
        ZFile.openReadOnly(linked.toFile()).use { apk.mergeFrom(it) { false } }
        for (entry in entries) {
            entry.file.inputStream().use { apk.add(entry.name, it, !entry.stored) }
        }
    }
}
