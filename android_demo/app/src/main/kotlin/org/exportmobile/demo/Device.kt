package org.exportmobile.demo

import android.annotation.TargetApi
import android.app.ActivityManager
import android.content.Context
import android.os.Build
import android.os.PowerManager
import android.system.Os
import android.system.OsConstants
import org.exportmobile.core.DeviceFacts
import org.exportmobile.core.Machine
import java.io.File
import java.io.IOException

/** What this device says of itself. */
class Device(private val context: Context) {
    val pageSize: Int by lazy { Os.sysconf(OsConstants._SC_PAGESIZE).toInt() }
    val abi: String get() = Build.SUPPORTED_ABIS.firstOrNull() ?: Build.CPU_ABI
    val arm: Boolean get() = abi.startsWith("arm")
    val cores: Int get() = Runtime.getRuntime().availableProcessors()
    val model: String get() = "${Build.MANUFACTURER} ${Build.MODEL}"

    /** What decides which library may be loaded. Reads a file. */
    val machine: Machine by lazy {
        val features = cpuFeatures()
        Machine(pageSize, atomics = !arm || "atomics" in features, avx512 = "avx512f" in features)
    }

    /** Memory in bytes: all of it, and what apps may take now before Android ends some. */
    fun memory(): Pair<Long, Long> {
        val info = ActivityManager.MemoryInfo()
        service(ActivityManager::class.java).getMemoryInfo(info)
        return info.totalMem to maxOf(0, info.availMem - info.threshold)
    }

    /** Android's thermal status, 0 (none) to 6 (shutdown); null before Android 10. */
    fun thermal(): Int? = if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) null else thermalStatus()

    @TargetApi(Build.VERSION_CODES.Q)
    private fun thermalStatus(): Int = service(PowerManager::class.java).currentThermalStatus

    fun facts(): DeviceFacts {
        val system = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})"
        return DeviceFacts(model, system, abi, cores, pageSize)
    }

    private fun <T : Any> service(kind: Class<T>): T = checkNotNull(context.getSystemService(kind))

    private fun cpuFeatures(): Set<String> =
        try {
            val lines = File("/proc/cpuinfo").readLines().filter { it.startsWith(if (arm) "Features" else "flags") }
            lines.flatMap { it.substringAfter(':').trim().split(' ') }.toSet()
        } catch (_: IOException) {
            emptySet()
        }
}
