package org.exportmobile.engine

import org.exportmobile.core.Problem
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.ByteOrder

private const val HEADER = 40
private const val IDENTIFIER = 4
private const val EXTENDED = 8

/**
 * Refuses what is no `.pte` file, and one that ends too early: the library maps files into memory, and reading past
 * the end of one kills the process.
 *
 * After the four bytes of the flatbuffer's root, `ET` and a version, comes `eh` with another, the header's size (4
 * bytes), then 8 bytes each of the program's size and of where its segments start and how long they are.
 *
 * @throws Problem it is one of these.
 */
internal fun checkWhole(file: File) {
    val header = ByteBuffer.wrap(firstBytes(file)).order(ByteOrder.LITTLE_ENDIAN)
    if (!header.says(IDENTIFIER, "ET")) throw Problem("${file.name} is not a .pte file.")
    if (!header.says(EXTENDED, "eh")) return
    val program = header.getLong(EXTENDED + 8)
    val segments = header.getLong(EXTENDED + 16)
    val length = if (header.getInt(EXTENDED + 4) >= 32) header.getLong(EXTENDED + 24) else 0
    if (file.length() < maxOf(program, segments + length)) throw Problem("${file.name} is damaged: it ends too early.")
}

private fun firstBytes(file: File): ByteArray =
    RandomAccessFile(file, "r").use {
        ByteArray(HEADER).also { bytes -> it.read(bytes) }
    }

private fun ByteBuffer.says(position: Int, word: String): Boolean =
    word.indices.all { get(position + it) == word[it].code.toByte() }
