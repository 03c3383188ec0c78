package org.exportmobile.core

import kotlin.math.floor

/**
 * How often to run.
 *
 * @property warmup runs after the first that are not timed.
 * @property runs timed runs, at least one.
 */
data class Plan(val warmup: Int = 3, val runs: Int = 50) {
    init {
        require(warmup >= 0 && runs >= 1) { "$warmup warm-up runs and $runs timed ones are no plan" }
    }
}

/**
 * Wall time of one inference in milliseconds.
 *
 * @property cold the first run after loading, kept apart.
 * @property samples each timed warm run, in order; fewer than planned where it was stopped.
 */
data class Timing(val cold: Double, val samples: List<Double>, val stopped: Boolean) {
    /** Null where it was stopped before the first timed run. */
    val p50: Double? get() = percentile(samples, 50.0)
    val p90: Double? get() = percentile(samples, 90.0)
    val p99: Double? get() = percentile(samples, 99.0)
    val min: Double? get() = samples.minOrNull()
}

/**
 * Times [run]: once cold, then warm.
 *
 * @param stop asked before every run but the first.
 * @param progress told after every run how many are done, of how many in all.
 * @param clock nanoseconds from any start.
 */
fun measure(
    plan: Plan,
    stop: () -> Boolean = { false },
    progress: (done: Int, all: Int) -> Unit = { _, _ -> },
    clock: () -> Long = System::nanoTime,
    run: () -> Unit,
): Timing {
    val all = 1 + plan.warmup + plan.runs
    val times = mutableListOf<Double>()
    while (times.size < all && (times.isEmpty() || !stop())) {
        val start = clock()
        run()
        times += (clock() - start) / 1e6
        progress(times.size, all)
    }
    return Timing(times.first(), times.drop(1 + plan.warmup), stopped = times.size < all)
}

/**
 * The value below which so many percent of [values] lie, between neighbours by linear interpolation, as numpy counts.
 *
 * @return null where there are no values.
 */
fun percentile(values: List<Double>, percent: Double): Double? {
    if (values.isEmpty()) return null
    val sorted = values.sorted()
    val position = percent / 100 * (sorted.size - 1)
    val below = floor(position).toInt()
    val above = minOf(below + 1, sorted.lastIndex)
    return sorted[below] + (sorted[above] - sorted[below]) * (position - below)
}
