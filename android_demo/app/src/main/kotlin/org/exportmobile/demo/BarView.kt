package org.exportmobile.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View

/** A bar on its track, with a line where a second value lies, such as the 90th percentile. */
class BarView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG)
    private var part = 0f
    private var mark: Float? = null
    private var color = 0

    /** Shows [part] and [mark] of the full width, both 0 to 1. */
    fun show(part: Float, color: Int, mark: Float? = null) {
        this.part = part.coerceIn(0f, 1f)
        this.mark = mark?.coerceIn(0f, 1f)
        this.color = color
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        if (layoutDirection == LAYOUT_DIRECTION_RTL) canvas.scale(-1f, 1f, width / 2f, 0f)
        val radius = height / 3f
        paint.color = context.getColor(R.color.track)
        canvas.drawRoundRect(0f, 0f, width.toFloat(), height.toFloat(), radius, radius, paint)
        paint.color = color
        val end = maxOf(part * width, 2 * radius)
        if (part > 0) canvas.drawRoundRect(0f, 0f, end, height.toFloat(), radius, radius, paint)
        mark?.let { drawMark(canvas, it) }
    }

    private fun drawMark(canvas: Canvas, at: Float) {
        val thick = 2 * resources.displayMetrics.density
        val x = (at * width).coerceAtMost(width - thick)
        paint.color = context.getColor(R.color.ink)
        canvas.drawRect(x, 0f, x + thick, height.toFloat(), paint)
    }
}
