package org.exportmobile.demo

import org.exportmobile.core.EngineKind
import org.exportmobile.engine.PtlEngine

/** The app with PyTorch Lite, which cannot live in one process with ExecuTorch. */
class DemoApplication : DemoApp() {
    override val engines: List<EngineKind> = listOf(PtlEngine)
}
