package org.exportmobile.demo

import android.net.Uri
import org.exportmobile.core.Problem
import java.io.File

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
 * @param replaced told of a folder whose files are new.
 */
class Models(private val shelf: Shelf, private val worker: Worker, private val replaced: (File) -> Unit) {
    val state = Live(ModelsState())

    /** Looks for folders again; models may have been pushed meanwhile. */
    fun refresh() =
        worker.run {
            val (entries, problem) = listed()
            worker.show { state.value = state.value.copy(entries = entries, problem = problem ?: state.value.problem) }
        }

    /** Copies a folder that the user chose. */
    fun open(tree: Uri) {
        if (state.value.copying) return
        state.value = state.value.copy(copying = true, problem = null)
        worker.run {
            var folder: File? = null
            val failed = problemOf { folder = shelf.open(tree) }
            val (entries, problem) = listed()
            worker.show {
                folder?.let(replaced)
                state.value = ModelsState(entries, copying = false, problem = failed ?: problem)
            }
        }
    }

    private fun listed(): Pair<List<Entry>, String?> {
        var entries = emptyList<Entry>()
        val problem = problemOf { entries = shelf.entries() }
        return entries to problem
    }

    private fun problemOf(task: () -> Unit): String? =
        try {
            task()
            null
        } catch (problem: Problem) {
            problem.message
        }
}
