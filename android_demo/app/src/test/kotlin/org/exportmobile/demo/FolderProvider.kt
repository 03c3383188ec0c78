package org.exportmobile.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import java.io.File

/** Stands for the system's documents: one folder and its files. */
class FolderProvider : ContentProvider() {
    lateinit var folder: File

    override fun onCreate() = true

    override fun query(
        uri: Uri,
        columns: Array<out String>?,
        where: String?,
        values: Array<out String>?,
        order: String?,
    ): Cursor {
        val cursor = MatrixCursor(columns)
        val files = if (uri.lastPathSegment == "children") folder.listFiles().orEmpty().toList() else listOf(folder)
        for (file in files) {
            cursor.addRow(
                columns.orEmpty().map {
                    if (it ==
                        Document.COLUMN_DISPLAY_NAME
                    ) {
                        file.name
                    } else {
                        "root/${file.name}"
                    }
                },
            )
        }
        return cursor
    }

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        val name = DocumentsContract.getDocumentId(uri).substringAfter('/')
        return ParcelFileDescriptor.open(File(folder, name), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun getType(uri: Uri) = null

    override fun insert(uri: Uri, values: ContentValues?) = null

    override fun delete(uri: Uri, where: String?, values: Array<out String>?) = 0

    override fun update(uri: Uri, values: ContentValues?, where: String?, arguments: Array<out String>?) = 0
}
