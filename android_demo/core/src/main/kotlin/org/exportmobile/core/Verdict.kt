package org.exportmobile.core

/**
 * Bounds on a [Parity]; null is not judged.
 *
 * @property minSqnrDb smallest signal to noise ratio of the worst output, in dB.
 * @property atol largest absolute difference, in units of the output.
 * @property minAgreement smallest share of samples with the same arg-max, 0 to 1.
 * @property maxDrop largest loss of accuracy on labelled samples, 0 to 1.
 * @property agreementOnRandom whether [minAgreement] counts on made-up inputs, too.
 * @property reason why these bounds.
 */
data class Tolerance(
    val minSqnrDb: Double? = null,
    val atol: Double? = null,
    val minAgreement: Double? = null,
    val maxDrop: Double? = null,
    val agreementOnRandom: Boolean = false,
    val reason: String = "",
) {
    /**
     * Loosened to what the artifact itself showed on the exporter's machine on the few golden samples: one sample of
     * 16 that disagrees is no news if it disagreed there.
     */
    fun loosenedTo(before: Parity): Tolerance =
        copy(
            minAgreement = least(minAgreement, before.top1Agreement),
            minSqnrDb = least(minSqnrDb, before.sqnrDb - KERNELS_DB),
            maxDrop = largestDrop(before),
        )

    private fun least(bound: Double?, shown: Double?) =
        if (bound == null || shown == null) bound else minOf(bound, shown)

    private fun largestDrop(before: Parity): Double? {
        if (maxDrop == null || before.accuracy == null || before.referenceAccuracy == null) return maxDrop
        return maxOf(maxDrop, before.referenceAccuracy - before.accuracy)
    }
}

/** What another CPU's kernels may cost, in dB. */
private const val KERNELS_DB = 3.0

/**
 * What is wrong with an artifact whose outputs on the golden samples are [measured], or null: the exporter's own rule.
 * What failed at export still fails.
 *
 * @param random whether the samples were made up, see [Provenance.random].
 * @throws Problem the manifest holds no bounds to judge by.
 */
fun Artifact.goldenProblem(measured: Parity, random: Boolean): String? {
    val bounds = tolerance ?: throw Problem("$MANIFEST holds no tolerance to judge $file by. Export again.")
    val loosened = goldenParity?.let { bounds.loosenedTo(it) } ?: bounds
    val problem = judge(measured, loosened, random)?.let { "on the golden samples, $it" }
    return problem ?: if (passed) null else reason
}

/**
 * What is wrong, or null where every metric is within tolerance.
 *
 * @param random whether the samples were made up: agreement is then judged only if the tolerance says so.
 * @return measured and allowed values, the most telling first, such as
 *   `top-1 agreement 0.48 is below 0.90; SQNR 3.1 dB is below 10 dB`.
 */
fun judge(parity: Parity, tolerance: Tolerance, random: Boolean): String? =
    listOfNotNull(
        notANumber(parity),
        drop(parity, tolerance),
        if (random && !tolerance.agreementOnRandom) null else agreement(parity, tolerance),
        sqnr(parity, tolerance),
        maxAbs(parity, tolerance),
    ).joinToString("; ").ifEmpty { null }

// Each bound below asks whether the metric is good: a NaN compares false, and so cannot pass.

private fun notANumber(parity: Parity): String? =
    parity.notNumbers().joinToString(", ").ifEmpty { null }?.let { "$it cannot be computed (overflow)" }

/** Names of metrics that are NaN or infinite. */
internal fun Parity.notNumbers(): List<String> {
    val values =
        listOf(
            "max |Δ|" to maxAbs,
            "cosine" to cosine,
            "SQNR" to sqnrDb,
            "top-1 agreement" to top1Agreement,
            "accuracy" to accuracy,
            "the original's accuracy" to referenceAccuracy,
        )
    return values.filter { (_, value) -> value != null && !value.isFinite() }.map { it.first }
}

private fun drop(parity: Parity, tolerance: Tolerance): String? {
    val before = parity.referenceAccuracy
    val after = parity.accuracy
    if (tolerance.maxDrop == null || before == null || after == null) return null
    // 0.95 - 0.93 is a little more than 0.02 in binary.
    if (before - after <= tolerance.maxDrop + 1e-9) return null
    return "accuracy fell from ${fixed(before, 3)} to ${fixed(after, 3)}, more than ${general(tolerance.maxDrop)}"
}

private fun agreement(parity: Parity, tolerance: Tolerance): String? {
    val shown = parity.top1Agreement
    if (tolerance.minAgreement == null || shown == null || shown >= tolerance.minAgreement) return null
    return "top-1 agreement ${general(shown, 3)} is below ${fixed(tolerance.minAgreement, 2)}"
}

private fun sqnr(parity: Parity, tolerance: Tolerance): String? {
    if (tolerance.minSqnrDb == null || parity.sqnrDb >= tolerance.minSqnrDb) return null
    val which = parity.worstOutput?.let { " of output $it" }.orEmpty()
    return "SQNR ${fixed(parity.sqnrDb, 1)} dB$which is below ${general(tolerance.minSqnrDb)} dB"
}

private fun maxAbs(parity: Parity, tolerance: Tolerance): String? {
    if (tolerance.atol == null || parity.maxAbs <= tolerance.atol) return null
    return "max |Δ| ${general(parity.maxAbs, 3)} is above ${general(tolerance.atol, 3)}"
}
