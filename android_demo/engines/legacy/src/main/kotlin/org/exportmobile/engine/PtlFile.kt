package org.exportmobile.engine

import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.exportmobile.core.Problem
import org.exportmobile.core.Signature
import org.exportmobile.core.TensorSpec
import java.io.File
import java.io.IOException
import java.util.zip.ZipFile

/**
 * Refuses a file that was made for other inputs or outputs: given more inputs than it has, the library dies.
 *
 * The exporter puts the signature into the file's zip, as `<name>/extra/signature.json`; where there is none, nothing is
 * known.
 *
 * @throws Problem the file is no zip, or its signature is not [signature].
 */
internal fun checkStored(file: File, signature: Signature) {
    val text = storedSignature(file) ?: return
    val fits =
        try {
            val stored = Json.parseToJsonElement(text).jsonObject
            val ends = stored.getValue("signature").jsonObject
            val free = if (stored.getValue("dynamic_batch").jsonPrimitive.boolean) 1 else 0
            ends.getValue("inputs").jsonArray.fit(signature.inputs, free) &&
                ends.getValue("outputs").jsonArray.size == signature.outputs.size
        } catch (error: SerializationException) {
            throw Problem("${file.name} is damaged: its signature cannot be read.", error)
        }
    if (!fits) throw Problem("${file.name} was made for other inputs and outputs than the model's.")
}

private fun storedSignature(file: File): String? =
    try {
        ZipFile(file).use { zip ->
            val entry = zip.entries().asSequence().firstOrNull { it.name.endsWith("/extra/signature.json") }
            entry?.let { zip.getInputStream(it).reader().readText() }
        }
    } catch (error: IOException) {
        throw Problem("${file.name} is damaged or no .ptl file.", error)
    }

/** @param free how many of the first sizes of an input may be any. */
private fun JsonArray.fit(specs: List<TensorSpec>, free: Int): Boolean =
    size == specs.size &&
        map { it.jsonObject }.zip(specs).all { (stored, spec) ->
            val shape = stored.getValue("shape").jsonArray.map { it.jsonPrimitive.int }
            val sameShape = shape.size == spec.shape.size && shape.drop(free) == spec.shape.drop(free)
            sameShape && stored.getValue("dtype").jsonPrimitive.content == spec.dtype.title
        }
