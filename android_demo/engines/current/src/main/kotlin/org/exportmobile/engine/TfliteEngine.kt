package org.exportmobile.engine

import org.exportmobile.core.CheckedEngine
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Library
import org.exportmobile.core.Machine
import org.exportmobile.core.Problem
import org.exportmobile.core.Signature
import org.exportmobile.core.Tensor
import org.exportmobile.core.TensorSpec
import org.exportmobile.core.firstLine
import org.exportmobile.core.largePages
import org.exportmobile.core.loading
import org.exportmobile.core.nativeCall
import org.tensorflow.lite.Interpreter
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Tensor as NativeTensor

private const val VERSION = "2.16.1"

/**
 * `.tflite` in TensorFlow Lite.
 *
 * The file names its inputs and outputs as the model does. Where it stores 64-bit values in 32 bits, or quantized
 * ones, they are converted here.
 */
object TfliteEngine : EngineKind {
    override val format = "tflite"
    override val library = Library("TensorFlow Lite", VERSION)

    override fun refusal(machine: Machine): String? =
        largePages(library, machine) ?: if (machine.avx512) {
            // Its XNNPACK loads 64 bytes from memory that it aligned to 32: tensorflow/tensorflow issue 65314.
            "$library crashes on a CPU with AVX-512; use an emulator on another PC, or a phone."
        } else {
            null
        }

    override fun load(file: File, signature: Signature, threads: Int): Engine {
        val interpreter =
            loading(library, file, ::reason) { Interpreter(file, Interpreter.Options().setNumThreads(threads)) }
        try {
            return loading(library, file, ::reason) {
                interpreter.allocateTensors()
                val ends = Ends(interpreter)
                TfliteModel(
                    interpreter,
                    signature,
                    signature.inputs.map { Slot(it, ends.input(it), interpreter::getInputTensor) },
                    signature.outputs.map { Slot(it, ends.output(it), interpreter::getOutputTensor) },
                )
            }
        } catch (problem: Problem) {
            interpreter.close()
            throw problem
        }
    }
}

private class TfliteModel(
    private val interpreter: Interpreter,
    signature: Signature,
    private val inputs: List<Slot>,
    private val outputs: List<Slot>,
) : CheckedEngine(signature) {
    override fun infer(inputs: List<Tensor>): List<Tensor> =
        nativeCall("${TfliteEngine.library} fails to run the model", ::reason) {
            val given = arrayOfNulls<Any>(interpreter.inputTensorCount)
            for ((slot, tensor) in this.inputs.zip(inputs)) given[slot.position] = slot.toFile(tensor).bytes()
            val taken = outputs.associate { it.position to buffer(interpreter.getOutputTensor(it.position)) }
            interpreter.runForMultipleInputsOutputs(given, taken)
            outputs.map { it.toModel(taken.getValue(it.position), interpreter.getOutputTensor(it.position).shape()) }
        }

    override fun release() = interpreter.close()

    private fun buffer(tensor: NativeTensor) =
        ByteBuffer.allocateDirect(tensor.numBytes()).order(ByteOrder.nativeOrder())
}

/** Where the file has the model's inputs and outputs: by the names of its signature; without one, by those of tensors. */
private class Ends(private val interpreter: Interpreter) {
    private val key = interpreter.signatureKeys.firstOrNull()

    fun input(spec: TensorSpec): Int {
        val tensors = List(interpreter.inputTensorCount, interpreter::getInputTensor)
        if (key == null) return tensors.named(spec)
        if (spec.name !in interpreter.getSignatureInputs(key)) refuse(spec)
        return tensors.at(interpreter.getInputTensorFromSignature(spec.name, key), spec)
    }

    fun output(spec: TensorSpec): Int {
        val tensors = List(interpreter.outputTensorCount, interpreter::getOutputTensor)
        if (key == null) return tensors.named(spec)
        if (spec.name !in interpreter.getSignatureOutputs(key)) refuse(spec)
        return tensors.at(interpreter.getOutputTensorFromSignature(spec.name, key), spec)
    }

    private fun List<NativeTensor>.at(tensor: NativeTensor, spec: TensorSpec): Int =
        indexOfFirst { it.index() == tensor.index() }.also { if (it < 0) refuse(spec) }

    private fun List<NativeTensor>.named(spec: TensorSpec): Int =
        indexOfFirst { it.name() == spec.name }.also { if (it < 0) refuse(spec) }

    private fun refuse(spec: TensorSpec): Nothing = throw Problem("The file has nothing named ${spec.name}.")
}

/** The sentence without the place in the source it comes from. */
private fun reason(failure: Throwable): String =
    firstLine(failure).substringAfter("Internal error: ").substringBefore(". An older version")
