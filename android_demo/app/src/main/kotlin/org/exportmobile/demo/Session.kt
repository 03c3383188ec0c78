package org.exportmobile.demo

import org.exportmobile.core.Artifact
import org.exportmobile.core.Golden
import org.exportmobile.core.ModelFolder
import org.exportmobile.core.Preprocess
import org.exportmobile.core.Problem
import org.exportmobile.core.Tensor
import org.exportmobile.core.TensorSpec
import org.exportmobile.core.imageLayout
import org.exportmobile.core.toDoubles
import java.io.File

/**
 * A model that was read.
 *
 * @property stamp from before it was read.
 * @property artifacts those that this app has a runtime for come first.
 * @property golden null where there are none; [goldenProblem] then says why.
 * @property preprocess how images become inputs.
 */
class Model(
    val stamp: Stamp,
    val folder: ModelFolder,
    val artifacts: List<Artifact>,
    val golden: Golden?,
    val goldenProblem: String?,
    val preprocess: Preprocess?,
) {
    val signature get() = folder.manifest.signature

    /** The input that takes an image, where that is all the model takes. */
    val image: TensorSpec? = signature.inputs.singleOrNull()?.takeIf { it.imageLayout() != null }

    /** Whether the image is so small and grey that it is drawn rather than photographed. */
    val drawn: Boolean =
        image?.imageLayout()?.let { it.channels == 1 && maxOf(it.height, it.width) <= LARGEST_DRAWN } ?: false

    /** Inputs to measure with. */
    fun inputs(): List<Tensor> = golden?.sample(0)?.inputs ?: signature.inputs.map { Tensor.zeros(it.dtype, it.shape) }

    private companion object {
        const val LARGEST_DRAWN = 64
    }
}

/** A model as far as it was read: both null while it is being read. */
data class Reading(val model: Model? = null, val problem: String? = null)

/** All work on one model, and what came of it. Its functions are for the main thread. */
class Session(val folder: File, private val loader: Loader, photos: Photos, private val worker: Worker) {
    val reading = Live(Reading())
    val trial = Trial(loader, photos, worker)
    val comparison = Job(loader, worker)
    val benchmark = Job(loader, worker)

    init {
        worker.run {
            val read =
                try {
                    Reading(loader.guarded { read() })
                } catch (problem: Problem) {
                    Reading(problem = problem.message)
                }
            worker.show { reading.value = read }
        }
    }

    /** Gives the memory of loaded models back; they are loaded again when needed. */
    fun release() = trial.release()

    /** Stops what runs, so that the worker is free for other models. */
    fun close() {
        comparison.cancel()
        benchmark.cancel()
        trial.close()
    }

    private fun read(): Model {
        val stamp = Stamp(folder)
        val opened = ModelFolder(folder)
        val artifacts = opened.manifest.artifacts.sortedBy { loader.kind(it.format) == null }
        return try {
            val golden = opened.golden()
            Model(stamp, opened, artifacts, golden, null, opened.manifest.preprocessing ?: likeGolden(golden))
        } catch (problem: Problem) {
            Model(stamp, opened, artifacts, null, problem.message, opened.manifest.preprocessing)
        }
    }

    /** Where the manifest does not say how images go in: pixels from 0 to 255 if the golden samples look like it. */
    private fun likeGolden(golden: Golden): Preprocess? {
        val largest = golden.sample(0).inputs.maxOf { input -> input.toDoubles().maxOrNull() ?: 0.0 }
        return if (largest > 2) Preprocess(scale = 1.0) else null
    }
}
