package org.exportmobile.demo

import org.exportmobile.core.Artifact
import java.util.concurrent.atomic.AtomicBoolean

/** Where a job is: which artifact, and how many runs are done of how many; none yet while it loads. */
data class Progress(val artifact: Artifact, val done: Int, val all: Int)

/**
 * @property settings of the last job; null before the first.
 * @property outcomes of the artifacts that are done, in the manifest's order.
 * @property progress null where nothing runs.
 * @property stopped whether it was stopped before its end.
 * @property interrupted whether it ran in the background for some time, where Android may slow it down.
 */
data class JobState(
    val settings: Settings? = null,
    val outcomes: List<Outcome> = emptyList(),
    val running: Boolean = false,
    val progress: Progress? = null,
    val stopping: Boolean = false,
    val stopped: Boolean = false,
    val interrupted: Boolean = false,
    val thermalBefore: Int? = null,
    val thermalAfter: Int? = null,
)

/** Examines a model's artifacts one after the other, until told to stop. Its functions are for the main thread. */
class Job(private val loader: Loader, private val worker: Worker) {
    val state = Live(JobState())
    private var stop = AtomicBoolean()

    /** Does nothing while one runs. */
    fun start(model: Model, settings: Settings) {
        if (state.value.running) return
        val stop = AtomicBoolean().also { this.stop = it }
        state.value = JobState(settings, running = true, thermalBefore = loader.device.thermal())
        worker.run {
            for (artifact in model.artifacts) {
                if (stop.get()) break
                val outcome = examine(model, artifact, settings, stop)
                // What was stopped before its first timed run says nothing.
                val empty = outcome.timing != null && outcome.timing.samples.isEmpty()
                if (!empty) worker.show { state.value = state.value.run { copy(outcomes = outcomes + outcome) } }
            }
            worker.show { end(stop.get()) }
        }
    }

    fun cancel() {
        if (!state.value.running) return
        stop.set(true)
        state.value = state.value.copy(stopping = true)
    }

    /** Says that its screen was put away. */
    fun interrupt() {
        if (state.value.running) state.value = state.value.copy(interrupted = true)
    }

    private fun examine(model: Model, artifact: Artifact, settings: Settings, stop: AtomicBoolean): Outcome {
        tell(Progress(artifact, 0, 0))
        var told = 0L
        val examination =
            Examination(loader, settings, stop::get) { done, all ->
                val now = System.nanoTime()
                if (done == all || now - told > TELL_EVERY_NS) {
                    told = now
                    tell(Progress(artifact, done, all))
                }
            }
        return examination.of(model, artifact)
    }

    private fun tell(progress: Progress) = worker.show { state.value = state.value.copy(progress = progress) }

    private fun end(stopped: Boolean) {
        state.value =
            state.value.copy(
                running = false,
                progress = null,
                stopping = false,
                stopped = stopped,
                thermalAfter = loader.device.thermal(),
            )
    }

    private companion object {
        const val TELL_EVERY_NS = 50_000_000L
    }
}
