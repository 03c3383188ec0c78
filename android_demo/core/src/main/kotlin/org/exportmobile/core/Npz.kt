package org.exportmobile.core

import java.io.Closeable
import java.io.File
import java.io.IOException
import java.io.OutputStream
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import java.util.zip.ZipOutputStream

private const val SUFFIX = ".npy"

/** Deflate packs at most about this many bytes into one. */
private const val TIGHTEST = 1032L

/**
 * Arrays by name, as numpy.savez and numpy.savez_compressed write them.
 *
 * @throws Problem the file is missing or no .npz file.
 */
class NpzFile(private val file: File) : Closeable {
    private val zip =
        try {
            ZipFile(file)
        } catch (error: IOException) {
            val why = if (file.exists()) "is no .npz file, or a damaged one; copy it again" else "is missing"
            throw Problem("${file.name} $why.", error)
        }

    private val entries: Map<String, ZipEntry> =
        zip.entries().asSequence().filterNot { it.isDirectory }.associateBy { it.name.removeSuffix(SUFFIX) }

    /** In the file's order. */
    val names: Set<String> get() = entries.keys

    /**
     * Opens an array, to be closed by the caller.
     *
     * @throws Problem there is none of that name, it is damaged, or of elements that this app does not know.
     */
    fun open(name: String): NpyReader {
        val entry = entries[name] ?: throw Problem("${file.name} holds no array $name.")
        val packed = entry.compressedSize
        if (packed > file.length() || entry.size > TIGHTEST * packed + TIGHTEST) {
            throw damaged(name, "it claims to hold ${entry.size} bytes")
        }
        val stream =
            try {
                zip.getInputStream(entry)
            } catch (error: IOException) {
                throw damaged(name, "it cannot be unpacked", error)
            }
        return try {
            NpyReader(name, stream, entry.size, entry.crc)
        } catch (problem: Problem) {
            stream.close()
            throw problem
        }
    }

    /** One whole array; see [open] for what can go wrong. */
    fun read(name: String): Tensor = open(name).use { it.read() }

    override fun close() = zip.close()
}

/** All arrays of a .npz file; see [NpzFile] for what can go wrong. */
fun readNpz(file: File): Map<String, Tensor> = NpzFile(file).use { npz -> npz.names.associateWith { npz.read(it) } }

/**
 * Writes arrays by name for numpy.load; closes the stream.
 *
 * @param deflated whether they are packed; NumPy reads stored ones faster.
 */
fun writeNpz(stream: OutputStream, arrays: Map<String, Tensor>, deflated: Boolean = true) {
    ZipOutputStream(stream).use { zip ->
        for ((name, tensor) in arrays) {
            val data = npyHeader(tensor) + ByteArray(tensor.bytes().limit()).also { tensor.bytes().get(it) }
            val entry = ZipEntry(name + SUFFIX)
            if (!deflated) {
                entry.method = ZipEntry.STORED
                entry.size = data.size.toLong()
                entry.crc = CRC32().apply { update(data) }.value
            }
            zip.putNextEntry(entry)
            zip.write(data)
            zip.closeEntry()
        }
    }
}
