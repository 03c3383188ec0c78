package org.exportmobile.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.graphics.drawable.BitmapDrawable
import android.view.View
import android.view.ViewGroup
import android.widget.ImageView
import android.widget.Toast
import org.exportmobile.core.Answer
import org.exportmobile.core.Pixels

/** Draws, picks or takes a sample, and shows what every artifact says of it. */
class TryPage(
    private val view: View,
    private val session: Session,
    private val model: Model,
    private val activity: Activity,
) : Page {
    private val pad: DrawView = view.need(R.id.pad)
    private val photo: ImageView = view.need(R.id.photo)
    private val seen: ImageView = view.need(R.id.seen)
    private val cards: ViewGroup = view.need(R.id.cards)
    private val watcher: (TrialState) -> Unit = ::render

    init {
        view.need<View>(R.id.scroll).padForBars(sides = false, bottom = true)
        view.findViewById<View>(R.id.input_scroll)?.padForBars(sides = false, bottom = true)
        (session.trial.state.value.given as? Given.Drawing)?.let { pad.strokes = it.strokes }
        pad.onDrawn = { session.trial.run(model, Given.Drawing(it)) }
        button(R.id.clear, model.drawn) {
            pad.strokes = emptyList()
            session.trial.clear()
        }
        button(R.id.pick, model.image != null && !model.drawn, ::pick)
        button(R.id.sample, model.golden != null, ::nextSample)
    }

    override fun start() = session.trial.state.watch(watcher)

    override fun stop() = session.trial.state.forget(watcher)

    private fun button(id: Int, shown: Boolean, click: () -> Unit) {
        val button = view.need<View>(id)
        button.visibility = if (shown) View.VISIBLE else View.GONE
        button.setOnClickListener { click() }
    }

    private fun nextSample() {
        val golden = model.golden ?: return
        val last = (session.trial.state.value.given as? Given.Sample)?.index ?: -1
        pad.strokes = emptyList()
        session.trial.run(model, Given.Sample((last + 1) % golden.count))
    }

    private fun pick() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        try {
            activity.startActivityForResult(intent, PICK)
        } catch (_: ActivityNotFoundException) {
            Toast.makeText(activity, R.string.no_picker, Toast.LENGTH_LONG).show()
        }
    }

    private fun render(state: TrialState) {
        renderInput(state.shown)
        view.text(R.id.caption).text = state.problem ?: caption(state.shown)
        renderConsensus(state)
        cards.removeAllViews()
        for (said in state.said) card(cards.add(R.layout.card_answer), said)
        val shares = state.said.any { it.answers.isNotEmpty() }
        view.text(R.id.note).textOrGone(if (shares) view.resources.getString(R.string.answers_note) else null)
    }

    private fun renderInput(shown: Shown?) {
        val drawing = shown == null || shown.given is Given.Drawing
        pad.visibility = if (model.drawn && drawing) View.VISIBLE else View.GONE
        val picture = shown?.seen?.let { image -> crisp(image) }
        photo.visibility = if (picture != null && !drawing) View.VISIBLE else View.GONE
        photo.setImageDrawable(picture)
        photo.contentDescription = caption(shown)
        seen.visibility = if (picture != null && drawing) View.VISIBLE else View.GONE
        seen.setImageDrawable(picture)
        seen.contentDescription = view.resources.getString(R.string.input_drawn)
    }

    /** The model's own pixels, not blurred when they are enlarged. */
    private fun crisp(image: Pixels) = BitmapDrawable(view.resources, image.bitmap()).apply { isFilterBitmap = false }

    private fun caption(shown: Shown?): String {
        val resources = view.resources
        return when (val given = shown?.given) {
            is Given.Drawing -> {
                resources.getString(R.string.input_drawn)
            }

            is Given.Photo -> {
                resources.getString(R.string.input_photo)
            }

            is Given.Sample -> {
                val count = model.golden?.count ?: 0
                shown.label?.let { resources.getString(R.string.input_sample_label, given.index + 1, count, it) }
                    ?: resources.getString(R.string.input_sample, given.index + 1, count)
            }

            null -> {
                resources.getString(
                    when {
                        model.drawn -> R.string.input_none
                        model.image != null -> R.string.input_none_photo
                        else -> R.string.input_none_sample
                    },
                )
            }
        }
    }

    private fun renderConsensus(state: TrialState) {
        val consensus = view.need<View>(R.id.consensus)
        val tops = state.said.mapNotNull { it.answers.firstOrNull()?.index }
        val votes = tops.groupingBy { it }.eachCount()
        val winner = votes.maxByOrNull { it.value }
        val first = state.running && state.said.isEmpty()
        consensus.visibility = if (winner != null || first) View.VISIBLE else View.GONE
        view.text(R.id.big).text = if (votes.size > 1) "≠" else winner?.key?.toString().orEmpty()
        val resources = view.resources
        view.text(R.id.says).text =
            winner?.let {
                resources.getQuantityString(
                    R.plurals.votes,
                    it.value,
                    it.value,
                    model.artifacts.size,
                    it.key,
                )
            }
                ?: resources.getString(R.string.running)
        val original = state.shown?.original?.firstOrNull()
        view.text(R.id.original).textOrGone(original?.let { resources.getString(R.string.original_says, it.index) })
    }

    private fun card(card: View, said: Said) {
        card.text(R.id.name).artifact(said.artifact)
        card.text(R.id.time).text = said.ms?.let { timeText(card.context, it) }
        card.text(R.id.reason).textOrGone(said.problem)
        val rows: ViewGroup = card.need(R.id.answers)
        val color = formatColor(card.context, said.artifact.format)
        for (answer in said.answers) row(rows.add(R.layout.row_answer), answer, color)
        for (output in said.outputs) summary(rows.add(R.layout.row_summary), output)
    }

    private fun row(row: View, answer: Answer, color: Int) {
        row.text(R.id.answer).text = answer.index.toString()
        row.text(R.id.share).text = shareText(row.context, answer.share)
        row.need<BarView>(R.id.bar).show(answer.share.toFloat(), color)
    }

    private fun summary(row: View, output: OutputSummary) {
        val (low, high, mean) = listOf(output.low, output.high, output.mean).map { "%.4g".format(it) }
        row.text(R.id.answer).text = row.resources.getString(R.string.summary_output, output.name, low, high, mean)
    }

    companion object {
        const val PICK = 2
    }
}
