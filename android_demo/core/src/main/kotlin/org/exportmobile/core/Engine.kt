package org.exportmobile.core

import java.io.Closeable
import java.io.File

/** The library behind an engine, such as `ONNX Runtime` `1.29.0`. */
data class Library(val name: String, val version: String) {
    override fun toString(): String = "$name $version"
}

/**
 * What decides whether a library may be loaded: one that would kill the process must not be.
 *
 * @property pageSize of memory, in bytes: 4096, or 16384 on newer devices.
 * @property atomics whether the CPU has Armv8.1's atomic instructions (`atomics` in /proc/cpuinfo);
 *   true where it is no ARM.
 * @property avx512 whether the CPU, an emulator's on a PC, has AVX-512 (`avx512f` in /proc/cpuinfo).
 */
data class Machine(val pageSize: Int, val atomics: Boolean, val avx512: Boolean = false)

/** One runtime: says whether it can be used, and loads its artifacts. */
interface EngineKind {
    /** The suffix of its files: `pte`, `onnx`, `tflite` or `ptl`. */
    val format: String
    val library: Library

    /** Why the library must not be loaded on [machine], as a sentence; null where it may be. */
    fun refusal(machine: Machine): String?

    /**
     * Loads an artifact.
     *
     * @param signature of the original model; what [Engine.run] takes and gives, whatever the file's own order or
     *   integer types are.
     * @throws Problem the library or the file does not load.
     */
    fun load(file: File, signature: Signature, threads: Int): Engine
}

/** A loaded artifact. Not for several threads at once. */
interface Engine : Closeable {
    /**
     * One inference.
     *
     * @param inputs in the signature's order; count, shape and dtype are checked before any native call.
     * @return outputs in the signature's order, which the next run does not overwrite.
     * @throws Problem an input does not fit, the runtime fails, or the engine is closed.
     */
    fun run(inputs: List<Tensor>): List<Tensor>
}
