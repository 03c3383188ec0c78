package org.exportmobile.core

import kotlin.math.abs
import kotlin.math.log10
import kotlin.math.sqrt

/** Stands for "identical": beyond what float64 sums resolve, and JSON has no infinity. */
private const val SQNR_CAP_DB = 200.0

/**
 * An output that became constant is a fault once its error exceeds 1 % of the signal (40 dB); below that the original
 * hardly varies either, and a rounded output may well stand still.
 */
private const val VARIES_DB = 40.0

/**
 * The error of one output, summed over all samples in float64. With r the reference and x the measured elements:
 *
 * - maxAbs = max |r - x|
 * - cosine = sum(r x) / sqrt(sum(r^2) sum(x^2)); 1 if both are zero, 0 if only one is.
 * - sqnrDb = 10 log10(sum(r^2) / sum((r - x)^2)), within +-200. A reference that is zero everywhere gives the upper
 *   cap if x is zero too, else the lower.
 *
 * Integers and booleans carry meaning rather than magnitude (999 is no good answer for class 998): there an element
 * counts as signal 1, and as noise 1 when it is not equal.
 */
internal class ErrorSums(val name: String) {
    var maxAbs = 0.0
        private set
    private var signal = 0.0
    private var noise = 0.0
    private var power = 0.0
    private var dot = 0.0
    private var first: Pair<DoubleArray, DoubleArray>? = null
    private var referenceVaries = false
    private var measuredVaries = false

    val cosine: Double
        get() = if (signal == 0.0 || power == 0.0) same(signal, power) else dot / (sqrt(signal) * sqrt(power))

    val sqnrDb: Double
        get() =
            when {
                noise == 0.0 -> SQNR_CAP_DB
                signal == 0.0 -> -SQNR_CAP_DB
                !signal.isFinite() || !noise.isFinite() -> Double.NaN
                else -> (10 * (log10(signal) - log10(noise))).coerceIn(-SQNR_CAP_DB, SQNR_CAP_DB)
            }

    /**
     * Adds one sample.
     *
     * @throws Mismatch the two have another shape or dtype, or differ in NaN or Inf.
     */
    fun add(index: Int, reference: Tensor, measured: Tensor) {
        val where = "output $name, sample $index"
        if (reference.shape != measured.shape) {
            val wanted = pythonShape(reference.shape)
            throw Mismatch("$where: shape ${pythonShape(measured.shape)}, the original's is $wanted")
        }
        if (reference.dtype != measured.dtype) {
            throw Mismatch("$where: dtype ${measured.dtype.title}, the original's is ${reference.dtype.title}")
        }
        if (reference.dtype.floating) addFloats(where, reference, measured) else addIntegers(reference, measured)
    }

    /**
     * Refuses a float output that stands still while the original's follows the input: a large constant offset can make
     * the SQNR of such an output look good.
     *
     * @throws Mismatch it does.
     */
    fun refuseConstant(samples: Int) {
        if (referenceVaries && !measuredVaries && sqnrDb < VARIES_DB) {
            throw Mismatch("output $name is the same for all $samples samples, the original's is not")
        }
    }

    private fun addFloats(where: String, reference: Tensor, measured: Tensor) {
        val wanted = reference.toDoubles()
        val got = measured.toDoubles()
        watch(wanted, got)
        refuseOdd(where, wanted, got)
        // A mask's -inf is fine where both have it.
        for (i in wanted.indices) if (wanted[i].isFinite()) sum(wanted[i], got[i])
    }

    private fun addIntegers(reference: Tensor, measured: Tensor) {
        val wanted = reference.toLongs()
        val got = measured.toLongs()
        for (i in wanted.indices) {
            sum(1.0, if (wanted[i] == got[i]) 1.0 else 0.0, abs(wanted[i].toDouble() - got[i].toDouble()))
        }
    }

    private fun sum(wanted: Double, got: Double, difference: Double = abs(wanted - got)) {
        val error = wanted - got
        maxAbs = maxOf(maxAbs, difference)
        signal += wanted * wanted
        power += got * got
        dot += wanted * got
        noise += error * error
    }

    private fun watch(wanted: DoubleArray, got: DoubleArray) {
        val (firstWanted, firstGot) = first ?: Pair(wanted, got).also { first = it }
        referenceVaries = referenceVaries || !equal(firstWanted, wanted)
        measuredVaries = measuredVaries || !equal(firstGot, got)
    }

    // Not contentEquals: it tells 0 and -0 apart.
    private fun equal(one: DoubleArray, other: DoubleArray) =
        one.size == other.size && one.indices.all { one[it] == other[it] }

    private fun refuseOdd(where: String, wanted: DoubleArray, got: DoubleArray) {
        if (wanted.any { it.isNaN() }) {
            throw Mismatch("$where: the original model itself gives NaN, which nothing can be compared with")
        }
        val bad = got.count { it.isNaN() }
        if (bad > 0) throw Mismatch("$where: NaN in $bad of ${got.size} elements")
        val odd = got.indices.count { (wanted[it].isInfinite() || got[it].isInfinite()) && wanted[it] != got[it] }
        if (odd > 0) {
            throw Mismatch("$where: $odd of ${got.size} elements are infinite in one but not in the other")
        }
    }

    private fun same(one: Double, other: Double) = if (one == other) 1.0 else 0.0
}
