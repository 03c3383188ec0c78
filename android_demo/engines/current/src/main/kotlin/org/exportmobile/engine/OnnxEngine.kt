package org.exportmobile.engine

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OnnxValue
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import org.exportmobile.core.CheckedEngine
import org.exportmobile.core.DType
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Library
import org.exportmobile.core.Machine
import org.exportmobile.core.Problem
import org.exportmobile.core.Signature
import org.exportmobile.core.Tensor
import org.exportmobile.core.firstLine
import org.exportmobile.core.loading
import org.exportmobile.core.nativeCall
import java.io.File

private const val VERSION = "1.29.0"

private val DTYPES =
    mapOf(
        OnnxJavaType.FLOAT16 to DType.FLOAT16,
        OnnxJavaType.FLOAT to DType.FLOAT32,
        OnnxJavaType.DOUBLE to DType.FLOAT64,
        OnnxJavaType.BOOL to DType.BOOL,
        OnnxJavaType.UINT8 to DType.UINT8,
        OnnxJavaType.INT8 to DType.INT8,
        OnnxJavaType.INT16 to DType.INT16,
        OnnxJavaType.INT32 to DType.INT32,
        OnnxJavaType.INT64 to DType.INT64,
    )
private val TYPES = DTYPES.entries.associate { (type, dtype) -> dtype to type }

/** `.onnx` in ONNX Runtime, on the CPU. Inputs and outputs go by position, as the exporter writes them. */
object OnnxEngine : EngineKind {
    override val format = "onnx"
    override val library = Library("ONNX Runtime", VERSION)

    // Nothing of the library may happen before its telemetry is off.
    private val environment: OrtEnvironment by lazy { OrtEnvironment.getEnvironment().apply { setTelemetry(false) } }

    override fun refusal(machine: Machine): String? = null

    override fun load(file: File, signature: Signature, threads: Int): Engine =
        loading(library, file, ::reason) {
            val session = options(threads).use { environment.createSession(file.path, it) }
            try {
                checkEnds(file, session, signature)
                OnnxSession(environment, session, signature)
            } catch (problem: Problem) {
                session.close()
                throw problem
            }
        }
}

private fun options(threads: Int) =
    OrtSession.SessionOptions().apply {
        setIntraOpNumThreads(threads)
        setInterOpNumThreads(1)
        setOptimizationLevel(OrtSession.SessionOptions.OptLevel.ALL_OPT)
        setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL) // its failures are exceptions as well
    }

private class OnnxSession(
    private val environment: OrtEnvironment,
    private val session: OrtSession,
    signature: Signature,
) : CheckedEngine(signature) {
    private val names = session.inputNames.toList()

    override fun infer(inputs: List<Tensor>): List<Tensor> =
        nativeCall("${OnnxEngine.library} fails to run the model", ::reason) {
            val given = LinkedHashMap<String, OnnxTensor>()
            try {
                for ((name, tensor) in names.zip(inputs)) given[name] = onnxTensor(tensor)
                session.run(given).use { result -> result.map { (name, value) -> copyOf(name, value) } }
            } finally {
                given.values.forEach(OnnxTensor::close)
            }
        }

    override fun release() = session.close()

    private fun onnxTensor(tensor: Tensor): OnnxTensor {
        val shape = LongArray(tensor.shape.size) { tensor.shape[it].toLong() }
        return OnnxTensor.createTensor(environment, tensor.bytes(), shape, TYPES.getValue(tensor.dtype))
    }
}

/** Whether the file has as many inputs and outputs as the model, and takes the same types and shapes. */
private fun checkEnds(file: File, session: OrtSession, signature: Signature) {
    val ends = listOf(session.inputInfo to signature.inputs, session.outputInfo to signature.outputs)
    if (ends.any { (nodes, specs) -> nodes.size != specs.size }) {
        throw Problem("${file.name} does not have the model's inputs and outputs.")
    }
    for ((node, spec) in session.inputInfo.values.zip(signature.inputs)) {
        if (!node.takes(spec.dtype, spec.shape)) throw Problem("${file.name} does not take $spec.")
    }
}

private fun NodeInfo.takes(dtype: DType, shape: List<Int>): Boolean {
    val tensor = info as? TensorInfo ?: return false
    val fits =
        tensor.shape.size == shape.size &&
            tensor.shape.zip(shape).all { (own, size) -> own < 0 || own == size.toLong() }
    return fits && DTYPES[tensor.type] == dtype
}

private fun copyOf(name: String, value: OnnxValue): Tensor {
    val tensor = value as? OnnxTensor ?: throw Problem("The output $name is no tensor.")
    val dtype =
        DTYPES[tensor.info.type]
            ?: throw Problem("The output $name is ${tensor.info.type}, which this app cannot read.")
    val copy = Tensor.zeros(dtype, tensor.info.shape.map(Long::toInt))
    copy.bytes().put(tensor.byteBuffer)
    return copy
}

/** Without `Error code - ORT_FAIL - message: `. */
private fun reason(failure: Throwable): String = firstLine(failure).substringAfter(" - message: ")
