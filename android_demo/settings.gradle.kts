// For Android Studio, over the sources that Maven builds. Every version stands in pom.xml.
pluginManagement {
    val pom = file("pom.xml").readText()

    fun version(property: String) = Regex("<$property>(.+)</$property>").find(pom)!!.groupValues[1]

    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
    plugins {
        id("com.android.application") version version("android.build.version")
        id("org.jetbrains.kotlin.plugin.serialization") version version("kotlin.version")
    }
}

dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "export-mobile-demo"
