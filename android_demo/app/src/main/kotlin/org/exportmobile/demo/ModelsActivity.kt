package org.exportmobile.demo

import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.res.ColorStateList
import android.os.Bundle
import android.view.MenuItem
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import android.widget.Toast
import org.exportmobile.core.Manifest

/** The list of models. */
class ModelsActivity : Screen() {
    private val watcher: (ModelsState) -> Unit = ::render

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        show(R.layout.screen_models)
        bar.setTitle(R.string.app_name)
        val about = bar.menu.add(R.string.about).setIcon(R.drawable.ic_about)
        about.setShowAsAction(MenuItem.SHOW_AS_ACTION_ALWAYS)
        about.setOnMenuItemClickListener {
            startActivity(Intent(this, AboutActivity::class.java))
            true
        }
        need<View>(R.id.scroll).padForBars(sides = false, bottom = true)
        need<Button>(R.id.open).setOnClickListener { pick() }
    }

    override fun onStart() {
        super.onStart()
        app.models.state.watch(watcher)
        app.models.refresh()
    }

    override fun onStop() {
        app.models.state.forget(watcher)
        super.onStop()
    }

    private fun pick() =
        try {
            startActivityForResult(Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), PICK)
        } catch (_: ActivityNotFoundException) {
            Toast.makeText(this, R.string.no_picker, Toast.LENGTH_LONG).show()
        }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val tree = data?.data
        if (request == PICK && result == RESULT_OK && tree != null) app.models.open(tree)
    }

    private fun render(state: ModelsState) {
        val notice = if (state.copying) getString(R.string.copying) else state.problem
        need<TextView>(R.id.notice).textOrGone(notice)
        need<Button>(R.id.open).isEnabled = !state.copying
        val entries = state.entries
        need<TextView>(R.id.empty).textOrGone(
            when {
                entries == null -> getString(R.string.models_reading)
                entries.isEmpty() -> getString(R.string.models_empty)
                else -> null
            },
        )
        val cards: ViewGroup = need(R.id.cards)
        cards.removeAllViews()
        for (entry in entries.orEmpty()) {
            if (entry.manifest == null) {
                broken(cards.add(R.layout.card_broken), entry)
            } else {
                card(cards.add(R.layout.card_model), entry, entry.manifest)
            }
        }
    }

    private fun broken(card: View, entry: Entry) {
        card.text(R.id.name).text = entry.folder.name
        card.text(R.id.reason).text = entry.problem
    }

    private fun card(card: View, entry: Entry, manifest: Manifest) {
        card.text(R.id.name).text = manifest.name
        card.text(R.id.line).text = signatureText(this, manifest.signature)
        card.text(R.id.evidence).text = getString(R.string.evidence, getString(entry.origin.title), manifest.evidence)
        val chips: ViewGroup = card.need(R.id.chips)
        for (artifact in manifest.artifacts) {
            val chip = chips.add(R.layout.chip) as TextView
            val size = artifact.bytes?.let { bytesText(this, it) }.orEmpty()
            chip.text = getString(R.string.format_size, artifact.title, size).trim()
            chip.swatch(artifact.format)
            chip.backgroundTintList = ColorStateList.valueOf(getColor(R.color.track))
        }
        card.setOnClickListener { startActivity(ModelActivity.intent(this, entry.folder)) }
    }

    private companion object {
        const val PICK = 1
    }
}
