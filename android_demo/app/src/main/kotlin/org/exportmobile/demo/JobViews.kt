package org.exportmobile.demo

import android.content.Context
import android.view.View
import android.widget.Button
import android.widget.TextView

// What Compare and Benchmark show alike.

/** Starts a job, or cancels the one that runs. */
fun Button.jobButton(state: JobState, first: Int, again: Int) {
    isEnabled = !state.stopping
    setText(
        when {
            state.stopping -> R.string.cancelling
            state.running -> R.string.cancel
            state.settings == null -> first
            else -> again
        },
    )
}

/** Does not read every step of a job aloud. */
fun TextView.quietWhile(running: Boolean): TextView {
    accessibilityLiveRegion =
        if (running) View.ACCESSIBILITY_LIVE_REGION_NONE else View.ACCESSIBILITY_LIVE_REGION_POLITE
    return this
}

/** Which artifact runs, and how far it is; null where nothing runs. */
fun JobState.progressText(context: Context): String? {
    val (artifact, done, all) = progress ?: return null
    if (done == 0) return context.getString(R.string.progress_loading, artifact.title)
    return context.getString(R.string.progress, artifact.title, done, all)
}

/** @param verdict null where the artifact was not run yet. */
fun TextView.verdict(verdict: Verdict?) =
    when (verdict) {
        null -> chip(R.string.waiting, R.color.soft, R.color.track)
        Verdict.PASS -> chip(verdict.title, R.color.good, R.color.good_back)
        Verdict.UNJUDGED -> chip(verdict.title, R.color.warn, R.color.warn_back)
        Verdict.FAIL, Verdict.UNAVAILABLE -> chip(verdict.title, R.color.bad, R.color.bad_back)
    }
