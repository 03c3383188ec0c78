package org.exportmobile.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import org.exportmobile.core.Pixels
import org.exportmobile.core.Problem
import java.io.IOException
import java.io.InputStream

/** Reads pictures that the user picked. Not for the main thread. */
class Photos(private val context: Context) {
    /**
     * The picture, upright; large ones are shrunk while they are read, to no less than twice [side] pixels.
     *
     * @throws Problem it is none that this device can read.
     */
    fun read(uri: Uri, side: Int): Pixels {
        val upright =
            try {
                upright(uri, 2 * side)
            } catch (_: IOException) {
                null
            }
        upright ?: throw Problem(context.getString(R.string.photo_unreadable))
        val argb = IntArray(upright.width * upright.height)
        upright.getPixels(argb, 0, upright.width, 0, 0, upright.width, upright.height)
        return Pixels(upright.width, upright.height, argb)
    }

    private fun upright(uri: Uri, least: Int): Bitmap? {
        val size = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        stream(uri) { BitmapFactory.decodeStream(it, null, size) }
        val shrink = Integer.highestOneBit(maxOf(1, minOf(size.outWidth, size.outHeight) / maxOf(1, least)))
        val options = BitmapFactory.Options().apply { inSampleSize = shrink }
        val bitmap = stream(uri) { BitmapFactory.decodeStream(it, null, options) } ?: return null
        val turn = stream(uri) { turn(ExifInterface(it)) }
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, turn, true)
    }

    private fun turn(exif: ExifInterface): Matrix {
        val orientation = exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
        val turn = Matrix()
        when (orientation) {
            ExifInterface.ORIENTATION_ROTATE_90, ExifInterface.ORIENTATION_TRANSPOSE -> turn.setRotate(90f)
            ExifInterface.ORIENTATION_ROTATE_180, ExifInterface.ORIENTATION_FLIP_VERTICAL -> turn.setRotate(180f)
            ExifInterface.ORIENTATION_ROTATE_270, ExifInterface.ORIENTATION_TRANSVERSE -> turn.setRotate(270f)
        }
        if (orientation in MIRRORED) turn.postScale(-1f, 1f)
        return turn
    }

    private fun <T> stream(uri: Uri, read: (InputStream) -> T): T =
        (opened(uri) ?: throw IOException("$uri is gone")).use(read)

    /** Another app answers, and it may throw whatever it likes. */
    private fun opened(uri: Uri): InputStream? =
        try {
            context.contentResolver.openInputStream(uri)
        } catch (error: RuntimeException) {
            throw IOException("$uri cannot be opened", error)
        }

    private companion object {
        val MIRRORED =
            listOf(
                ExifInterface.ORIENTATION_FLIP_HORIZONTAL,
                ExifInterface.ORIENTATION_FLIP_VERTICAL,
                ExifInterface.ORIENTATION_TRANSPOSE,
                ExifInterface.ORIENTATION_TRANSVERSE,
            )
    }
}
