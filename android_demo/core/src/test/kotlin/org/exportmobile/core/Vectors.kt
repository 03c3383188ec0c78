package org.exportmobile.core

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assert.assertThrows
import java.io.File

/** A file that the exporter made for these tests (tests/android/vectors.py). */
fun resource(name: String): File = File("src/test/resources", name)

fun cases(name: String): List<JsonObject> {
    val json = Json.parseToJsonElement(resource(name).readText())
    return json.jsonArray.map { it.jsonObject }
}

fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

fun JsonObject.textOrNull(name: String): String? = get(name)?.takeUnless { it is JsonNull }?.jsonPrimitive?.content

/** Python's `nan` is kept as text. */
fun JsonObject.numberOrNull(name: String): Double? =
    textOrNull(name)?.let { if (it == "nan") Double.NaN else it.toDouble() }

fun JsonObject.flag(name: String): Boolean = getValue(name).jsonPrimitive.boolean

fun JsonObject.listOrNull(name: String): JsonArray? = get(name)?.takeUnless { it is JsonNull }?.jsonArray

fun spec(json: JsonElement): TensorSpec =
    TensorSpec(
        json.jsonObject.text("name"),
        json.jsonObject.getValue("shape").jsonArray.map { it.jsonPrimitive.content.toInt() },
        DType.of(json.jsonObject.text("dtype")),
    )

/** The sentence that [action] is refused with. */
fun problem(action: () -> Unit): String = assertThrows(Problem::class.java) { action() }.message.orEmpty()
