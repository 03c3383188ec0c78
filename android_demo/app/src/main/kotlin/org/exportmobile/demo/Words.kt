package org.exportmobile.demo

import android.content.Context
import android.content.res.ColorStateList
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.exportmobile.core.Signature
import org.exportmobile.core.TensorSpec
import java.util.Locale

// How figures are written and coloured, the same on every screen.

fun bytesText(context: Context, bytes: Long): String =
    when {
        bytes < 999_500 -> context.getString(R.string.kilobytes, number(bytes / 1e3))
        bytes < 999_500_000 -> context.getString(R.string.megabytes, number(bytes / 1e6))
        else -> context.getString(R.string.gigabytes, number(bytes / 1e9))
    }

fun timeText(context: Context, ms: Double): String =
    if (ms < 9_995) {
        context.getString(R.string.milliseconds, number(ms))
    } else {
        context.getString(R.string.seconds, number(ms / 1e3))
    }

fun decibelText(context: Context, decibels: Double): String =
    context.getString(R.string.decibels, String.format(Locale.getDefault(), "%.1f", decibels))

/** A share, 0 to 1, in per cent; never rounded up to 100 nor down to 0. */
fun shareText(context: Context, share: Double): String {
    val digits = if (share == 1.0 || share == 0.0) 0 else 1
    val percent = if (digits == 0) share * 100 else (share * 100).coerceIn(0.1, 99.9)
    return context.getString(R.string.percent, String.format(Locale.getDefault(), "%.${digits}f", percent))
}

/** Three significant digits, and no exponent. */
fun number(value: Double): String {
    val digits =
        when {
            value >= 99.95 -> 0
            value >= 9.995 -> 1
            value >= 0.9995 -> 2
            else -> 3
        }
    return String.format(Locale.getDefault(), "%.${digits}f", value)
}

/** Such as `1×1×28×28 float32 → 1×10 float32`. */
fun signatureText(context: Context, signature: Signature): String {
    fun side(specs: List<TensorSpec>) =
        specs.joinToString { "${it.shape.joinToString("×").ifEmpty { "1" }} ${it.dtype.title}" }
    return context.getString(R.string.in_out, side(signature.inputs), side(signature.outputs))
}

/** The colour that a format has in the exporter's report, too. */
fun formatColor(context: Context, format: String): Int =
    context.getColor(
        when (format) {
            "pte" -> R.color.pte
            "onnx" -> R.color.onnx
            "tflite" -> R.color.tflite
            "ptl" -> R.color.ptl
            else -> R.color.soft
        },
    )

/** Puts a small square of the format's colour before the text. */
fun TextView.swatch(format: String) {
    setCompoundDrawablesRelativeWithIntrinsicBounds(R.drawable.swatch, 0, 0, 0)
    compoundDrawableTintList = ColorStateList.valueOf(formatColor(context, format))
}

/** Writes [text], or hides the view where there is none. */
fun TextView.textOrGone(text: CharSequence?) {
    this.text = text
    visibility = if (text.isNullOrEmpty()) View.GONE else View.VISIBLE
}

/** Colours a chip by how good what it says is. */
fun TextView.chip(text: Int, ink: Int, back: Int) {
    setText(text)
    setTextColor(context.getColor(ink))
    backgroundTintList = ColorStateList.valueOf(context.getColor(back))
}

/** A new view of [layout] at the end of this group. */
fun ViewGroup.add(layout: Int): View {
    val view = LayoutInflater.from(context).inflate(layout, this, false)
    addView(view)
    return view
}

fun View.text(id: Int): TextView = need(id)
