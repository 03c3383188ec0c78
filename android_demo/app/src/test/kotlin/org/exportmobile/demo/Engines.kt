package org.exportmobile.demo

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import org.exportmobile.core.CheckedEngine
import org.exportmobile.core.DType
import org.exportmobile.core.Engine
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Library
import org.exportmobile.core.Machine
import org.exportmobile.core.Problem
import org.exportmobile.core.Signature
import org.exportmobile.core.Tensor
import java.io.File
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger

/** The application of the tests, by the name that the manifest has for the flavours' own. */
class DemoApplication : DemoApp() {
    override val engines: List<EngineKind> get() = kinds

    companion object {
        val usual = listOf(Broken, DesktopOnnx, Refused)
        var kinds: List<EngineKind> = usual
    }
}

/** ONNX Runtime's build for this machine: real answers without Android. */
object DesktopOnnx : EngineKind {
    override val format = "onnx"
    override val library = Library("ONNX Runtime", OrtEnvironment.getEnvironment().version)

    override fun refusal(machine: Machine): String? = null

    override fun load(file: File, signature: Signature, threads: Int): Engine {
        val environment = OrtEnvironment.getEnvironment()
        val options = OrtSession.SessionOptions().apply { setIntraOpNumThreads(threads) }
        return OnnxEngine(environment.createSession(file.path, options), environment, signature)
    }

    private class OnnxEngine(
        private val session: OrtSession,
        private val environment: OrtEnvironment,
        signature: Signature,
    ) : CheckedEngine(signature) {
        override fun infer(inputs: List<Tensor>): List<Tensor> {
            val given = signature.inputs.zip(inputs).associate { (spec, tensor) -> spec.name to tensor(tensor) }
            session.run(given).use { result ->
                return signature.outputs.map { spec ->
                    val values = (result.get(spec.name).get() as OnnxTensor).floatBuffer
                    Tensor.of(FloatArray(values.remaining()).also { values.get(it) }, spec.shape)
                }
            }
        }

        private fun tensor(tensor: Tensor): OnnxTensor {
            check(tensor.dtype == DType.FLOAT32)
            return OnnxTensor.createTensor(
                environment,
                tensor.bytes().asFloatBuffer(),
                tensor.shape
                    .map {
                        it.toLong()
                    }.toLongArray(),
            )
        }

        override fun release() = session.close()
    }
}

/** A library that does not know the file. */
object Broken : EngineKind {
    override val format = "pte"
    override val library = Library("ExecuTorch", "0.8.5")

    override fun refusal(machine: Machine): String? = null

    override fun load(file: File, signature: Signature, threads: Int): Engine =
        throw Problem("$library cannot load ${file.name}: the kernel aten::gelu.out is missing.")
}

/** A library that must not be loaded on this device. */
object Refused : EngineKind {
    override val format = "tflite"
    override val library = Library("TensorFlow Lite", "2.16.1")

    override fun refusal(machine: Machine): String =
        "$library is not built for memory pages of 16 KB, which this device has; it would not load."

    override fun load(file: File, signature: Signature, threads: Int): Engine = error("it was refused")
}

/**
 * Takes its time, counts its loads, and can be told to fail.
 *
 * @property gate runs wait until it is open.
 */
class Slow(
    private val pause: Long = 0,
    private val failure: Throwable? = null,
    val gate: CountDownLatch = CountDownLatch(0),
) : EngineKind by DesktopOnnx {
    val loads = AtomicInteger()
    val open = AtomicInteger()

    override fun load(file: File, signature: Signature, threads: Int): Engine {
        loads.incrementAndGet()
        failure?.let { throw it }
        val engine = DesktopOnnx.load(file, signature, threads)
        open.incrementAndGet()
        return object : Engine by engine {
            override fun run(inputs: List<Tensor>): List<Tensor> {
                gate.await()
                Thread.sleep(pause)
                return engine.run(inputs)
            }

            override fun close() {
                open.decrementAndGet()
                engine.close()
            }
        }
    }
}
