package org.exportmobile.core

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import java.math.BigDecimal
import java.math.MathContext

/**
 * What was measured on a device, to share as JSON.
 *
 * @property created when, ISO 8601 in UTC.
 * @property model name in its manifest.
 * @property interrupted whether the app was in the background for some of the time.
 */
@Serializable
data class BenchmarkReport(
    val model: String,
    val created: String,
    val app: String,
    val device: DeviceFacts,
    val interrupted: Boolean = false,
    @SerialName("samples_left_out") val samplesLeftOut: Boolean = false,
    val runs: List<BenchmarkRun>,
) {
    /**
     * JSON on one line, of samples with four digits. Apps hand each other about half a million characters at most: of
     * a report that is longer than [LARGEST], the samples are left out.
     */
    fun toJson(): String {
        val text = JSON.encodeToString(serializer(), copy(runs = runs.map(BenchmarkRun::sound)))
        if (samplesLeftOut || text.length <= LARGEST) return text
        return copy(samplesLeftOut = true, runs = runs.map { it.copy(samplesMs = emptyList()) }).toJson()
    }

    private companion object {
        const val LARGEST = 100_000
        val JSON = Json { encodeDefaults = true }
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
) {
    /** JSON knows no NaN, so a parity that could not be computed is left out. */
    internal fun sound() =
        copy(
            samplesMs = samplesMs.map { BigDecimal(it).round(MathContext(SAMPLE_DIGITS)).toDouble() },
            parity = parity?.takeIf { it.notNumbers().isEmpty() },
        )

    private companion object {
        const val SAMPLE_DIGITS = 4
    }
}
