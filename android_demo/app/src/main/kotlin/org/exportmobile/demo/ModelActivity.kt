package org.exportmobile.demo

import android.content.Context
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.widget.RadioGroup
import android.widget.TextView
import org.exportmobile.core.Artifact
import java.io.File

/** One model: to try, to compare, to benchmark. */
class ModelActivity : Screen() {
    private val session by lazy { app.session(File(requireNotNull(intent.getStringExtra(FOLDER)))) }
    private val tabs: RadioGroup get() = need(R.id.tabs)
    private val frame: ViewGroup get() = need(R.id.page)
    private val watcher: (Reading) -> Unit = ::render
    private val jobs get() = listOf(session.comparison, session.benchmark)
    private val awake: (JobState) -> Unit = { frame.keepScreenOn = jobs.any { it.state.value.running } }
    private var page: Page? = null

    /** A photo to try as soon as the model is read. */
    private var picked: Uri? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        show(R.layout.screen_model)
        backBar(session.folder.name)
        tabs.check(state?.getInt(TAB) ?: R.id.tab_try)
        tabs.setOnCheckedChangeListener { _, _ -> render(session.reading.value) }
    }

    override fun onStart() {
        super.onStart()
        session.reading.watch(watcher)
        jobs.forEach { it.state.watch(awake) }
    }

    override fun onStop() {
        session.reading.forget(watcher)
        jobs.forEach { it.state.forget(awake) }
        if (!isChangingConfigurations) session.benchmark.interrupt()
        page?.stop()
        page = null
        super.onStop()
    }

    override fun onSaveInstanceState(state: Bundle) {
        super.onSaveInstanceState(state)
        state.putInt(TAB, tabs.checkedRadioButtonId)
    }

    override fun onDestroy() {
        if (isFinishing) session.close()
        super.onDestroy()
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        if (request != TryPage.PICK || result != RESULT_OK) return
        picked = data?.data
        session.reading.value.model?.let(::tryPicked)
    }

    private fun render(reading: Reading) {
        val notice: TextView = need(R.id.notice)
        notice.textOrGone(if (reading.model == null) reading.problem ?: getString(R.string.reading_model) else null)
        tabs.visibility = if (reading.model == null) View.INVISIBLE else View.VISIBLE
        val model = reading.model ?: return
        bar.title = model.folder.manifest.name
        page?.stop()
        while (frame.childCount > 1) frame.removeViewAt(1)
        page = page(model).also { it.start() }
        tryPicked(model)
    }

    private fun tryPicked(model: Model) {
        val photo = picked ?: return
        picked = null
        session.trial.run(model, Given.Photo(photo))
    }

    private fun page(model: Model): Page =
        when (tabs.checkedRadioButtonId) {
            R.id.tab_compare -> ComparePage(frame.add(R.layout.page_compare), session, model)
            R.id.tab_benchmark -> BenchmarkPage(frame.add(R.layout.page_benchmark), session, model, app)
            else -> TryPage(frame.add(R.layout.page_try), session, model, this)
        }

    companion object {
        private const val FOLDER = "folder"
        private const val TAB = "tab"

        fun intent(context: Context, folder: File): Intent =
            Intent(context, ModelActivity::class.java).putExtra(FOLDER, folder.path)
    }
}

/** What a tab shows; it looks at its part of the session only between [start] and [stop]. */
interface Page {
    fun start()

    fun stop()
}

/** Such as `onnx int8 static`, with the format's colour. */
fun TextView.artifact(artifact: Artifact) {
    text = artifact.title
    swatch(artifact.format)
}
