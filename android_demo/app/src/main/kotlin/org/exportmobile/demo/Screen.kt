package org.exportmobile.demo

import android.annotation.TargetApi
import android.app.Activity
import android.os.Build
import android.view.View
import android.view.WindowInsets
import android.widget.Toolbar

/** An activity that keeps its content clear of the system's bars and of cutouts. */
abstract class Screen : Activity() {
    protected val app get() = application as DemoApp
    protected val bar: Toolbar get() = need(R.id.bar)

    protected fun show(layout: Int) {
        setContentView(layout)
        need<View>(R.id.screen).padForBars(sides = true, bottom = false)
    }

    /** A toolbar with a way back. */
    protected fun backBar(title: CharSequence) {
        bar.title = title
        bar.setNavigationIcon(R.drawable.ic_back)
        bar.setNavigationContentDescription(R.string.back)
        bar.setNavigationOnClickListener { finish() }
    }
}

/** The view of a layout that has it. Android's `requireViewById` does the same, from Android 9 on. */
fun <T : View> Activity.need(id: Int): T = checkNotNull(findViewById(id))

/** The same below another view. */
fun <T : View> View.need(id: Int): T = checkNotNull(findViewById(id))

/**
 * Adds the system bars' size to the padding from the layout.
 *
 * @param sides left, top and right.
 * @param bottom where content scrolls below the navigation bar.
 */
fun View.padForBars(sides: Boolean, bottom: Boolean) {
    val own = intArrayOf(paddingLeft, paddingTop, paddingRight, paddingBottom)
    setOnApplyWindowInsetsListener { view, insets ->
        val bars = bars(insets)
        view.setPadding(
            own[0] + if (sides) bars[0] else 0,
            own[1] + if (sides) bars[1] else 0,
            own[2] + if (sides) bars[2] else 0,
            own[3] + if (bottom) bars[3] else 0,
        )
        insets
    }
    requestApplyInsets()
}

@Suppress("DEPRECATION") // the only way before Android 11
private fun bars(insets: WindowInsets): IntArray {
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) return barsAndCutouts(insets)
    return insets.run {
        intArrayOf(systemWindowInsetLeft, systemWindowInsetTop, systemWindowInsetRight, systemWindowInsetBottom)
    }
}

@TargetApi(Build.VERSION_CODES.R)
private fun barsAndCutouts(insets: WindowInsets): IntArray {
    val bars = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
    return intArrayOf(bars.left, bars.top, bars.right, bars.bottom)
}
