package org.exportmobile.demo

import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors

/** The one thread for everything heavy: nothing is measured while something else runs. */
class Worker {
    private val main = Handler(Looper.getMainLooper())
    private val thread = Executors.newSingleThreadExecutor { Thread(it, "worker") }

    /** Does [task] after those before it. */
    fun run(task: () -> Unit) = thread.execute(task)

    /** Does [change] on the main thread. */
    fun show(change: () -> Unit) {
        main.post(change)
    }
}

/** A value of the main thread that outlives the screens; who watches gets it at once and whenever it changes. */
class Live<T>(first: T) {
    private val watchers = LinkedHashSet<(T) -> Unit>()

    var value: T = first
        set(new) {
            field = new
            watchers.toList().forEach { it(new) }
        }

    fun watch(watcher: (T) -> Unit) {
        watchers += watcher
        watcher(value)
    }

    fun forget(watcher: (T) -> Unit) {
        watchers -= watcher
    }
}
