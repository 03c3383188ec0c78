package org.exportmobile.core

import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.sqrt

/** Names of 2-D outputs whose arg-max means nothing. */
private val NOT_SCORES = Regex("embed|hidden|pool|feature|state|box|coord|attention", RegexOption.IGNORE_CASE)

/** How near to 1 a normalized float32 row is in length, with room for an epsilon in the division. */
private const val UNIT = 1e-4

/** How near to 1 the sum of a row of probabilities is. */
private const val WHOLE = 1e-2

/**
 * Which output holds class scores: float, (batch, classes), at least two classes.
 *
 * One named `logits` wins; else the first that is not named like an embedding, a state or boxes.
 *
 * @return its position, or null where no output looks like class scores.
 */
fun top1Output(outputs: List<TensorSpec>): Int? {
    val fit = outputs.indices.filter { outputs[it].run { shape.size == 2 && shape[1] >= 2 && dtype.floating } }
    return fit.firstOrNull { "logits" in outputs[it].name.lowercase() }
        ?: fit.firstOrNull { !NOT_SCORES.containsMatchIn(outputs[it].name) }
}

/** One class that a model answers with. [share] is its probability, 0 to 1. */
data class Answer(val index: Int, val share: Double)

/**
 * The most probable classes of the first row of class scores, best first.
 *
 * Scores that are probabilities already stay as they are, others go through a softmax.
 *
 * @param outputs of one inference, in the order of [specs].
 * @return at most [count] answers; none where no output looks like class scores, or one holds NaN.
 */
fun topAnswers(outputs: List<Tensor>, specs: List<TensorSpec>, count: Int): List<Answer> {
    val scores = outputs[top1Output(specs) ?: return emptyList()]
    if (scores.shape.size != 2) return emptyList()
    val rows = rowsOf(scores)
    val row = rows.firstOrNull() ?: return emptyList()
    if (row.any { it.isNaN() } || areDirections(rows)) return emptyList()
    return probabilities(row)
        .mapIndexed { index, share -> Answer(index, share) }
        .sortedByDescending { it.share }
        .take(count)
}

private fun probabilities(row: DoubleArray): DoubleArray {
    if (row.all { it in 0.0..1.0 } && abs(row.sum() - 1) < WHOLE) return row
    val top = row.max()
    val powers = DoubleArray(row.size) { if (row[it] == top) 1.0 else exp(row[it] - top) }
    val sum = powers.sum()
    return DoubleArray(row.size) { powers[it] / sum }
}

/** Shares of rows, 0 to 1; null where they mean nothing. */
internal class Rates(val agreement: Double? = null, val accuracy: Double? = null, val referenceAccuracy: Double? = null)

/**
 * The arg-max of every row of class scores, or of what may yet turn out to be none.
 *
 * Rows of length 1 that go below 0 are directions, as embeddings of sentences and faces are: not even a softmax looks
 * like that. Their arg-max is a near tie that means nothing.
 */
internal class Scores(private val output: Int) {
    private val wanted = mutableListOf<Int>()
    private val got = mutableListOf<Int>()
    private var directions = true
    private var classes = 0

    fun add(wanted: List<Tensor>, got: List<Tensor>) {
        val rows = rowsOf(wanted[output])
        rows.mapTo(this.wanted, ::argMax)
        rowsOf(got[output]).mapTo(this.got, ::argMax)
        classes = wanted[output].shape[1]
        directions = directions && areDirections(rows)
    }

    /**
     * @param labels of each sample; accuracies need one row a sample.
     * @throws Problem a label is not a class.
     */
    fun rates(labels: List<Int>?): Rates {
        if (wanted.isEmpty() || (directions && labels == null)) return Rates()
        val agreement = share(wanted, got)
        if (labels == null || labels.size != wanted.size) return Rates(agreement)
        labels.firstOrNull { it !in 0 until classes }?.let {
            throw Problem("Label $it is not a class: the model has $classes, counted from 0.")
        }
        return Rates(agreement, share(got, labels), share(wanted, labels))
    }

    private fun share(one: List<Int>, other: List<Int>) =
        one.indices.count { one[it] == other[it] } / one.size.toDouble()
}

private fun rowsOf(scores: Tensor): List<DoubleArray> {
    val values = scores.toDoubles()
    val (rows, classes) = scores.shape
    return List(rows) { values.copyOfRange(it * classes, (it + 1) * classes) }
}

private fun argMax(row: DoubleArray): Int = row.indices.fold(0) { best, i -> if (row[i] > row[best]) i else best }

private fun areDirections(rows: List<DoubleArray>): Boolean =
    rows.all { row -> abs(sqrt(row.sumOf { it * it }) - 1) < UNIT } && rows.any { row -> row.any { it < 0 } }
