package org.exportmobile.demo

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonObjectBuilder
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Library
import org.exportmobile.core.Machine
import org.exportmobile.core.Problem
import org.exportmobile.core.Signature
import org.exportmobile.core.Tensor
import org.exportmobile.core.TensorSpec
import org.exportmobile.core.readNpz
import org.exportmobile.core.writeNpz
import java.io.Closeable
import java.io.File

/**
 * The Android library of a format, in a process of its own (the module `jvm`), for pictures with all formats. Times are
 * those of the round trip.
 *
 * @param start how, as scripts/android_java.py's `command` says it, in JSON: the words, and what joins the environment.
 */
class Hosted(override val format: String, start: File) :
    EngineKind,
    Closeable {
    private val place = File.createTempFile("engine", "").apply { delete() }.apply { mkdirs() }
    private val process = process(Json.parseToJsonElement(start.readText()).jsonArray)
    private val lines = process.inputStream.bufferedReader()
    private val questions = process.outputStream.bufferedWriter()
    private var loaded = 0

    override val library =
        answer().getValue("library").jsonPrimitive.content.let {
            Library(it.substringBeforeLast(' '), it.substringAfterLast(' '))
        }

    override fun refusal(machine: Machine): String? = null

    override fun load(file: File, signature: Signature, threads: Int): Engine {
        val id = "model${loaded++}"
        ask("load", id) {
            put("file", file.path)
            put(
                "signature",
                JsonObject(mapOf("inputs" to specs(signature.inputs), "outputs" to specs(signature.outputs))),
            )
            put("threads", threads)
        }
        return object : Engine {
            override fun run(inputs: List<Tensor>): List<Tensor> {
                val (from, to) = listOf(File(place, "inputs.npz"), File(place, "outputs.npz"))
                writeNpz(
                    from.outputStream(),
                    inputs.withIndex().associate { (i, tensor) ->
                        "input/$i" to row(tensor)
                    },
                    deflated = false,
                )
                ask("run", id) {
                    put("inputs", from.path)
                    put("outputs", to.path)
                }
                val outputs = readNpz(to)
                return signature.outputs.mapIndexed {
                    i,
                    spec,
                    ->
                    Tensor(spec.dtype, spec.shape, outputs.getValue("output/$i").bytes())
                }
            }

            override fun close() {
                ask("close", id) {}
            }
        }
    }

    override fun close() {
        questions.close()
        process.waitFor()
        place.deleteRecursively()
    }

    private fun row(tensor: Tensor) = Tensor(tensor.dtype, listOf(1) + tensor.shape, tensor.bytes())

    private fun process(start: JsonArray): Process {
        val (words, variables) = start
        val builder = ProcessBuilder(words.jsonArray.map { it.jsonPrimitive.content }).directory(place)
        variables.jsonObject.forEach { (name, value) -> builder.environment()[name] = value.jsonPrimitive.content }
        return builder.redirectError(ProcessBuilder.Redirect.DISCARD).start()
    }

    private fun specs(specs: List<TensorSpec>): JsonElement =
        JsonArray(
            specs.map { spec ->
                buildJsonObject {
                    put("name", spec.name)
                    put("shape", JsonArray(spec.shape.map(::JsonPrimitive)))
                    put("dtype", spec.dtype.title)
                }
            },
        )

    private fun ask(op: String, id: String, fields: JsonObjectBuilder.() -> Unit): JsonObject {
        val question =
            buildJsonObject {
                put("op", op)
                put("id", id)
                fields()
            }
        questions.write("$question\n")
        questions.flush()
        return answer()
    }

    private fun answer(): JsonObject {
        val line =
            generateSequence(lines::readLine).firstOrNull { it.startsWith("{") }
                ?: error("the process of $format ended")
        val answer = Json.parseToJsonElement(line).jsonObject
        answer["error"]?.let { throw Problem(it.jsonPrimitive.content) }
        answer["crash"]?.let { error(it.jsonPrimitive.content) }
        return answer
    }
}
