package org.exportmobile.jvm

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import org.exportmobile.core.DType
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Machine
import org.exportmobile.core.NpyReader
import org.exportmobile.core.NpzFile
import org.exportmobile.core.Plan
import org.exportmobile.core.Problem
import org.exportmobile.core.Signature
import org.exportmobile.core.Tensor
import org.exportmobile.core.TensorSpec
import org.exportmobile.core.measure
import org.exportmobile.core.writeNpz
import java.io.File

/**
 * Answers requests, each one line of JSON with an `op`:
 *
 * - `load`: `id`, `file`, `signature`, `threads` -> `load_ms`, `library`
 * - `run`: `id`, `inputs`, `outputs`: .npz files; `input/0`, `input/1`... become `output/0`..., all of them samples
 *   stacked along a first axis
 * - `time`: `id`, `inputs`, of which the first sample is run, `warmup`, `runs` -> `cold_ms`, `samples_ms`
 * - `close`: `id`
 * - `features` -> `features`, the CPU's of `/proc/cpuinfo`, as ARM spells them
 * - `refusal`: `page_size`, `atomics`, `avx512` -> `refusal`, null where the library may be loaded
 *
 * What a user would be told is `error`; anything else that is thrown is `crash`, with its stack.
 */
internal class Session(private val kind: EngineKind) {
    private val engines = mutableMapOf<String, Engine>()

    /** The first line, before any request. */
    fun greeting(): String = buildJsonObject { put("library", kind.library.toString()) }.toString()

    fun answer(line: String): String =
        try {
            perform(Json.parseToJsonElement(line).jsonObject).toString()
        } catch (problem: Problem) {
            errorLine(problem)
        } catch (failure: Throwable) {
            // a bug, and whoever sent the request is to see it
            buildJsonObject { put("crash", failure.stackTraceToString()) }.toString()
        }

    private fun perform(request: JsonObject): JsonElement =
        when (val op = request.text("op")) {
            "load" -> load(request)
            "run" -> run(request)
            "time" -> time(request)
            "close" -> buildJsonObject { engine(request).close() }
            "features" -> buildJsonObject { put("features", features()) }
            "refusal" -> refusal(request)
            else -> throw IllegalArgumentException("there is no op $op")
        }

    private fun load(request: JsonObject): JsonObject {
        val signature = request.getValue("signature").jsonObject
        val start = System.nanoTime()
        engines[request.text("id")] =
            kind.load(
                File(request.text("file")),
                Signature(specs(signature.getValue("inputs")), specs(signature.getValue("outputs"))),
                request.number("threads"),
            )
        return buildJsonObject {
            put("load_ms", (System.nanoTime() - start) / 1e6)
            put("library", kind.library.toString())
        }
    }

    private fun run(request: JsonObject): JsonObject {
        val engine = engine(request)
        val outputs = samples(File(request.text("inputs"))) { inputs -> inputs.map(engine::run).toList() }
        val named = outputs.first().indices.associate { "output/$it" to stacked(outputs.map { all -> all[it] }) }
        writeNpz(File(request.text("outputs")).outputStream(), named, deflated = false)
        return buildJsonObject {}
    }

    private fun time(request: JsonObject): JsonObject {
        val engine = engine(request)
        val given = samples(File(request.text("inputs"))) { it.first() }
        val timing = measure(Plan(request.number("warmup"), request.number("runs"))) { engine.run(given) }
        return buildJsonObject {
            put("cold_ms", timing.cold)
            put("samples_ms", JsonArray(timing.samples.map(::JsonPrimitive)))
        }
    }

    private fun refusal(request: JsonObject): JsonObject {
        val machine = Machine(request.number("page_size"), request.flag("atomics"), request.flag("avx512"))
        return buildJsonObject { put("refusal", kind.refusal(machine)) }
    }

    private fun engine(request: JsonObject): Engine = engines.getValue(request.text("id"))
}

internal fun errorLine(problem: Problem): String = buildJsonObject { put("error", problem.message) }.toString()

/** Gives the samples of a file to [use], one read at a time; all inputs have as many. */
private fun <T> samples(file: File, use: (Sequence<List<Tensor>>) -> T): T =
    NpzFile(file).use { npz ->
        val readers = List(npz.names.size) { npz.open("input/$it") }
        try {
            use((0 until readers.first().shape.first()).asSequence().map { readers.map(NpyReader::row) })
        } finally {
            readers.forEach(NpyReader::close)
        }
    }

/** Equal shapes along a new first axis. */
private fun stacked(tensors: List<Tensor>): Tensor {
    val result = Tensor.zeros(tensors.first().dtype, listOf(tensors.size) + tensors.first().shape)
    result.bytes().let { bytes -> tensors.forEach { bytes.put(it.bytes()) } }
    return result
}

private fun features(): String {
    val line = File("/proc/cpuinfo").readLines().firstOrNull { it.startsWith("Features") }
    return line.orEmpty().substringAfter(':').trim()
}

private fun specs(list: JsonElement): List<TensorSpec> =
    list.jsonArray.map { it.jsonObject }.map { spec ->
        val shape = spec.getValue("shape").jsonArray.map { it.jsonPrimitive.int }
        TensorSpec(spec.text("name"), shape, DType.of(spec.text("dtype")))
    }

private fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content

private fun JsonObject.flag(name: String): Boolean = getValue(name).jsonPrimitive.boolean

private fun JsonObject.number(name: String): Int = getValue(name).jsonPrimitive.int
