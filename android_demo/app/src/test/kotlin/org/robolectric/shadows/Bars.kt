package org.robolectric.shadows

/** Robolectric's switch for the system bars is its package's own. */
object Bars {
    fun show() =
        SystemUi.systemUiForDefaultDisplay().setBehavior(SystemUi.STANDARD_STATUS_BAR, SystemUi.THREE_BUTTON_NAVIGATION)

    fun hide() = SystemUi.systemUiForDefaultDisplay().setBehavior(SystemUi.NO_STATUS_BAR, SystemUi.NO_NAVIGATION_BAR)
}
