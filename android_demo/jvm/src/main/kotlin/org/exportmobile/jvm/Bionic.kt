package org.exportmobile.jvm

import java.io.File

/**
 * Makes Android's native libraries loadable in this JVM: see `bionic/README.md`.
 *
 * The shim's `libc.so` and its companions, and the folder of the Android libraries, must be on `LD_LIBRARY_PATH`.
 */
internal object Bionic {
    /** Written in `bionic/open.c`; what went wrong, or null. */
    @JvmStatic
    private external fun open(path: String): String?

    /**
     * Opens the shim, then a library with all it needs, before its Java classes ask for it.
     *
     * @throws UnsatisfiedLinkError one of them does not load.
     */
    fun load(shim: File, library: File) {
        System.load(shim.resolve("libc.so").absolutePath)
        val companions = listOf("m", "dl", "log", "android").map { shim.resolve("lib$it.so") }
        for (file in companions + library) open(file.absolutePath)?.let { throw UnsatisfiedLinkError(it) }
    }
}
