package org.exportmobile.demo

import android.net.Uri

/**
 * What the list of models shows.
 *
 * @property entries null until they were read once.
 * @property problem of the last folder that was opened.
 */
data class ModelsState(val entries: List<Entry>? = null, val copying: Boolean = false, val problem: String? = null)

/**
 * Finds and fetches models on the [worker].
 *
 * @param found told of all folders whenever they were looked at.
 */
class Models(private val shelf: Shelf, private val worker: Worker, private val found: (List<Entry>) -> Unit) {
    val state = Live(ModelsState())

    /** Looks for folders again; models may have been pushed meanwhile. */
    fun refresh() =
        worker.run {
            val (entries, problem) = shelf.look()
            worker.show {
                found(entries)
                state.value = state.value.copy(entries = entries, problem = problem ?: state.value.problem)
            }
        }

    /** Copies a folder that the user chose. */
    fun open(tree: Uri) {
        if (state.value.copying) return
        state.value = state.value.copy(copying = true, problem = null)
        worker.run {
            val failed = problemOf { shelf.open(tree) }
            val (entries, problem) = shelf.look()
            worker.show {
                found(entries)
                state.value = ModelsState(entries, copying = false, problem = failed ?: problem)
            }
        }
    }
}
