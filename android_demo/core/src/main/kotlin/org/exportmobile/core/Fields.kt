package org.exportmobile.core

import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

private val NUMBER = Regex("""-?\d+(\.\d+)?([eE][+-]?\d+)?""")

/**
 * Reads a JSON object field by field: what is damaged is named, what nobody asked for is remembered.
 *
 * @param path of this object, such as `artifacts[0].`; empty at the top.
 * @param unknown collects the paths of fields that [read] did not ask for.
 */
internal class Fields private constructor(
    private val json: JsonObject,
    private val path: String,
    private val unknown: MutableList<String>,
) {
    private val asked = mutableSetOf<String>()

    fun text(name: String): String = textOrNull(name) ?: missing(name)

    fun textOrNull(name: String): String? = find(name)?.let { asText(it) ?: damaged(name, "is no text") }

    fun number(name: String): Double = numberOrNull(name) ?: missing(name)

    fun numberOrNull(name: String): Double? = find(name)?.let { asNumber(it) ?: damaged(name, "is no number") }

    /** A count: a whole number from 0 on. */
    fun count(name: String): Long = countOrNull(name) ?: missing(name)

    fun countOrNull(name: String): Long? = wholeOrNull(name)?.also { if (it < 0) damaged(name, "is negative") }

    /** A count that fits an Int. */
    fun small(name: String): Int = count(name).also { if (it > Int.MAX_VALUE) damaged(name, "is too large") }.toInt()

    fun wholeOrNull(name: String): Long? =
        find(name)?.let { raw(it)?.toLongOrNull() ?: damaged(name, "is no whole number") }

    /** False where it is missing. */
    fun flag(name: String): Boolean =
        find(name)?.let { raw(it)?.toBooleanStrictOrNull() ?: damaged(name, "is neither true nor false") } ?: false

    /** Empty where it is missing. */
    fun texts(name: String): List<String> =
        elements(name).mapIndexed { i, element -> asText(element) ?: damaged("$name[$i]", "is no text") }

    /** Null where it is missing. */
    fun counts(name: String): List<Int>? =
        find(name)?.let {
            elements(name).mapIndexed { i, element ->
                val size = raw(element)?.toIntOrNull() ?: damaged("$name[$i]", "is no whole number of a sensible size")
                if (size < 0) damaged("$name[$i]", "is negative") else size
            }
        }

    /** Null where it is missing. */
    fun numbers(name: String): List<Double>? =
        find(name)?.let {
            elements(name).mapIndexed { i, element -> asNumber(element) ?: damaged("$name[$i]", "is no number") }
        }

    /** Label -> text, in the file's order; empty where it is missing. */
    fun textMap(name: String): Map<String, String> =
        find(name)?.let { element ->
            val map = element as? JsonObject ?: damaged(name, "is no object")
            map.mapValues { (key, value) -> asText(value) ?: damaged("$name.$key", "is no text") }
        } ?: emptyMap()

    fun <T> one(name: String, read: Fields.() -> T): T = oneOrNull(name, read) ?: missing(name)

    fun <T> oneOrNull(name: String, read: Fields.() -> T): T? =
        find(name)?.let { read(it as? JsonObject ?: damaged(name, "is no object"), "$path$name.", unknown, read) }

    fun <T> list(name: String, read: Fields.() -> T): List<T> {
        find(name) ?: missing(name)
        return elements(name).mapIndexed { i, element ->
            read(element as? JsonObject ?: damaged("$name[$i]", "is no object"), "$path$name[$i].", unknown, read)
        }
    }

    /** Fields that are known, and of no use here. */
    fun ignore(vararg names: String) {
        asked += names
    }

    fun damaged(name: String, what: String): Nothing =
        throw Problem("$MANIFEST is damaged: $path$name $what. Export again, or restore the file.")

    private fun missing(name: String): Nothing = damaged(name, "is missing")

    private fun find(name: String): JsonElement? {
        asked += name
        return json[name].takeUnless { it is JsonNull }
    }

    private fun elements(name: String): List<JsonElement> =
        find(name)?.let { it as? JsonArray ?: damaged(name, "is no list") } ?: emptyList()

    private fun raw(element: JsonElement): String? = (element as? JsonPrimitive)?.takeUnless { it.isString }?.content

    private fun asText(element: JsonElement): String? = (element as? JsonPrimitive)?.takeIf { it.isString }?.content

    private fun asNumber(element: JsonElement): Double? =
        raw(element)?.takeIf { NUMBER.matches(it) }?.toDouble()?.takeIf { it.isFinite() }

    companion object {
        /** Reads [json] with [read], then adds the fields it did not ask for to [unknown]. */
        fun <T> read(json: JsonObject, path: String, unknown: MutableList<String>, read: Fields.() -> T): T {
            val fields = Fields(json, path, unknown)
            val result = fields.read()
            (json.keys - fields.asked).mapTo(unknown) { path + it }
            return result
        }
    }
}
