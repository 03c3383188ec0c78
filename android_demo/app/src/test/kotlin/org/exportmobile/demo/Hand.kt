package org.exportmobile.demo

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.os.SystemClock
import android.view.MotionEvent
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.junit.Assert.fail
import org.robolectric.Shadows.shadowOf
import java.io.File
import java.time.Duration

const val PHONE = "w411dp-h914dp-port-notnight-420dpi"
const val SMALL = "w320dp-h533dp-port-notnight-hdpi"
const val SIDEWAYS = "w914dp-h411dp-land-notnight-420dpi"
const val README = "w360dp-h900dp-port-notnight-hdpi"
const val TABLET = "w1280dp-h800dp-land-notnight-mdpi"

/** A seven, in parts of the pad. */
val SEVEN = listOf(.25f to .2f, .5f to .19f, .75f to .2f, .65f to .4f, .55f to .6f, .48f to .84f)

/** All views below and with this one. */
fun View.all(): List<View> =
    listOf(this) + if (this is ViewGroup) (0 until childCount).flatMap { getChildAt(it).all() } else emptyList()

/** Whether a finger could reach it. */
fun View.seen(): Boolean = isShown && width > 0 && height > 0

/** What stands on the screen. */
fun Activity.texts(): List<String> = texts(window.decorView)

fun texts(view: View): List<String> =
    view
        .all()
        .filterIsInstance<TextView>()
        .filter {
            it.seen()
        }.map { it.text.toString() }
        .filter { it.isNotEmpty() }

fun Activity.says(part: String): Boolean = texts().any { part in it }

fun Activity.view(text: String): TextView =
    window.decorView.all().filterIsInstance<TextView>().first {
        it.seen() &&
            it.text.toString() == text
    }

/** A finger on [view], through the window; [points] in parts of the view. */
fun Activity.finger(view: View, points: List<Pair<Float, Float>>) {
    val place = IntArray(2).also { view.getLocationInWindow(it) }
    val start = SystemClock.uptimeMillis()
    points.forEachIndexed { i, (x, y) ->
        val action =
            when (i) {
                0 -> MotionEvent.ACTION_DOWN
                points.lastIndex -> MotionEvent.ACTION_UP
                else -> MotionEvent.ACTION_MOVE
            }
        val event =
            MotionEvent.obtain(
                start,
                start + 10L * i,
                action,
                place[0] + x * view.width,
                place[1] + y * view.height,
                0,
            )
        window.decorView.dispatchTouchEvent(event)
        event.recycle()
    }
    idle()
}

fun Activity.tap(view: View) = finger(view, listOf(.5f to .5f, .5f to .5f))

fun Activity.tap(text: String) = view(text).performClick().also { idle() }

/** One frame: what waits for the next one is drawn. */
fun idle() = shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(17))

/** Lets the worker and the main thread go on until [done]. */
fun await(what: String, millis: Long = 60_000, done: () -> Boolean) {
    val end = System.nanoTime() + millis * 1_000_000
    while (!done()) {
        if (System.nanoTime() > end) fail("waited $millis ms in vain for $what")
        idle()
        Thread.sleep(5)
    }
    idle()
}

fun Activity.await(text: String) = await("\"$text\" among ${texts()}") { says(text) }

/** Draws the window into target/shots/[name].png. */
fun Activity.shot(name: String): File {
    repeat(3) { idle() }
    val root = window.decorView
    val bitmap = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
    root.draw(Canvas(bitmap))
    val file = File(System.getProperty("shots"), "$name.png")
    file.parentFile.mkdirs()
    file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    return file
}
