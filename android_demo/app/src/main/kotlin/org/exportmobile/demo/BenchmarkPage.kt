package org.exportmobile.demo

import android.content.Context
import android.content.Intent
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.ProgressBar
import android.widget.RadioButton
import android.widget.RadioGroup
import org.exportmobile.core.Plan

/** Measures every artifact with the chosen number of threads and runs. */
class BenchmarkPage(
    private val view: View,
    private val session: Session,
    private val model: Model,
    private val app: DemoApp,
) : Page {
    private val context: Context = view.context
    private val run: Button = view.need(R.id.run)
    private val threads: RadioGroup = view.need(R.id.threads)
    private val runs: RadioGroup = view.need(R.id.runs)
    private val bars: ViewGroup = view.need(R.id.bars)
    private val watcher: (JobState) -> Unit = ::render
    private var shown: List<Outcome>? = null

    init {
        view.need<View>(R.id.scroll).padForBars(sides = false, bottom = true)
        for (choice in choices(threads)) if (choice.number > app.device.cores) choice.visibility = View.GONE
        session.benchmark.state.value.settings?.let { (plan, count) ->
            choose(threads, count)
            choose(runs, plan.runs)
        }
        run.setOnClickListener { toggle() }
        view.need<View>(R.id.share).setOnClickListener { share() }
    }

    override fun start() = session.benchmark.state.watch(watcher)

    override fun stop() = session.benchmark.state.forget(watcher)

    private fun toggle() {
        if (session.benchmark.state.value.running) return session.benchmark.cancel()
        session.release()
        session.benchmark.start(model, Settings(Plan(warmup = 5, runs = chosen(runs)), chosen(threads)))
    }

    private fun chosen(group: RadioGroup) = group.need<RadioButton>(group.checkedRadioButtonId).number

    private fun choose(group: RadioGroup, number: Int) {
        choices(group).find { it.number == number }?.isChecked = true
    }

    private fun choices(group: RadioGroup) = (0 until group.childCount).map { group.getChildAt(it) as RadioButton }

    private val RadioButton.number get() = text.toString().toInt()

    private fun share() {
        val json = report(session.benchmark.state.value, model, app).toJson()
        val send = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, json)
        context.startActivity(Intent.createChooser(send, context.getString(R.string.share)))
    }

    private fun render(state: JobState) {
        run.jobButton(state, R.string.start, R.string.start_again)
        for (choice in choices(threads) + choices(runs)) choice.isEnabled = !state.running
        val progress: ProgressBar = view.need(R.id.progress)
        progress.visibility = if (state.running) View.VISIBLE else View.INVISIBLE
        progress.max = model.artifacts.size * PARTS
        progress.progress = state.outcomes.size * PARTS + (state.progress?.run { done * PARTS / maxOf(1, all) } ?: 0)
        view.text(R.id.status).quietWhile(state.running).text = status(state)
        view.need<View>(R.id.results).visibility = if (state.outcomes.isEmpty()) View.GONE else View.VISIBLE
        view.need<View>(R.id.share).isEnabled = !state.running
        view.text(R.id.thermal).textOrGone(if (state.running) null else thermal(state))
        if (shown == state.outcomes) return
        shown = state.outcomes
        bars.removeAllViews()
        val longest = state.outcomes.mapNotNull { it.timing?.p90 }.maxOrNull() ?: 0.0
        for (outcome in state.outcomes) bar(bars.add(R.layout.row_bench), outcome, longest)
    }

    private fun status(state: JobState): String {
        val settings = state.settings ?: return context.getString(R.string.bench_idle)
        state.progressText(context)?.let { return it }
        if (state.stopped) return context.getString(R.string.bench_stopped)
        if (state.running) return context.getString(R.string.running)
        if (state.interrupted) return context.getString(R.string.bench_interrupted)
        val (plan, threads) = settings
        return context.resources.getQuantityString(R.plurals.bench_done, threads, plan.runs, threads)
    }

    private fun thermal(state: JobState): String {
        val before = state.thermalBefore ?: return context.getString(R.string.thermal_none)
        val words = context.resources.getStringArray(R.array.thermal)

        fun word(status: Int?) = words.getOrElse(status ?: -1) { context.getString(R.string.unknown) }
        return context.getString(R.string.thermal, word(before), word(state.thermalAfter))
    }

    private fun bar(row: View, outcome: Outcome, longest: Double) {
        row.text(R.id.name).artifact(outcome.artifact)
        val timing = outcome.timing
        val median = timing?.p50
        row.text(R.id.value).text = median?.let { timeText(context, it) } ?: context.getString(R.string.none)
        val bar: BarView = row.need(R.id.bar)
        bar.visibility = if (median == null) View.GONE else View.VISIBLE
        row.text(R.id.figures).textOrGone(if (median == null) null else figures(outcome))
        row.text(R.id.reason).textOrGone(outcome.problem)
        median ?: return
        val mark = timing.p90?.div(longest)?.toFloat()
        bar.show((median / longest).toFloat(), formatColor(context, outcome.artifact.format), mark)
    }

    private fun figures(outcome: Outcome): String {
        val timing = outcome.timing ?: return ""
        val times = listOf(timing.p90, timing.p99, timing.cold)
        val (p90, p99, cold) = times.map { it?.let { ms -> timeText(context, ms) }.orEmpty() }
        return context.getString(R.string.bench_figures, p90, p99, cold)
    }

    private companion object {
        const val PARTS = 100
    }
}
