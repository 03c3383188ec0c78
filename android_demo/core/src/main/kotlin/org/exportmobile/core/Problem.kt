package org.exportmobile.core

/** What a user is told: one sentence saying what is wrong and, where it helps, what to do. */
class Problem(message: String, cause: Throwable? = null) : Exception(message, cause)
