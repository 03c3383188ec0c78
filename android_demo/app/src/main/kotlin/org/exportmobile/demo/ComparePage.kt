package org.exportmobile.demo

import android.view.View
import android.view.ViewGroup
import android.widget.Button
import org.exportmobile.core.Artifact
import org.exportmobile.core.Plan

/** What every artifact is, how it does here, and how it did on the exporter's machine. */
class ComparePage(private val view: View, private val session: Session, private val model: Model) : Page {
    private val run: Button = view.need(R.id.run)
    private val cards: ViewGroup = view.need(R.id.cards)
    private val watcher: (JobState) -> Unit = ::render
    private var shown: List<Outcome>? = null

    init {
        view.need<View>(R.id.scroll).padForBars(sides = false, bottom = true)
        run.setOnClickListener { toggle() }
    }

    override fun start() = session.comparison.state.watch(watcher)

    override fun stop() = session.comparison.state.forget(watcher)

    private fun toggle() {
        if (session.comparison.state.value.running) return session.comparison.cancel()
        session.release()
        session.comparison.start(model, SETTINGS)
    }

    private fun render(state: JobState) {
        run.jobButton(state, R.string.compare_all, R.string.compare_again)
        view.need<View>(R.id.busy).visibility = if (state.running) View.VISIBLE else View.GONE
        val stopped = if (state.stopped) view.resources.getString(R.string.stopped) else null
        view.text(R.id.status).quietWhile(state.running).text = state.progressText(view.context) ?: stopped
        if (shown == state.outcomes) return
        shown = state.outcomes
        cards.removeAllViews()
        for (artifact in model.artifacts) {
            card(cards.add(R.layout.card_artifact), artifact, state.outcomes.find { it.artifact == artifact })
        }
    }

    private fun card(card: View, artifact: Artifact, outcome: Outcome?) {
        card.text(R.id.name).artifact(artifact)
        card.text(R.id.verdict).verdict(outcome?.verdict)
        card.text(R.id.library).textOrGone(outcome?.library?.toString())
        card.text(R.id.reason).textOrGone(outcome?.problem)
        figures(card.need(R.id.figures), artifact, outcome)
        val needs = artifact.needs.facts.map { (label, words) -> "$label $words" }.joinToString()
        card.text(R.id.needs).textOrGone(if (needs.isEmpty()) null else card.resources.getString(R.string.needs, needs))
        card.text(R.id.lacking).textOrGone(artifact.needs.lacking.joinToString("\n"))
    }

    private fun figures(table: ViewGroup, artifact: Artifact, outcome: Outcome?) {
        val context = table.context

        fun time(ms: Double?) = ms?.let { timeText(context, it) }
        row(table, null, context.getString(R.string.here), context.getString(R.string.host))
        row(table, R.string.size, artifact.bytes?.let { bytesText(context, it) }, null)
        row(table, R.string.load, time(outcome?.loadMs), null)
        row(table, R.string.median, time(outcome?.timing?.p50), time(artifact.latency?.p50))
        val both = listOf(outcome?.parity, artifact.goldenParity ?: artifact.parity)
        val (agreement, agreementThere) = both.map { it?.top1Agreement?.let { share -> shareText(context, share) } }
        row(table, R.string.agreement, agreement, agreementThere)
        val (sqnr, sqnrThere) = both.map { it?.sqnrDb?.let { decibels -> decibelText(context, decibels) } }
        row(table, R.string.sqnr, sqnr, sqnrThere)
    }

    private fun row(table: ViewGroup, label: Int?, here: String?, host: String?) {
        val row = table.add(R.layout.row_figure)
        label?.let { row.text(R.id.label).setText(it) }
        row.text(R.id.here).text = here ?: row.resources.getString(R.string.none)
        row.text(R.id.host).text = host.orEmpty()
    }

    private companion object {
        val SETTINGS = Settings(Plan(warmup = 3, runs = 30), threads = 1)
    }
}
