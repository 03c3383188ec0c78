package org.exportmobile.engine

import org.exportmobile.core.CheckedEngine
import org.exportmobile.core.DType
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Library
import org.exportmobile.core.Machine
import org.exportmobile.core.Problem
import org.exportmobile.core.Signature
import org.exportmobile.core.Tensor
import org.exportmobile.core.checkDTypes
import org.exportmobile.core.firstLine
import org.exportmobile.core.loading
import org.exportmobile.core.nativeCall
import org.pytorch.executorch.EValue
import org.pytorch.executorch.ExecutorchRuntimeException
import org.pytorch.executorch.Module
import java.io.File
import org.pytorch.executorch.DType as NativeDType
import org.pytorch.executorch.Tensor as NativeTensor

/** Of the npm package that its library is taken from, which does not say which ExecuTorch it was built from. */
private const val VERSION = "of react-native-executorch 0.8.5"

private const val METHOD = "forward"

private val DTYPES =
    mapOf(
        NativeDType.HALF to DType.FLOAT16,
        NativeDType.FLOAT to DType.FLOAT32,
        NativeDType.DOUBLE to DType.FLOAT64,
        NativeDType.UINT8 to DType.UINT8,
        NativeDType.INT8 to DType.INT8,
        NativeDType.INT32 to DType.INT32,
        NativeDType.INT64 to DType.INT64,
    )

/**
 * `.pte` in ExecuTorch, with XNNPACK.
 *
 * All models of a process share one pool of threads: it is as large as the last [load] says.
 */
object PteEngine : EngineKind {
    override val format = "pte"
    override val library = Library("ExecuTorch", VERSION)

    override fun refusal(machine: Machine): String? =
        if (machine.atomics) {
            null
        } else {
            "ExecuTorch's library needs a CPU with Armv8.1's atomic instructions, which this device's has not."
        }

    override fun load(file: File, signature: Signature, threads: Int): Engine {
        checkDTypes(library, signature, DTYPES.values.toSet())
        val module =
            loading(library, file, ::reason) {
                checkWhole(file)
                Module.load(file.path, Module.LOAD_MODE_MMAP, threads)
            }
        val code = module.loadMethod(METHOD)
        if (code != 0) {
            val said = module.readLogBuffer().lastOrNull()
            module.destroy()
            throw Problem("$library cannot load ${file.name}: ${meaning(code)}${if (said == null) "" else " ($said)"}.")
        }
        return PteModule(module, signature)
    }
}

private class PteModule(private val module: Module, signature: Signature) : CheckedEngine(signature) {
    override fun infer(inputs: List<Tensor>): List<Tensor> =
        nativeCall("${PteEngine.library} fails to run the model", ::reason) {
            val values = Array(inputs.size) { EValue.from(nativeTensor(inputs[it])) }
            module.execute(METHOD, *values).map(::copyOf)
        }

    override fun release() = module.destroy()
}

private fun nativeTensor(tensor: Tensor): NativeTensor {
    val shape = LongArray(tensor.shape.size) { tensor.shape[it].toLong() }
    val bytes = tensor.bytes()
    return when (tensor.dtype) {
        DType.FLOAT16 -> NativeTensor.fromBlob(bytes.asShortBuffer(), shape)
        DType.FLOAT32 -> NativeTensor.fromBlob(bytes.asFloatBuffer(), shape)
        DType.FLOAT64 -> NativeTensor.fromBlob(bytes.asDoubleBuffer(), shape)
        DType.UINT8 -> NativeTensor.fromBlobUnsigned(bytes, shape)
        DType.INT8 -> NativeTensor.fromBlob(bytes, shape)
        DType.INT32 -> NativeTensor.fromBlob(bytes.asIntBuffer(), shape)
        DType.INT64 -> NativeTensor.fromBlob(bytes.asLongBuffer(), shape)
        DType.BOOL, DType.INT16 -> error("${tensor.dtype} is refused when a model is loaded")
    }
}

/** A copy: the module writes its next outputs to the same memory. */
private fun copyOf(value: EValue): Tensor {
    if (!value.isTensor) throw Problem("An output of the model is no tensor.")
    val tensor = value.toTensor()
    val dtype =
        DTYPES[tensor.dtype()] ?: throw Problem("An output of the model is ${tensor.dtype()}, which Java cannot read.")
    val copy = Tensor.zeros(dtype, tensor.shape().map(Long::toInt))
    val bytes = copy.bytes()
    when (dtype) {
        DType.FLOAT16 -> bytes.asShortBuffer().put(tensor.dataAsShortArray)
        DType.FLOAT32 -> bytes.asFloatBuffer().put(tensor.dataAsFloatArray)
        DType.FLOAT64 -> bytes.asDoubleBuffer().put(tensor.dataAsDoubleArray)
        DType.UINT8 -> bytes.put(tensor.dataAsUnsignedByteArray)
        DType.INT8 -> bytes.put(tensor.dataAsByteArray)
        DType.INT32 -> bytes.asIntBuffer().put(tensor.dataAsIntArray)
        DType.INT64 -> bytes.asLongBuffer().put(tensor.dataAsLongArray)
        DType.BOOL, DType.INT16 -> error("DTYPES has no $dtype")
    }
    return copy
}

private fun reason(failure: Throwable): String =
    if (failure is ExecutorchRuntimeException) meaning(failure.errorCode) else firstLine(failure)
