package org.exportmobile.demo

import android.content.ContentResolver
import android.net.Uri
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import org.exportmobile.core.Problem
import org.exportmobile.core.firstLine
import java.io.File
import java.io.IOException

/**
 * The files of a folder that the user chose with the system's picker.
 *
 * @throws Problem the folder cannot be read.
 */
class Documents(private val resolver: ContentResolver, private val tree: Uri) {
    private val root = DocumentsContract.getTreeDocumentId(tree)
    private val files = children()

    /** The folder's name, fit to be one here. */
    val name: String = name().replace(Regex("[^\\p{L}\\p{N}._ -]"), "_").trim('.', ' ').ifEmpty { "model" }

    /**
     * @throws Problem there is no such file.
     * @throws IOException it cannot be copied.
     */
    fun copy(file: String, to: File) {
        val id = files[file] ?: throw Problem("$file is missing in $name; choose the folder that export-mobile wrote.")
        val uri = DocumentsContract.buildDocumentUriUsingTree(tree, id)
        val source = asked { resolver.openInputStream(uri) } ?: throw IOException("$file cannot be read")
        source.use { input -> File(to, file).outputStream().use { input.copyTo(it) } }
    }

    private fun name(): String {
        val uri = DocumentsContract.buildDocumentUriUsingTree(tree, root)
        return rows(uri, Document.COLUMN_DISPLAY_NAME) { it(0) }.firstOrNull().orEmpty()
    }

    private fun children(): Map<String, String> {
        val uri = DocumentsContract.buildChildDocumentsUriUsingTree(tree, root)
        return rows(uri, Document.COLUMN_DISPLAY_NAME, Document.COLUMN_DOCUMENT_ID) { it(0) to it(1) }.toMap()
    }

    private fun <T> rows(uri: Uri, vararg columns: String, row: ((Int) -> String) -> T): List<T> =
        asked {
            resolver.query(uri, columns, null, null, null)?.use { cursor ->
                generateSequence { if (cursor.moveToNext()) row { cursor.getString(it).orEmpty() } else null }.toList()
            } ?: throw Problem("That folder cannot be read; choose another.")
        }

    /** Another app answers, and it may throw whatever it likes. */
    private fun <T> asked(question: () -> T): T =
        try {
            question()
        } catch (error: RuntimeException) {
            throw Problem("That folder cannot be read: ${firstLine(error).trimEnd('.')}. Choose it again.", error)
        }
}
