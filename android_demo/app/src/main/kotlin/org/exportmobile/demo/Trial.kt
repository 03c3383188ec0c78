package org.exportmobile.demo

import android.net.Uri
import org.exportmobile.core.Answer
import org.exportmobile.core.Artifact
import org.exportmobile.core.Engine
import org.exportmobile.core.GoldenSample
import org.exportmobile.core.Pixels
import org.exportmobile.core.Problem
import org.exportmobile.core.Tensor
import org.exportmobile.core.imageLayout
import org.exportmobile.core.imageTensor
import org.exportmobile.core.topAnswers

/** What the user gives a model. */
sealed interface Given {
    data class Drawing(val strokes: List<List<Point>>) : Given

    data class Photo(val uri: Uri) : Given

    data class Sample(val index: Int) : Given
}

/**
 * What went in.
 *
 * @property seen the image as the model sees it; null where the input is none.
 * @property label of a golden sample, where known.
 * @property original what the original model answers, for a golden sample.
 */
class Shown(
    val given: Given,
    val inputs: List<Tensor>,
    val seen: Pixels?,
    val label: Int? = null,
    val original: List<Answer> = emptyList(),
)

/**
 * What one artifact says.
 *
 * @property answers the best first; none where the outputs are no class scores: [outputs] then holds them.
 */
class Said(
    val artifact: Artifact,
    val ms: Double? = null,
    val answers: List<Answer> = emptyList(),
    val outputs: List<OutputSummary> = emptyList(),
    val problem: String? = null,
)

/**
 * @property given the last, which may not run yet.
 * @property shown what the artifacts were run on; [said] what they said of it.
 */
data class TrialState(
    val given: Given? = null,
    val shown: Shown? = null,
    val said: List<Said> = emptyList(),
    val running: Boolean = false,
    val problem: String? = null,
)

/** One input through every artifact. Its functions are for the main thread. */
class Trial(private val loader: Loader, private val photos: Photos, private val worker: Worker) {
    val state = Live(TrialState())
    private var next: Pair<Model, Given>? = null

    /** Loaded once, or the reason why not; only the worker looks at it. */
    private val engines = HashMap<Artifact, Result<Engine>>()

    /** Runs all artifacts on [given]; while they run, only the last of what is given is kept for later. */
    fun run(model: Model, given: Given) {
        if (state.value.running) {
            next = model to given
            state.value = state.value.copy(given = given)
            return
        }
        state.value = state.value.copy(given = given, running = true, problem = null)
        worker.run {
            try {
                val shown = loader.guarded { shown(model, given) }
                worker.show { state.value = state.value.copy(shown = shown) }
                for (artifact in model.artifacts) say(ask(model, artifact, shown.inputs))
            } catch (problem: Problem) {
                worker.show { state.value = TrialState(problem = problem.message, running = true) }
            }
            worker.show(::end)
        }
    }

    /** Back to no input. */
    fun clear() {
        next = null
        state.value = if (state.value.running) state.value.copy(given = null) else TrialState()
    }

    /** Closes what is loaded; it is loaded again when needed. */
    fun release() =
        worker.run {
            engines.values.forEach { it.getOrNull()?.close() }
            engines.clear()
        }

    /** Closes what is loaded, and loads nothing again for a screen that is gone. */
    fun close() {
        next = null
        release()
    }

    private fun end() {
        val cleared = state.value.given == null
        state.value = if (cleared) TrialState(problem = state.value.problem) else state.value.copy(running = false)
        next?.let { (model, given) ->
            next = null
            run(model, given)
        }
    }

    private fun say(said: Said) =
        worker.show {
            val before = state.value.said
            val at = before.indexOfFirst { it.artifact == said.artifact }
            val now = if (at < 0) before + said else before.toMutableList().also { it[at] = said }
            state.value = state.value.copy(said = now)
        }

    private fun shown(model: Model, given: Given): Shown =
        when (given) {
            is Given.Drawing -> shownImage(model, given, digitImage(given.strokes, model.imageSide()))
            is Given.Photo -> shownImage(model, given, photos.read(given.uri, model.imageSide()))
            is Given.Sample -> shownSample(model, given, model.sample(given.index))
        }

    private fun shownImage(model: Model, given: Given, image: Pixels): Shown {
        val spec = model.image ?: throw Problem("${model.folder.manifest.name} takes no image.")
        val input = imageTensor(image, model.preprocess, spec)
        return Shown(given, listOf(input), seen(input, spec))
    }

    private fun shownSample(model: Model, given: Given, sample: GoldenSample): Shown {
        val seen = model.image?.let { seen(sample.inputs[0], it) }
        val original = topAnswers(sample.outputs, model.signature.outputs, ANSWERS)
        return Shown(given, sample.inputs, seen, sample.label, original)
    }

    private fun ask(model: Model, artifact: Artifact, inputs: List<Tensor>): Said =
        try {
            loader.guarded { answered(model, artifact, inputs) }
        } catch (problem: Problem) {
            Said(artifact, problem = problem.message)
        }

    private fun answered(model: Model, artifact: Artifact, inputs: List<Tensor>): Said {
        val engine = engines.getOrPut(artifact) { loaded(model, artifact, inputs) }.getOrThrow()
        val start = System.nanoTime()
        val outputs = engine.run(inputs)
        val ms = (System.nanoTime() - start) / 1e6
        val answers = topAnswers(outputs, model.signature.outputs, ANSWERS)
        val summaries = if (answers.isEmpty()) summaries(outputs, model.signature.outputs) else emptyList()
        return Said(artifact, ms, answers, summaries)
    }

    /** The first run after loading is slow by nature; it is not the one whose time is shown. */
    private fun loaded(model: Model, artifact: Artifact, inputs: List<Tensor>): Result<Engine> =
        try {
            Result.success(loader.load(model.folder, artifact, threads = 1).also { it.run(inputs) })
        } catch (problem: Problem) {
            Result.failure(problem)
        }

    private companion object {
        const val ANSWERS = 3
    }
}

private fun Model.imageSide(): Int = image?.imageLayout()?.let { maxOf(it.height, it.width) } ?: 0

private fun Model.sample(index: Int): GoldenSample = golden?.sample(index) ?: throw Problem(goldenProblem.orEmpty())
