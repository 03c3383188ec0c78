package org.exportmobile.core

import java.io.Closeable
import java.io.File

private const val INPUT = "input/"
private const val OUTPUT = "output/"
private const val LABELS = "labels"

/**
 * One call.
 *
 * @property inputs in the signature's order.
 * @property outputs of the original model, in the signature's order.
 * @property label class index, where known.
 */
class GoldenSample(val inputs: List<Tensor>, val outputs: List<Tensor>, val label: Int?)

/**
 * Inputs and the original model's outputs, checked against the signature; samples are read one at a time.
 *
 * @property count samples, at least one.
 * @property labels class index of each, where known.
 */
class Golden private constructor(
    private val file: File,
    private val signature: Signature,
    val count: Int,
    val labels: List<Int>?,
) {
    /** All samples from the first on, to be closed by the caller. */
    fun samples(): GoldenSamples = GoldenSamples(NpzFile(file), signature, count, labels)

    /** The sample at a position, counted from 0. */
    fun sample(index: Int): GoldenSample =
        samples().use { samples ->
            repeat(index) { samples.next() }
            samples.next()
        }

    companion object {
        /**
         * @throws Problem the file is missing, damaged, or of another model.
         */
        fun open(file: File, signature: Signature): Golden =
            NpzFile(file).use { npz ->
                val inputs = signature.inputs.map { npz.count(file, INPUT, it) }
                val outputs = signature.outputs.map { npz.count(file, OUTPUT, it) }
                val labels = if (LABELS in npz.names) npz.labels(file) else null
                val all = (inputs + outputs + listOfNotNull(labels?.size)).toSet()
                val count = all.singleOrNull() ?: throw damagedGolden(file, "its arrays hold $all samples")
                if (count == 0) throw damagedGolden(file, "it holds no samples")
                Golden(file, signature, count, labels)
            }

        private fun NpzFile.count(file: File, prefix: String, spec: TensorSpec): Int =
            open(prefix + spec.name).use { reader ->
                if (reader.dtype != spec.dtype || reader.shape.drop(1) != spec.shape || reader.shape.isEmpty()) {
                    val found = "${reader.dtype.title} of shape ${pythonShape(reader.shape)}"
                    throw damagedGolden(file, "$prefix${spec.name} is $found, the model has $spec")
                }
                reader.shape[0]
            }

        private fun NpzFile.labels(file: File): List<Int> =
            open(LABELS).use { reader ->
                if (reader.shape.size != 1 || reader.dtype.floating || reader.dtype == DType.BOOL) {
                    val found = "${reader.dtype.title} of shape ${pythonShape(reader.shape)}"
                    throw damagedGolden(file, "its labels are $found")
                }
                reader.read().toLongs().map { label ->
                    if (label !in 0..Int.MAX_VALUE) throw damagedGolden(file, "label $label is no class")
                    label.toInt()
                }
            }

        private fun damagedGolden(file: File, why: String) =
            Problem("${file.name} is damaged: $why. Export the model again.")
    }
}

/** Golden samples in order, one at a time in memory; close it. */
class GoldenSamples internal constructor(
    private val npz: NpzFile,
    signature: Signature,
    private val count: Int,
    private val labels: List<Int>?,
) : Iterator<GoldenSample>,
    Closeable {
    private val inputs = readers(signature.inputs, INPUT)
    private val outputs = readers(signature.outputs, OUTPUT)
    private var done = 0

    override fun hasNext(): Boolean = done < count

    /** @throws Problem the data are damaged. */
    override fun next(): GoldenSample {
        if (!hasNext()) throw NoSuchElementException("there are $count samples")
        val label = labels?.get(done++)
        return GoldenSample(inputs.map { it.row() }, outputs.map { it.row() }, label)
    }

    // Closes the streams of all its readers, too.
    override fun close() = npz.close()

    private fun readers(specs: List<TensorSpec>, prefix: String): List<NpyReader> =
        try {
            specs.map { npz.open(prefix + it.name) }
        } catch (problem: Problem) {
            npz.close()
            throw problem
        }
}
