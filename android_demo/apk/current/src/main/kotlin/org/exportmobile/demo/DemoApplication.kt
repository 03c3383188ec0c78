package org.exportmobile.demo

import org.exportmobile.core.EngineKind
import org.exportmobile.engine.OnnxEngine
import org.exportmobile.engine.PteEngine
import org.exportmobile.engine.TfliteEngine

/** The app with the libraries that are kept up to date. */
class DemoApplication : DemoApp() {
    override val engines: List<EngineKind> = listOf(PteEngine, OnnxEngine, TfliteEngine)
}
