package org.exportmobile.demo

import android.content.Context
import android.util.AttributeSet
import android.view.View
import android.view.ViewGroup

/** Puts its children into as many columns of `columnWidth` as fit, each child below the shortest column. */
class Columns(context: Context, attributes: AttributeSet?) : ViewGroup(context, attributes) {
    private val columnWidth: Int
    private val gap: Int

    init {
        val density = resources.displayMetrics.density
        val styled = context.obtainStyledAttributes(attributes, R.styleable.Columns)
        columnWidth = styled.getDimensionPixelSize(R.styleable.Columns_columnWidth, (COLUMN_DP * density).toInt())
        gap = styled.getDimensionPixelSize(R.styleable.Columns_gap, (GAP_DP * density).toInt())
        styled.recycle()
    }

    private fun shown() = (0 until childCount).map(::getChildAt).filter { it.visibility != View.GONE }

    private fun columns(width: Int) = ((width + gap) / (columnWidth + gap)).coerceIn(1, maxOf(1, shown().size))

    private fun childWidth(width: Int) = columns(width).let { (width - (it - 1) * gap) / it }

    override fun onMeasure(widthSpec: Int, heightSpec: Int) {
        val width = MeasureSpec.getSize(widthSpec)
        val inner = width - paddingLeft - paddingRight
        val childSpec = MeasureSpec.makeMeasureSpec(childWidth(inner), MeasureSpec.EXACTLY)
        val any = MeasureSpec.makeMeasureSpec(0, MeasureSpec.UNSPECIFIED)
        for (child in shown()) child.measure(childSpec, any)
        val height = place(inner) { _, _, _ -> }
        setMeasuredDimension(width, height + paddingTop + paddingBottom)
    }

    override fun onLayout(changed: Boolean, left: Int, top: Int, right: Int, bottom: Int) {
        val inner = width - paddingLeft - paddingRight
        val rightToLeft = layoutDirection == View.LAYOUT_DIRECTION_RTL
        place(inner) { child, x, y ->
            val from = paddingLeft + if (rightToLeft) inner - x - child.measuredWidth else x
            child.layout(from, paddingTop + y, from + child.measuredWidth, paddingTop + y + child.measuredHeight)
        }
    }

    /** Gives each child its place inside the padding; returns the height of all. */
    private fun place(inner: Int, put: (View, Int, Int) -> Unit): Int {
        val ends = IntArray(columns(inner))
        val step = childWidth(inner) + gap
        for (child in shown()) {
            val column = ends.indices.minByOrNull { ends[it] } ?: 0
            put(child, column * step, ends[column])
            ends[column] += child.measuredHeight + gap
        }
        return maxOf(0, ends.max() - gap)
    }

    private companion object {
        const val COLUMN_DP = 300
        const val GAP_DP = 12
    }
}
