package org.exportmobile.demo

import org.exportmobile.core.BenchmarkReport
import org.exportmobile.core.BenchmarkRun
import java.time.Instant

/** What a benchmark found, to share. */
fun report(state: JobState, model: Model, app: DemoApp): BenchmarkReport =
    BenchmarkReport(
        model = model.folder.manifest.name,
        created = Instant.now().toString(),
        app = "${app.packageName} ${app.version}",
        device = app.device.facts(),
        interrupted = state.interrupted,
        runs = state.outcomes.map { run(it, state) },
    )

private fun run(outcome: Outcome, state: JobState): BenchmarkRun {
    val artifact = outcome.artifact
    val timing = outcome.timing
    return BenchmarkRun(
        file = artifact.file.orEmpty(),
        format = artifact.format,
        precision = artifact.precision,
        scheme = artifact.scheme,
        library = outcome.library?.toString().orEmpty(),
        threads = state.settings?.threads ?: 1,
        loadMs = outcome.loadMs,
        coldMs = timing?.cold,
        samplesMs = timing?.samples.orEmpty(),
        p50 = timing?.p50,
        p90 = timing?.p90,
        p99 = timing?.p99,
        stopped = timing?.stopped ?: false,
        parity = outcome.parity,
        verdict = outcome.verdict.name.lowercase(),
        problem = outcome.problem,
        thermalBefore = state.thermalBefore,
        thermalAfter = state.thermalAfter,
    )
}
