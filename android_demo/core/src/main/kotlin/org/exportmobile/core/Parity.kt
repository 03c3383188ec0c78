package org.exportmobile.core

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable

/**
 * Outputs against those of the original model, over all samples.
 *
 * @property maxAbs largest absolute difference of any element of any output.
 * @property cosine cosine similarity of the worst output, -1 to 1.
 * @property sqnrDb signal to quantization noise ratio of the worst output, in dB, -200 to 200.
 * @property top1Agreement share of rows with the same arg-max, where an output is class scores.
 * @property accuracy share of samples whose arg-max is the label, where there are labels.
 * @property referenceAccuracy the same for the original model.
 * @property worstOutput name of the output with the lowest SQNR, where there are several.
 */
@Serializable
data class Parity(
    val samples: Int,
    @SerialName("max_abs") val maxAbs: Double,
    val cosine: Double,
    @SerialName("sqnr_db") val sqnrDb: Double,
    @SerialName("top1_agreement") val top1Agreement: Double? = null,
    val accuracy: Double? = null,
    @SerialName("reference_accuracy") val referenceAccuracy: Double? = null,
    @SerialName("worst_output") val worstOutput: String? = null,
)

/** Outputs that cannot be compared at all, wrong whatever the tolerance; the message says why, in lower case. */
class Mismatch(message: String) : Exception(message)

/**
 * Compares the outputs of each sample with the original model's, one sample at a time.
 *
 * Each output has its own sums over all samples (see [ErrorSums]); cosine and SQNR are those of the worst output, so
 * that a good large output cannot hide a bad small one.
 *
 * @param outputs of the signature.
 */
class Comparison(outputs: List<TensorSpec>) {
    private val sums = outputs.map { ErrorSums(it.name) }
    private val scores = top1Output(outputs)?.let { Scores(it) }
    private var count = 0

    /**
     * Adds one sample.
     *
     * @param wanted outputs of the original model, in the signature's order.
     * @param got outputs to judge.
     * @throws Mismatch another number of outputs, another shape or dtype, NaN, or an Inf in only one of the two.
     */
    fun add(wanted: List<Tensor>, got: List<Tensor>) {
        if (wanted.size != sums.size || got.size != sums.size) {
            throw Mismatch("${got.size} outputs, the original model gives ${sums.size}")
        }
        for ((i, output) in sums.withIndex()) output.add(count, wanted[i], got[i])
        scores?.add(wanted, got)
        count++
    }

    /**
     * The metrics over all samples so far.
     *
     * @param labels class index of each sample, for the accuracies (models with one row of scores).
     * @throws Mismatch there is nothing to compare, or an output no longer depends on the input.
     * @throws Problem the number of labels, or a label, does not fit the model.
     */
    fun parity(labels: List<Int>? = null): Parity {
        if (sums.isEmpty() || count == 0) throw Mismatch("there are no outputs to compare")
        if (labels != null && labels.size != count) throw Problem("There are ${labels.size} labels for $count samples.")
        for (output in sums) output.refuseConstant(count)
        val rates = scores?.rates(labels) ?: Rates()
        return Parity(
            samples = count,
            maxAbs = sums.maxOf { it.maxAbs },
            cosine = sums.minOf { it.cosine },
            sqnrDb = sums.minOf { it.sqnrDb },
            top1Agreement = rates.agreement,
            accuracy = rates.accuracy,
            referenceAccuracy = rates.referenceAccuracy,
            worstOutput = if (sums.size > 1) sums.reduce { a, b -> if (b.sqnrDb < a.sqnrDb) b else a }.name else null,
        )
    }
}
