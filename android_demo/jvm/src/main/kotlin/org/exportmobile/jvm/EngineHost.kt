package org.exportmobile.jvm

import org.exportmobile.core.EngineKind
import org.exportmobile.core.Problem
import org.exportmobile.engine.OnnxEngine
import org.exportmobile.engine.PteEngine
import org.exportmobile.engine.PtlEngine
import org.exportmobile.engine.TfliteEngine
import java.io.File
import kotlin.system.exitProcess

/** Formats, and the library that Java loads for each; it brings in what it needs by itself. */
private enum class Host(val format: String, val library: String) {
    PTE("pte", "libexecutorch.so"),
    ONNX("onnx", "libonnxruntime4j_jni.so"),
    TFLITE("tflite", "libtensorflowlite_jni.so"),
    PTL("ptl", "libpytorch_jni_lite.so"),
    ;

    // Not a field: naming an engine must load none of the others' classes.
    fun kind(): EngineKind =
        when (this) {
            PTE -> PteEngine
            ONNX -> OnnxEngine
            TFLITE -> TfliteEngine
            PTL -> PtlEngine
        }
}

/**
 * One engine of the Android app in a plain JVM: JSON lines in on stdin, out on stdout; see [Session] for what they
 * say. One engine a process: ExecuTorch and PyTorch Lite cannot share one.
 *
 * @param arguments the format, the folder of the shim, and that of the Android libraries.
 */
fun main(arguments: Array<String>) {
    val (format, shim, libraries) = arguments
    val host = Host.entries.first { it.format == format }
    val answers = System.out
    System.setOut(System.err) // whatever else is printed is no answer
    try {
        Bionic.load(File(shim), File(libraries, host.library))
        val session = Session(host.kind())
        answers.println(session.greeting())
        generateSequence(::readlnOrNull).forEach { answers.println(session.answer(it)) }
    } catch (failure: UnsatisfiedLinkError) {
        answers.println(errorLine(Problem("The library does not load: ${failure.message}")))
    }
    // fbjni has a thread that is no daemon: without this the JVM would never end.
    exitProcess(0)
}
