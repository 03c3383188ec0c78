package org.exportmobile.packaging

import com.android.tools.r8.ArchiveClassFileProvider
import com.android.tools.r8.CompilationMode
import com.android.tools.r8.Diagnostic
import com.android.tools.r8.DiagnosticsHandler
import com.android.tools.r8.JdkClassFileProvider
import com.android.tools.r8.OutputMode
import com.android.tools.r8.R8
import com.android.tools.r8.R8Command
import com.android.tools.r8.Version
import java.nio.file.Path
import java.security.MessageDigest
import kotlin.io.path.createDirectories
import kotlin.io.path.deleteIfExists
import kotlin.io.path.exists
import kotlin.io.path.inputStream
import kotlin.io.path.name
import kotlin.io.path.readText
import kotlin.io.path.writeText

/** Warnings and errors are printed; rules of a library that match nothing are no news. */
private object Quiet : DiagnosticsHandler {
    override fun info(info: Diagnostic) = Unit
}

/**
 * Class files to dex.
 *
 * @property program jars and class files that go into the app; keep rules in the jars (`META-INF/com.android.tools`) hold.
 * @property library Android's own classes; java.* comes from the JDK that runs this.
 * @property rules what must be kept, as files.
 */
class Dex(
    private val program: List<Path>,
    private val library: List<Path>,
    private val rules: List<Path>,
    private val minSdk: Int,
) {
    /** Writes `classes.dex` into [folder], unless one of just these inputs is there already; gives its path. */
    fun write(folder: Path): Path {
        val result = folder.createDirectories().resolve("classes.dex")
        val stamp = folder.resolve("inputs.sha256")
        val wanted = digest()
        if (result.exists() && stamp.exists() && stamp.readText() == wanted) return result
        stamp.deleteIfExists()
        R8.run(command(folder))
        if (folder.resolve("classes2.dex").exists()) throw Problem("The classes do not fit into one dex file.")
        stamp.writeText(wanted)
        return result
    }

    private fun command(folder: Path): R8Command {
        val android = library.map(::ArchiveClassFileProvider)
        return R8Command
            .builder(Quiet)
            .setMode(CompilationMode.RELEASE)
            .setMinApiLevel(minSdk)
            .addProgramFiles(program)
            .addLibraryResourceProvider(LibraryClasses(program, android + JdkClassFileProvider.fromSystemJdk()))
            .addProguardConfigurationFiles(rules)
            .setProguardMapOutputPath(folder.resolve("mapping.txt"))
            .setOutput(folder, OutputMode.DexIndexed, false)
            .build()
    }

    /** Of everything that decides the result; Android's classes by name, for they are many and released once. */
    private fun digest(): String {
        val sha = MessageDigest.getInstance("SHA-256")
        sha.update("$minSdk ${Version.getVersionString()} ${System.getProperty("java.version")}".toByteArray())
        library.forEach { sha.update(it.name.toByteArray()) }
        (program + rules).forEach { file ->
            file.inputStream().use { input ->
                val buffer = ByteArray(1 shl 16)
                generateSequence { input.read(buffer).takeIf { it > 0 } }.forEach { sha.update(buffer, 0, it) }
            }
        }
        return sha.digest().joinToString("") { "%02x".format(it) }
    }
}
