package org.exportmobile.packaging

import com.android.tools.r8.ClassFileResourceProvider
import com.android.tools.r8.ProgramResource
import java.nio.ByteBuffer
import java.nio.file.Path
import java.util.function.Consumer
import java.util.zip.ZipFile
import kotlin.io.path.extension
import kotlin.io.path.readBytes

/** What the code refers to with which R8 closes resources on old devices. */
private val OF_R8 =
    setOf(
        "Landroid/content/ContentProviderClient;",
        "Landroid/content/res/TypedArray;",
        "Landroid/drm/DrmManagerClient;",
        "Landroid/media/MediaDrm;",
        "Landroid/media/MediaMetadataRetriever;",
        "Ljava/util/concurrent/ExecutorService;",
        "Ljava/util/concurrent/ForkJoinPool;",
    )

/**
 * Of Android's and Java's classes, those that a program refers to, what these inherit from, and what their members name.
 * R8 reads every class of a library: all 53000 of Android take it longer than the rest of its work.
 *
 * @param program jars and class files.
 * @param sources where there are several of a name, the first one's is meant.
 */
class LibraryClasses(program: List<Path>, sources: List<ClassFileResourceProvider>) : ClassFileResourceProvider {
    private val sourceOf = sources.asReversed().flatMap { from -> from.classDescriptors.map { it to from } }.toMap()
    private val names = HashMap<String, ClassNames>()
    private val used = used(program)

    override fun getClassDescriptors(): Set<String> = used

    override fun getProgramResource(descriptor: String): ProgramResource? =
        if (descriptor in used) sourceOf.getValue(descriptor).getProgramResource(descriptor) else null

    override fun getProgramResources(consumer: Consumer<ProgramResource>) =
        used.forEach { consumer.accept(sourceOf.getValue(it).getProgramResource(it)) }

    private fun used(program: List<Path>): Set<String> {
        val mentioned = program.asSequence().flatMap(::classFiles).flatMap { ClassNames(it).mentioned }.toSet()
        val direct = withParents(mentioned + OF_R8)
        return withParents(direct + direct.flatMap { names(it).mentioned })
    }

    private fun withParents(start: Set<String>): Set<String> {
        val found = HashSet<String>()
        val open = ArrayDeque(start)
        while (open.isNotEmpty()) {
            val name = open.removeFirst()
            if (name in sourceOf && found.add(name)) open += names(name).parents
        }
        return found
    }

    private fun names(descriptor: String): ClassNames =
        names.getOrPut(descriptor) {
            val resource = checkNotNull(sourceOf.getValue(descriptor).getProgramResource(descriptor))
            ClassNames(resource.byteStream.use { it.readBytes() })
        }
}

private fun classFiles(file: Path): List<ByteArray> {
    if (file.extension == "class") return listOf(file.readBytes())
    return ZipFile(file.toFile()).use { jar ->
        val entries = jar.entries().asSequence().filter { it.name.endsWith(".class") }
        entries
            .filterNot { it.name.startsWith("META-INF") }
            .map { entry ->
                jar.getInputStream(entry).use { it.readBytes() }
            }.toList()
    }
}

/** Names in a class file, as descriptors such as `Lorg/a/B;` (Java Virtual Machine Specification, 4.1 and 4.4). */
private class ClassNames(bytes: ByteArray) {
    private val data = ByteBuffer.wrap(bytes).position(8)
    private val texts = HashMap<Int, String>()
    private val classes = HashMap<Int, Int>()

    init {
        var index = 1
        val count = u2()
        while (index < count) {
            index += constant(index)
        }
    }

    /** Of the superclass and the interfaces. */
    val parents: List<String>

    /** Classes that anything in it has to do with. */
    val mentioned: Set<String>

    init {
        u2() // Its flags,
        u2() // and its own name.
        val indices = listOf(u2()) + List(u2()) { u2() }
        parents = indices.mapNotNull(classes::get).map { "L${texts[it]};" }
        mentioned =
            classes.values.map { "L${texts[it]};" }.toSet() +
            texts.values.flatMap { text -> DESCRIPTOR.findAll(text).map { it.value } }
    }

    /** Reads one constant; gives how many indices it takes. */
    private fun constant(index: Int): Int {
        val tag = data.get().toInt()
        when (tag) {
            TEXT -> texts[index] = ByteArray(u2()).also { data.get(it) }.decodeToString()
            CLASS -> classes[index] = u2()
            else -> data.position(data.position() + SIZES.getValue(tag))
        }
        return if (tag == LONG || tag == DOUBLE) 2 else 1
    }

    private fun u2(): Int = data.short.toInt() and 0xffff

    private companion object {
        const val TEXT = 1
        const val LONG = 5
        const val DOUBLE = 6
        const val CLASS = 7

        /** Bytes of the other constants, by tag. */
        val SIZES =
            mapOf(3 to 4, 4 to 4, LONG to 8, DOUBLE to 8, 8 to 2, 9 to 4, 10 to 4, 11 to 4, 12 to 4) +
                mapOf(15 to 3, 16 to 2, 17 to 4, 18 to 4, 19 to 2, 20 to 2)
        val DESCRIPTOR = Regex("L[\\w/$]+;")
    }
}
