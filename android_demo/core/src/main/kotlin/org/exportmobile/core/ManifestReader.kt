package org.exportmobile.core

import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject

/** The file that describes a folder of artifacts. */
const val MANIFEST = "manifest.json"

private const val SCHEMA_VERSION = 2L
private val SHA256 = Regex("[0-9a-f]{64}")
private val OFFSET = Regex("""offset (\d+)""")
private val PRECISIONS = listOf("fp32", "fp16", "int8")
private val SCHEMES = listOf("float", "static", "dynamic")

// A manifest is data from outside: a name that climbs out of its folder must not be followed.
private val FILE_NAME = Regex("""[^/\\.\x00][^/\\\x00]*""")

/**
 * Reads the text of a manifest.json.
 *
 * A format, precision or scheme that this app does not know makes that artifact [Artifact.unusable]; further fields
 * that it does not know, such as those that a later revision of the schema adds, are told in [Manifest.remarks].
 *
 * @throws Problem it is damaged, of another version, or of a model that this app cannot run at all.
 */
fun readManifest(text: String): Manifest {
    val json = parse(text)
    val unknown = mutableListOf<String>()
    val manifest = Fields.read(json, "", unknown) { manifest() }
    return manifest.copy(remarks = listOfNotNull(remark(unknown)))
}

private fun parse(text: String): JsonObject {
    val element =
        try {
            Json.parseToJsonElement(text)
        } catch (error: SerializationException) {
            val offset = OFFSET.find(error.message.orEmpty())?.groupValues?.get(1)?.toInt()
            val line = offset?.let { " in line ${text.take(it).count { c -> c == '\n' } + 1}" }.orEmpty()
            throw Problem("$MANIFEST is damaged$line: that is no JSON. Export again, or restore the file.", error)
        }
    return element as? JsonObject ?: throw Problem("$MANIFEST is damaged: it holds no JSON object. Export again.")
}

private fun remark(unknown: List<String>): String? {
    if (unknown.isEmpty()) return null
    val shown = unknown.take(3).joinToString(", ") + if (unknown.size > 3) " and ${unknown.size - 3} more" else ""
    return "$MANIFEST holds what this app does not know and left out: $shown."
}

private fun Fields.manifest(): Manifest {
    val version = wholeOrNull("schema_version")
    if (version == null) damaged("schema_version", "is missing")
    if (version != SCHEMA_VERSION) {
        throw Problem("$MANIFEST has schema version $version, this app reads $SCHEMA_VERSION; update the app.")
    }
    ignore("schema_revision", "seconds", "calibration", "options", "tools", "reference_latency_ms", "capture")
    ignore("devices", "sweep")
    return Manifest(
        name = text("name"),
        created = text("created"),
        source =
            one("source") {
                ignore("sha256", "bytes", "factory")
                Source(text("target"), text("kind"), count("reference_bytes"), texts("notes"))
            },
        signature = one("signature") { Signature(list("inputs") { tensorSpec() }, list("outputs") { tensorSpec() }) },
        evidence = text("evidence"),
        evaluation =
            one("evaluation") { Provenance(text("origin"), small("samples"), flag("random"), flag("labelled")) },
        preprocessing = oneOrNull("preprocessing") { preprocess() },
        golden = oneOrNull("golden") { GoldenFile(fileName("file"), digest("sha256"), small("samples")) },
        artifacts = list("artifacts") { artifact() },
        notes = texts("notes"),
        remarks = emptyList(),
    )
}

private fun Fields.tensorSpec(): TensorSpec {
    val name = text("name")
    val shape = counts("shape") ?: damaged("shape", "is missing")
    val title = text("dtype")
    val dtype =
        DType.entries.firstOrNull { it.title == title }
            ?: throw Problem("The model's $name holds $title, an element type that this app does not know.")
    val bytes = shape.fold(dtype.size.toDouble()) { total, size -> total * size }
    if (bytes > Int.MAX_VALUE) {
        throw Problem("The model's $name takes ${(bytes / 1e9).toLong()} GB, too much for this app.")
    }
    return TensorSpec(name, shape, dtype, wholeOrNull("low"), wholeOrNull("high"))
}

private fun Fields.artifact(): Artifact {
    ignore("delegation", "diverged", "seconds", "stages", "passes", "layers", "weight_bytes")
    val format = text("format")
    val precision = text("precision")
    val scheme = text("scheme")
    val verdict = text("verdict")
    val reason = textOrNull("reason")
    val file = fileNameOrNull("file")
    val artifact =
        Artifact(
            format = format,
            precision = precision,
            scheme = scheme,
            passed = verdict == "pass",
            reason = reason,
            file = file,
            bytes = countOrNull("bytes"),
            sha256 = digestOrNull("sha256"),
            sidecars = sidecars(),
            parity = oneOrNull("parity") { parity() },
            goldenParity = oneOrNull("golden_parity") { parity() },
            tolerance = oneOrNull("tolerance") { tolerance() },
            latency = oneOrNull("latency_ms") { hostLatency() },
            notes = texts("notes"),
            needs = oneOrNull("needs") { Needs(textMap("facts"), texts("lacking")) } ?: Needs(),
            unusable =
                when {
                    format !in FORMATS -> strange("format", format)
                    precision !in PRECISIONS -> strange("precision", precision)
                    scheme !in SCHEMES -> strange("scheme", scheme)
                    verdict != "pass" && verdict != "fail" -> strange("verdict", verdict)
                    file == null -> "The exporter made no file: ${reason?.trimEnd('.') ?: "it does not say why"}."
                    else -> null
                },
        )
    backed(verdict, artifact)
    return artifact
}

private fun strange(what: String, value: String) = "This app does not know the $what $value; a newer one may."

/** A pass needs a file and a comparison behind it; a failure needs its cause. */
private fun Fields.backed(verdict: String, artifact: Artifact) {
    val facts = listOf(artifact.file, artifact.bytes, artifact.sha256, artifact.parity)
    if (verdict == "pass" && null in facts) damaged("verdict", "is pass, but file, bytes, sha256 or parity is missing")
    if (verdict == "fail" && artifact.reason.isNullOrEmpty()) damaged("verdict", "is fail, but reason is missing")
    if (artifact.file != null && artifact.sha256 == null) damaged("sha256", "is missing")
}

private fun Fields.parity() =
    Parity(
        samples = small("samples"),
        maxAbs = number("max_abs"),
        cosine = number("cosine"),
        sqnrDb = number("sqnr_db"),
        top1Agreement = numberOrNull("top1_agreement"),
        accuracy = numberOrNull("accuracy"),
        referenceAccuracy = numberOrNull("reference_accuracy"),
        worstOutput = textOrNull("worst_output"),
    )

/** Null where no bound is given at all: nothing could fail by it. */
private fun Fields.tolerance(): Tolerance? =
    Tolerance(
        minSqnrDb = numberOrNull("min_sqnr_db"),
        atol = numberOrNull("atol"),
        minAgreement = numberOrNull("min_agreement"),
        maxDrop = numberOrNull("max_drop"),
        agreementOnRandom = flag("agreement_on_random"),
        reason = textOrNull("reason").orEmpty(),
    ).takeIf { it != Tolerance(agreementOnRandom = it.agreementOnRandom, reason = it.reason) }

private fun Fields.hostLatency(): HostLatency {
    ignore("min", "where", "samples_ms", "p99", "cold")
    return HostLatency(number("p50"), number("p90"), small("runs"), small("threads"))
}

private fun Fields.sidecars(): Map<String, String> =
    textMap("sidecars").onEach { (name, digest) ->
        if (!FILE_NAME.matches(name)) damaged("sidecars", "names $name, which is no plain file name")
        if (!SHA256.matches(digest)) damaged("sidecars.$name", "is no sha256")
    }

private fun Fields.fileName(name: String): String = fileNameOrNull(name) ?: damaged(name, "is missing")

private fun Fields.fileNameOrNull(name: String): String? =
    textOrNull(name)?.also { if (!FILE_NAME.matches(it)) damaged(name, "is $it, which is no plain file name") }

private fun Fields.digest(name: String): String = digestOrNull(name) ?: damaged(name, "is missing")

private fun Fields.digestOrNull(name: String): String? =
    textOrNull(name)?.also { if (!SHA256.matches(it)) damaged(name, "is no sha256") }
