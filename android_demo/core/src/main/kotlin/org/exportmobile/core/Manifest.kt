package org.exportmobile.core

/** Formats whose runtimes this app has, by file suffix. */
val FORMATS = listOf("pte", "onnx", "tflite", "ptl")

/**
 * What the exporter says of one model, see [readManifest].
 *
 * @property name base name of the artifacts.
 * @property created when, as ISO 8601 in UTC.
 * @property signature flat inputs and outputs of the original model.
 * @property evidence in words, how much the comparison with the original model proves.
 * @property evaluation what the outputs were compared on.
 * @property preprocessing how images become inputs, where that was given.
 * @property golden inputs and the original model's outputs, where they were kept.
 * @property artifacts in the order asked for, those that cannot be used included.
 * @property notes what the exporter wants to be known about the whole.
 * @property remarks what this app did not understand and left out, one sentence each.
 */
data class Manifest(
    val name: String,
    val created: String,
    val source: Source,
    val signature: Signature,
    val evidence: String,
    val evaluation: Provenance,
    val preprocessing: Preprocess?,
    val golden: GoldenFile?,
    val artifacts: List<Artifact>,
    val notes: List<String>,
    val remarks: List<String>,
)

/**
 * The model as the user named it.
 *
 * @property referenceBytes of its parameters in float, to compare sizes with.
 */
data class Source(val target: String, val kind: String, val referenceBytes: Long, val notes: List<String>)

/**
 * Where samples came from.
 *
 * @property random made-up inputs, which are weak evidence.
 */
data class Provenance(val origin: String, val samples: Int, val random: Boolean, val labelled: Boolean)

/** The golden data beside the manifest. */
data class GoldenFile(val file: String, val sha256: String, val samples: Int)

/**
 * One artifact, or the failure to make it.
 *
 * @property format file format, such as `onnx`.
 * @property precision `fp32`, `fp16` or `int8`.
 * @property scheme how activations are treated: `float`, `static` or `dynamic`.
 * @property passed whether it held when it was exported; [reason] says why not.
 * @property file name in the folder; null when nothing usable was written.
 * @property bytes of its file and [sidecars].
 * @property sidecars further files that belong to it -> sha256.
 * @property parity in its runtime on the exporter's machine, on all evaluation samples.
 * @property goldenParity the same on the golden samples.
 * @property tolerance bounds it was judged by; null where the manifest holds none.
 * @property latency on the exporter's machine.
 * @property unusable why this app cannot load it, as a sentence; null where it can be tried.
 */
data class Artifact(
    val format: String,
    val precision: String,
    val scheme: String,
    val passed: Boolean,
    val reason: String?,
    val file: String?,
    val bytes: Long?,
    val sha256: String?,
    val sidecars: Map<String, String>,
    val parity: Parity?,
    val goldenParity: Parity?,
    val tolerance: Tolerance?,
    val latency: HostLatency?,
    val notes: List<String>,
    val needs: Needs,
    val unusable: String?,
) {
    /** Such as `onnx int8 static`. */
    val title: String get() = if (scheme == "float") "$format $precision" else "$format $precision $scheme"
}

/** Warm inference on the exporter's machine, in milliseconds. */
data class HostLatency(val p50: Double, val p90: Double, val runs: Int, val threads: Int)

/**
 * What an artifact asks of its runtime.
 *
 * @property facts label -> words, in the order to show.
 * @property lacking one sentence for each thing that a known Android library lacks.
 */
data class Needs(val facts: Map<String, String> = emptyMap(), val lacking: List<String> = emptyList())
