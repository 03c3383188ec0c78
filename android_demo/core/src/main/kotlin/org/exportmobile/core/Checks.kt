package org.exportmobile.core

import java.io.File

/**
 * An engine whose inputs are checked before its library sees them: native code that trusts a wrong size ends the
 * whole process.
 *
 * @property signature what [run] takes and gives.
 */
abstract class CheckedEngine(protected val signature: Signature) : Engine {
    private var closed = false

    final override fun run(inputs: List<Tensor>): List<Tensor> {
        if (closed) throw Problem("The model is closed; load it again.")
        checkInputs(signature, inputs)
        val outputs = infer(inputs)
        if (outputs.size != signature.outputs.size) {
            throw Problem("The file gives ${counted(outputs.size, "output")}, the model has ${signature.outputs.size}.")
        }
        return outputs
    }

    final override fun close() {
        if (closed) return
        closed = true
        release()
    }

    /** See [Engine.run]; the inputs fit. */
    protected abstract fun infer(inputs: List<Tensor>): List<Tensor>

    /** Frees what the library holds; called once. */
    protected abstract fun release()
}

/** Why a library that is built for memory pages of 4 KB must not be loaded on [machine]; null where it may be. */
fun largePages(library: Library, machine: Machine): String? =
    if (machine.pageSize <= 4096) {
        null
    } else {
        "$library is built for memory pages of 4 KB, and this device's have ${machine.pageSize / 1024} KB."
    }

/** @throws Problem count, dtype or shape of [inputs] is not what [signature] says. */
fun checkInputs(signature: Signature, inputs: List<Tensor>) {
    val wanted = signature.inputs
    if (inputs.size != wanted.size) {
        throw Problem("The model takes ${counted(wanted.size, "input")}, not ${inputs.size}.")
    }
    for ((spec, tensor) in wanted.zip(inputs)) {
        if (tensor.dtype != spec.dtype || tensor.shape != spec.shape) {
            val given = TensorSpec(spec.name, tensor.shape, tensor.dtype)
            throw Problem("The model takes $spec, not ${given.toString().substringAfter("(").removeSuffix(")")}.")
        }
    }
}

/**
 * Refuses element types that a library's Java API has not.
 *
 * @throws Problem an input is none of [inputs], or an output none of [outputs].
 */
fun checkDTypes(library: Library, signature: Signature, inputs: Set<DType>, outputs: Set<DType> = inputs) {
    signature.inputs.firstOrNull { it.dtype !in inputs }?.let {
        throw Problem("The Java API of $library takes no ${it.dtype.title} input, such as ${it.name}.")
    }
    signature.outputs.firstOrNull { it.dtype !in outputs }?.let {
        throw Problem("The Java API of $library gives no ${it.dtype.title} output, such as ${it.name}.")
    }
}

/**
 * Runs a library's code; whatever it throws becomes one sentence.
 *
 * @param what fails, such as `ONNX Runtime 1.29.0 cannot load a.onnx`.
 * @param reason what an exception of this library says, without its codes and stacks.
 * @throws Problem the code throws.
 */
inline fun <T> nativeCall(what: String, reason: (Throwable) -> String = ::firstLine, code: () -> T): T =
    try {
        code()
    } catch (problem: Problem) {
        throw problem
    } catch (failure: OutOfMemoryError) {
        throw Problem("$what: there is not enough memory.", failure)
    } catch (failure: LinkageError) {
        // the library itself does not load
        throw Problem("$what: ${reason(failure.cause ?: failure).trimEnd('.')}.", failure)
    } catch (failure: Exception) {
        throw Problem("$what: ${reason(failure).trimEnd('.')}.", failure)
    }

/**
 * Runs the code of a library that loads [file]; see [nativeCall].
 *
 * @throws Problem the file cannot be read, or the code throws.
 */
inline fun <T> loading(
    library: Library,
    file: File,
    crossinline reason: (Throwable) -> String = ::firstLine,
    code: () -> T,
): T {
    if (!file.isFile || !file.canRead()) throw Problem("There is no file ${file.name} that can be read.")
    if (file.length() == 0L) throw Problem("${file.name} is empty.")
    return nativeCall("$library cannot load ${file.name}", { reason(it).replace(file.path, file.name) }, code)
}

/** The first line of a failure's message, at most 300 characters of it. */
fun firstLine(failure: Throwable): String {
    val lines =
        failure.message
            .orEmpty()
            .lineSequence()
            .map(String::trim)
    return (lines.firstOrNull(String::isNotEmpty) ?: failure.javaClass.simpleName).take(LONGEST)
}

private const val LONGEST = 300

private fun counted(number: Int, thing: String): String = if (number == 1) "1 $thing" else "$number ${thing}s"
