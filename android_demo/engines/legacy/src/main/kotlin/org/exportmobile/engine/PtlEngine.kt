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
import org.exportmobile.core.largePages
import org.exportmobile.core.loading
import org.exportmobile.core.nativeCall
import org.pytorch.IValue
import org.pytorch.LiteModuleLoader
import org.pytorch.Module
import org.pytorch.PyTorchAndroid
import java.io.File
import org.pytorch.Tensor as NativeTensor

private const val VERSION = "1.12.2"

/** `.ptl` in PyTorch Lite (its Lite Interpreter). */
object PtlEngine : EngineKind {
    override val format = "ptl"
    override val library = Library("PyTorch Lite", VERSION)

    override fun refusal(machine: Machine): String? = largePages(library, machine)

    override fun load(file: File, signature: Signature, threads: Int): Engine {
        checkDTypes(library, signature, TENSORS)
        return loading(library, file, ::cause) {
            checkStored(file, signature)
            PtlModule(LiteModuleLoader.load(file.path), signature, threads)
        }
    }
}

private class PtlModule(private val module: Module, signature: Signature, private val threads: Int) :
    CheckedEngine(signature) {
    override fun infer(inputs: List<Tensor>): List<Tensor> =
        nativeCall("${PtlEngine.library} fails to run the model", ::cause) {
            Pool.use(threads)
            val values = Array(inputs.size) { IValue.from(nativeTensor(inputs[it])) }
            tensors(module.forward(*values)).map(::copyOf)
        }

    override fun release() = module.destroy()

    /** The tensors of a result in order, whatever they are in; those of a dict in the signature's order. */
    private fun tensors(value: IValue): List<NativeTensor> =
        when {
            value.isTensor -> {
                listOf(value.toTensor())
            }

            value.isTuple -> {
                value.toTuple().flatMap(::tensors)
            }

            value.isTensorList -> {
                value.toTensorList().asList()
            }

            value.isList -> {
                value.toList().flatMap(::tensors)
            }

            value.isDictStringKey -> {
                value.toDictStringKey().let { dict ->
                    signature.outputs.map { dict.tensor(it.name) }
                }
            }

            else -> {
                throw Problem("An output of the model is no tensor.")
            }
        }

    private fun Map<String, IValue>.tensor(name: String): NativeTensor =
        get(name)?.takeIf(IValue::isTensor)?.toTensor() ?: throw Problem("The model gives no tensor named $name.")
}

/** The process's one pool of threads. */
private object Pool {
    private var size: Int? = null

    @Synchronized
    fun use(threads: Int) {
        if (threads != size) PyTorchAndroid.setNumThreads(threads)
        size = threads
    }
}
