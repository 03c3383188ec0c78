// For Android Studio: one module over the sources of core, app, engines and apk. Run scripts/android.sh once before:
// from then on the Android libraries are in engines/<flavour>/target, and the digits model in ../digits-deit-mobile.
plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.plugin.serialization")
}

val flavours = listOf("current", "legacy")

/** A property of a pom.xml, where everything stands that Maven must know as well. */
fun pom(property: String, file: String = "pom.xml"): String =
    Regex("<$property>(.+)</$property>").find(file(file).readText())!!.groupValues[1]

android {
    namespace = "org.exportmobile.demo"
    compileSdk = pom("android.target").toInt()
    defaultConfig {
        minSdk = pom("android.min").toInt()
        targetSdk = pom("android.target").toInt()
        versionCode = pom("android.version.code").toInt()
        versionName = pom("version")
        ndk.abiFilters += listOf("arm64-v8a", "x86_64")
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles("apk/rules.pro")
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    androidResources.noCompress += listOf("npz") + flavours.flatMap { pom("formats", "apk/$it/pom.xml").split(",") }

    flavorDimensions += "engines"
    productFlavors {
        for (flavour in flavours) {
            create(flavour) {
                applicationId = pom("application.id", "apk/$flavour/pom.xml")
                manifestPlaceholders["label"] = pom("application.label", "apk/$flavour/pom.xml")
                proguardFile("apk/$flavour/rules.pro")
            }
        }
    }
    sourceSets {
        named("main") {
            manifest.srcFile("app/src/main/AndroidManifest.xml")
            res.setSrcDirs(listOf("app/src/main/res"))
            kotlin.setSrcDirs(listOf("core/src/main/kotlin", "app/src/main/kotlin"))
        }
        for (flavour in flavours) {
            named(flavour) {
                kotlin.setSrcDirs(listOf("engines/$flavour/src/main/kotlin", "apk/$flavour/src/main/kotlin"))
                jniLibs.setSrcDirs(listOf("engines/$flavour/target/jni"))
                assets.setSrcDirs(listOf("build/assets/$flavour"))
            }
        }
    }
}

for (flavour in flavours) {
    val libraries =
        tasks.register<Jar>("${flavour}Libraries") {
            archiveBaseName = "libraries-$flavour"
            from("engines/$flavour/target/classes") { exclude("org/exportmobile/**", "META-INF/**") }
        }
    dependencies.add("${flavour}Implementation", files(libraries))

    val models =
        tasks.register<Sync>("${flavour}Models") {
            from("../digits-deit-mobile") {
                include("manifest.json", "golden.npz")
                include(pom("formats", "apk/$flavour/pom.xml").split(",").map { "*.$it" })
            }
            into("build/assets/$flavour/models/digits-deit-mobile")
        }
    tasks.named("preBuild") { dependsOn(models) }
}

dependencies {
    implementation("org.jetbrains.kotlinx:kotlinx-serialization-json:${pom("serialization.version")}")
}
