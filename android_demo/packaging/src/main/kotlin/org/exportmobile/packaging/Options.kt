package org.exportmobile.packaging

import java.io.File
import java.nio.file.Path
import kotlin.io.path.Path

/** What the caller did wrong, as a sentence. */
class Problem(message: String) : Exception(message)

/** Words of the form `--name value`; each name once. */
class Options(words: List<String>) {
    private val values: Map<String, List<String>>

    init {
        val pairs = words.chunked(2).map { it.first() to it.getOrNull(1) }
        values =
            pairs.groupBy({ (name, _) -> name }, { (name, value) -> value ?: throw Problem("$name needs a value.") })
    }

    fun one(name: String): String = values[name]?.singleOrNull() ?: throw Problem("$name is needed once.")

    fun number(name: String): Int = one(name).toIntOrNull() ?: throw Problem("$name needs a number.")

    fun path(name: String): Path = Path(one(name))

    /** Of a value that is written as a class path is. */
    fun paths(name: String): List<Path> = one(name).split(File.pathSeparator).map(::Path)
}
