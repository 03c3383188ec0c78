package org.exportmobile.core

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json

/**
 * What was measured on a device, to share as JSON.
 *
 * @property created when, ISO 8601 in UTC.
 * @property model name in its manifest.
 */
@Serializable
data class BenchmarkReport(
    val model: String,
    val created: String,
    val app: String,
    val device: DeviceFacts,
    val runs: List<BenchmarkRun>,
) {
    /** Indented JSON; it knows no NaN, so a parity that could not be computed is left out. */
    fun toJson(): String {
        val sound = runs.map { run -> run.copy(parity = run.parity?.takeIf { it.notNumbers().isEmpty() }) }
        return JSON.encodeToString(serializer(), copy(runs = sound))
    }

    private companion object {
        val JSON =
            Json {
                prettyPrint = true
                encodeDefaults = true
            }
    }
}

/** What a device says of itself; [pageSize] in bytes. */
@Serializable
data class DeviceFacts(
    val model: String,
    val system: String,
    val abi: String,
    val cores: Int,
    @SerialName("page_size") val pageSize: Int,
)

/**
 * One artifact with one number of threads.
 *
 * @property library name and version.
 * @property problem why it does not hold, or does not run; null where all is well.
 * @property thermalBefore Android's thermal status, 0 (none) to 6 (shutdown), where it is readable (Android 10 on).
 */
@Serializable
data class BenchmarkRun(
    val file: String,
    val format: String,
    val precision: String,
    val scheme: String,
    val library: String,
    val threads: Int,
    @SerialName("load_ms") val loadMs: Double? = null,
    @SerialName("cold_ms") val coldMs: Double? = null,
    @SerialName("samples_ms") val samplesMs: List<Double> = emptyList(),
    val p50: Double? = null,
    val p90: Double? = null,
    val p99: Double? = null,
    val stopped: Boolean = false,
    val parity: Parity? = null,
    val verdict: String,
    val problem: String? = null,
    @SerialName("thermal_before") val thermalBefore: Int? = null,
    @SerialName("thermal_after") val thermalAfter: Int? = null,
)
