package org.exportmobile.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.ByteArrayOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import java.util.zip.ZipOutputStream

private const val DIRECTORY_ENTRY = 0x02014b50

class NpzTest {
    @get:Rule
    val scratch = TemporaryFolder()

    private val counted = doubleArrayOf(0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    private val version1 = resource("version1.npy").readBytes()

    @Test
    fun `everything that NumPy writes is read`() {
        NpzFile(resource("kinds.npz")).use { npz ->
            val plain = npz.names.filterNot { it.startsWith("strange/") } - setOf("bool", "scalar", "empty")
            assertEquals(13, plain.size)
            for (name in plain) {
                val tensor = npz.read(name)
                assertEquals(name, listOf(2, 3), tensor.shape)
                assertArrayEquals(name, counted, tensor.toDoubles(), 0.0)
            }
            assertEquals(listOf(0L, 0L, 0L, 1L, 1L, 1L), npz.read("bool").toLongs().toList())
            assertEquals(emptyList<Int>(), npz.read("scalar").shape)
            assertEquals(5.0, npz.read("scalar").toDoubles().single(), 0.0)
            assertEquals(listOf(0, 3), npz.read("empty").shape)
        }
    }

    @Test
    fun `rows come one at a time, whatever their order in the file`() {
        NpzFile(resource("kinds.npz")).use { npz ->
            for (name in listOf("<f4", ">f4", "fortran", "fortran big")) {
                npz.open(name).use { reader ->
                    assertArrayEquals(name, doubleArrayOf(0.0, 1.0, 2.0), reader.row().toDoubles(), 0.0)
                    val second = reader.row()
                    assertEquals(listOf(3), second.shape)
                    assertArrayEquals(name, doubleArrayOf(3.0, 4.0, 5.0), second.toDoubles(), 0.0)
                    assertThrows(NoSuchElementException::class.java) { reader.row() }
                }
            }
        }
    }

    @Test
    fun `elements that this app has no type for are refused`() {
        val words =
            mapOf("complex" to "type c8", "text" to "type U1", "unsigned" to "type u2", "record" to "holds records")
        NpzFile(resource("kinds.npz")).use { npz ->
            for ((name, why) in words) {
                val sentence = problem { npz.read("strange/$name") }
                assertTrue(sentence, why in sentence)
            }
        }
    }

    @Test
    fun `every version of the header is read`() {
        for (version in 1..3) {
            val file = zipOf("x.npy" to resource("version$version.npy").readBytes())
            assertArrayEquals(counted, readNpz(file).getValue("x").toDoubles(), 0.0)
        }
        refused(version1.patched(6, 4), "npy version 4")
    }

    @Test
    fun `what is written is what NumPy was given to read`() {
        for (name in listOf("stored.npz", "deflated.npz")) {
            val file = scratch.newFile(name)
            writeNpz(file.outputStream(), everyKind(), deflated = name == "deflated.npz")
            assertEquals(entries(resource("written/$name")), entries(file))
            val back = readNpz(file)
            for ((kind, tensor) in everyKind()) {
                assertEquals(tensor.shape, back.getValue(kind).shape)
                assertArrayEquals(tensor.toDoubles(), back.getValue(kind).toDoubles(), 0.0)
            }
        }
    }

    @Test
    fun `a header that lies about its size is refused before anything is allocated`() {
        refused(rewritten("(2, 3)", "(2000000000, 3)"), "other data than it holds")
        refused(rewritten("(2, 3)", "(99999999999, )"), "a size of 99999999999")
        refused(rewritten("(2, 3)", "(0, 3)"), "other data than it holds")
        refused(version1.patched(9, 0x7f), "ends too early")
        refused(resource("version2.npy").readBytes().patched(10, 0x7f), "header of 8")
    }

    @Test
    fun `a directory that lies with the header is refused, too`() {
        val file = zipOf("x.npy" to rewritten("(2, 3)", "(100000000, 3)"))
        val bytes = ByteBuffer.wrap(file.readBytes()).order(ByteOrder.LITTLE_ENDIAN)
        val entry = (0..bytes.capacity() - 4).last { bytes.getInt(it) == DIRECTORY_ENTRY }
        bytes.putInt(entry + 24, 1_200_000_128)
        file.writeBytes(bytes.array())
        val sentence = problem { readNpz(file) }
        assertTrue(sentence, "claims to hold 1200000128 bytes" in sentence)
    }

    @Test
    fun `truncated or foreign data are refused`() {
        refused(version1.copyOf(version1.size - 1), "other data than it holds")
        refused(version1.copyOf(60), "ends too early")
        refused(ByteArray(0), "ends too early")
        refused("hello, world".toByteArray(), "is no NumPy array")
        refused(rewritten("'shape'", "'shade'"), "header is none")
    }

    @Test
    fun `a file that is no zip, cut off or missing is refused`() {
        val whole = resource("kinds.npz").readBytes()
        for (bytes in listOf("text".toByteArray(), whole.copyOf(whole.size / 2), ByteArray(0))) {
            val file = scratch.newFile().apply { writeBytes(bytes) }
            assertTrue("is no .npz file" in problem { NpzFile(file) })
        }
        assertTrue("is missing" in problem { NpzFile(File(scratch.root, "none.npz")) })
        assertTrue("holds no array y" in problem { NpzFile(resource("kinds.npz")).use { it.open("y") } })
    }

    @Test
    fun `changed bytes are told, or do no harm`() {
        val whole = zipOf("x.npy" to version1).readBytes()
        val file = scratch.newFile()
        for (at in whole.indices) {
            file.writeBytes(whole.patched(at, whole[at].toInt().inv()))
            try {
                for (tensor in readNpz(file).values) assertArrayEquals("byte $at", counted, tensor.toDoubles(), 0.0)
            } catch (_: Problem) {
                continue
            }
        }
    }

    private fun refused(npy: ByteArray, why: String) {
        val sentence = problem { readNpz(zipOf("x.npy" to npy)) }
        assertTrue(sentence, why in sentence)
    }

    private fun zipOf(vararg files: Pair<String, ByteArray>): File {
        val bytes = ByteArrayOutputStream()
        ZipOutputStream(bytes).use { zip ->
            for ((name, content) in files) {
                zip.putNextEntry(ZipEntry(name))
                zip.write(content)
            }
        }
        return scratch.newFile().apply { writeBytes(bytes.toByteArray()) }
    }

    private fun entries(file: File): Map<String, Pair<Int, List<Byte>>> =
        ZipFile(file).use { zip ->
            val all = zip.entries().asSequence()
            all.associate { it.name to Pair(it.method, zip.getInputStream(it).readBytes().toList()) }
        }

    private fun rewritten(old: String, new: String): ByteArray =
        version1.toString(Charsets.ISO_8859_1).replace(old, new).toByteArray(Charsets.ISO_8859_1)

    private fun ByteArray.patched(at: Int, value: Int) = copyOf().also { it[at] = value.toByte() }

    /** Zero to five as two rows of three of every type, a scalar and an empty array. */
    private fun everyKind(): Map<String, Tensor> {
        val kinds = DType.entries.associate { it.title to tensor(it) }
        val scalar = Tensor.zeros(DType.FLOAT64, emptyList()).also { it.bytes().putDouble(5.0) }
        return kinds + mapOf("scalar" to scalar, "empty" to Tensor.zeros(DType.FLOAT32, listOf(0, 3)))
    }

    private fun tensor(dtype: DType): Tensor {
        val tensor = Tensor.zeros(dtype, listOf(2, 3))
        val bytes = tensor.bytes()
        for (i in 0..5) {
            when (dtype) {
                DType.FLOAT16 -> bytes.putShort(floatToHalf(i.toFloat()))
                DType.FLOAT32 -> bytes.putFloat(i.toFloat())
                DType.FLOAT64 -> bytes.putDouble(i.toDouble())
                DType.BOOL -> bytes.put(if (i > 0) 1 else 0)
                DType.UINT8, DType.INT8 -> bytes.put(i.toByte())
                DType.INT16 -> bytes.putShort(i.toShort())
                DType.INT32 -> bytes.putInt(i)
                DType.INT64 -> bytes.putLong(i.toLong())
            }
        }
        return tensor
    }
}
