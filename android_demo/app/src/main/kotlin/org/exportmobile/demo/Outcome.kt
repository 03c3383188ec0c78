package org.exportmobile.demo

import org.exportmobile.core.Artifact
import org.exportmobile.core.Comparison
import org.exportmobile.core.Engine
import org.exportmobile.core.Library
import org.exportmobile.core.Mismatch
import org.exportmobile.core.Parity
import org.exportmobile.core.Plan
import org.exportmobile.core.Problem
import org.exportmobile.core.Timing
import org.exportmobile.core.goldenProblem
import org.exportmobile.core.measure

/** PASS and FAIL by the exporter's own rule; UNJUDGED ran, but with nothing to judge it by; UNAVAILABLE did not run. */
enum class Verdict(val title: Int) {
    PASS(R.string.pass),
    FAIL(R.string.fail),
    UNJUDGED(R.string.unjudged),
    UNAVAILABLE(R.string.unavailable),
}

/**
 * What came of one artifact on this device.
 *
 * @property library null where this app has none for the format.
 * @property loadMs until it could run, reading the file to check it included.
 * @property problem why it is no PASS.
 */
data class Outcome(
    val artifact: Artifact,
    val library: Library?,
    val verdict: Verdict,
    val problem: String? = null,
    val loadMs: Double? = null,
    val timing: Timing? = null,
    val parity: Parity? = null,
)

/** How to measure. */
data class Settings(val plan: Plan, val threads: Int)

/**
 * Loads an artifact, times it and compares its outputs with the golden ones. Not for the main thread.
 *
 * @param stop asked between two runs.
 * @param progress told after each timed run.
 */
class Examination(
    private val loader: Loader,
    private val settings: Settings,
    private val stop: () -> Boolean,
    private val progress: (done: Int, all: Int) -> Unit,
) {
    fun of(model: Model, artifact: Artifact): Outcome {
        val library = loader.kind(artifact.format)?.library
        var outcome = Outcome(artifact, library, Verdict.UNAVAILABLE)
        try {
            loader.guarded {
                val start = System.nanoTime()
                loader.load(model.folder, artifact, settings.threads).use { engine ->
                    outcome = outcome.copy(loadMs = (System.nanoTime() - start) / 1e6)
                    outcome = outcome.copy(timing = time(engine, model), verdict = Verdict.UNJUDGED)
                    outcome = compared(outcome, engine, model)
                }
            }
        } catch (problem: Problem) {
            outcome = outcome.copy(problem = problem.message)
        }
        return outcome
    }

    private fun time(engine: Engine, model: Model): Timing {
        val inputs = model.inputs()
        return measure(settings.plan, stop, progress) { engine.run(inputs) }
    }

    private fun compared(outcome: Outcome, engine: Engine, model: Model): Outcome {
        val golden = model.golden ?: return outcome.copy(problem = model.goldenProblem)
        val comparison = Comparison(model.signature.outputs)
        return try {
            golden.samples().use { samples ->
                for (sample in samples) {
                    if (stop()) return outcome
                    comparison.add(sample.outputs, engine.run(sample.inputs))
                }
            }
            judged(outcome.copy(parity = comparison.parity(golden.labels)), model)
        } catch (mismatch: Mismatch) {
            outcome.copy(verdict = Verdict.FAIL, problem = sentence(mismatch.message.orEmpty()))
        }
    }

    private fun judged(outcome: Outcome, model: Model): Outcome {
        val parity = outcome.parity ?: return outcome
        val problem = outcome.artifact.goldenProblem(parity, model.folder.manifest.evaluation.random)
        val verdict = if (problem == null) Verdict.PASS else Verdict.FAIL
        return outcome.copy(verdict = verdict, problem = problem?.let(::sentence))
    }
}

/** Reasons are written to stand after a colon; alone they are a sentence. */
private fun sentence(reason: String) = reason.replaceFirstChar { it.uppercase() }.trimEnd('.') + "."
