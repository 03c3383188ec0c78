package org.exportmobile.demo

import android.os.Build
import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import org.exportmobile.core.EngineKind
import org.exportmobile.core.Machine

/** The device and the libraries in this app. */
class AboutActivity : Screen() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        show(R.layout.screen_about)
        backBar(getString(R.string.about))
        need<View>(R.id.scroll).padForBars(sides = false, bottom = true)
        // Whether the processor has atomics stands in a file.
        app.worker.run {
            val machine = app.device.machine
            app.worker.show { fill(machine) }
        }
    }

    private fun fill(machine: Machine) {
        val device = app.device
        val (all, free) = device.memory()
        fact(R.string.device, device.model)
        fact(R.string.android, getString(R.string.android_version, Build.VERSION.RELEASE, Build.VERSION.SDK_INT))
        fact(R.string.abi, device.abi)
        fact(R.string.cores, device.cores.toString())
        fact(R.string.memory, getString(R.string.memory_free, bytesText(this, all), bytesText(this, free)))
        fact(R.string.page_size, getString(R.string.bytes, machine.pageSize.toString()))
        val atomics =
            if (!device.arm) {
                R.string.no_arm
            } else if (machine.atomics) {
                R.string.yes
            } else {
                R.string.no
            }
        fact(R.string.atomics, getString(atomics))
        fact(R.string.app_version, app.version)
        val libraries: ViewGroup = need(R.id.libraries)
        for (kind in app.engines) library(libraries.add(R.layout.row_library), kind, machine)
    }

    private fun fact(label: Int, value: String) {
        val row = need<ViewGroup>(R.id.device).add(R.layout.row_fact)
        row.text(R.id.label).setText(label)
        row.text(R.id.value).text = value
    }

    private fun library(row: View, kind: EngineKind, machine: Machine) {
        row.text(R.id.name).text = kind.library.toString()
        row.text(R.id.name).swatch(kind.format)
        val refusal = kind.refusal(machine)
        row.text(R.id.reason).textOrGone(refusal)
        row.text(R.id.verdict).run {
            if (refusal == null) {
                chip(R.string.usable, R.color.good, R.color.good_back)
            } else {
                chip(R.string.not_usable, R.color.bad, R.color.bad_back)
            }
        }
    }
}
