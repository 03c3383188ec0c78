package android.util

/** Stands in for Android's in a plain JVM: the libraries' Java code writes its messages with it. */
object Log {
    @JvmStatic
    fun d(tag: String?, message: String?): Int = write('D', tag, message)

    @JvmStatic
    fun i(tag: String?, message: String?): Int = write('I', tag, message)

    @JvmStatic
    fun w(tag: String?, message: String?): Int = write('W', tag, message)

    @JvmStatic
    fun e(tag: String?, message: String?): Int = write('E', tag, message)

    @JvmStatic
    fun e(tag: String?, message: String?, cause: Throwable?): Int = write('E', tag, "$message: $cause")

    private fun write(level: Char, tag: String?, message: String?): Int {
        System.err.println("$level/$tag: $message")
        return 0
    }
}
