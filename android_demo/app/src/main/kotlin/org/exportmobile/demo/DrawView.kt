package org.exportmobile.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Path
import android.util.AttributeSet
import android.view.MotionEvent
import android.view.View

/** A square to draw on with a finger; [onDrawn] is told whenever the finger is lifted. */
class DrawView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    /** The strokes, in parts of the view's width. */
    var strokes: List<List<Point>> = emptyList()
        set(value) {
            field = value
            invalidate()
        }
    var onDrawn: (List<List<Point>>) -> Unit = {}

    private val path = Path()
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG)

    override fun onTouchEvent(event: MotionEvent): Boolean {
        when (event.actionMasked) {
            MotionEvent.ACTION_DOWN -> {
                parent.requestDisallowInterceptTouchEvent(true)
                strokes = strokes.plusElement(listOf(point(event.x, event.y)))
            }

            MotionEvent.ACTION_MOVE -> {
                extend(event)
            }

            MotionEvent.ACTION_UP -> {
                extend(event)
                performClick()
            }

            MotionEvent.ACTION_CANCEL -> {
                strokes = strokes.dropLast(1)
            }

            else -> {
                return super.onTouchEvent(event)
            }
        }
        return true
    }

    override fun performClick(): Boolean {
        super.performClick()
        if (strokes.isNotEmpty()) onDrawn(strokes)
        return true
    }

    private fun extend(event: MotionEvent) {
        val stroke = strokes.lastOrNull() ?: return
        val passed = (0 until event.historySize).map { point(event.getHistoricalX(it), event.getHistoricalY(it)) }
        strokes = strokes.dropLast(1).plusElement(stroke + passed + point(event.x, event.y))
    }

    private fun point(x: Float, y: Float) =
        Point(x.coerceIn(0f, width.toFloat()) / width, y.coerceIn(0f, height.toFloat()) / width)

    override fun onDraw(canvas: Canvas) {
        paint.style = Paint.Style.FILL
        paint.color = context.getColor(R.color.pad)
        val corner = CORNER_DP * resources.displayMetrics.density
        canvas.drawRoundRect(0f, 0f, width.toFloat(), height.toFloat(), corner, corner, paint)
        if (strokes.isEmpty()) drawHint(canvas)
        paint.style = Paint.Style.STROKE
        paint.strokeCap = Paint.Cap.ROUND
        paint.strokeJoin = Paint.Join.ROUND
        paint.strokeWidth = width * PEN
        paint.color = context.getColor(R.color.pad_ink)
        for (stroke in strokes) drawStroke(canvas, stroke)
    }

    private fun drawStroke(canvas: Canvas, stroke: List<Point>) {
        path.rewind()
        path.moveTo(stroke[0].x * width, stroke[0].y * width)
        for (point in stroke) path.lineTo(point.x * width, point.y * width)
        canvas.drawPath(path, paint)
    }

    private fun drawHint(canvas: Canvas) {
        paint.style = Paint.Style.FILL
        paint.color = context.getColor(R.color.pad_hint)
        paint.textAlign = Paint.Align.CENTER
        paint.textSize = resources.getDimension(R.dimen.hint)
        val baseline = height / 2f - (paint.ascent() + paint.descent()) / 2
        canvas.drawText(context.getString(R.string.draw_hint), width / 2f, baseline, paint)
    }

    private companion object {
        const val CORNER_DP = 14
        const val PEN = 0.075f
    }
}
