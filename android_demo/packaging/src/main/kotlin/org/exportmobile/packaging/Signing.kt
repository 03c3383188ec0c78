package org.exportmobile.packaging

import com.android.apksig.ApkSigner
import com.android.apksig.ApkVerifier
import java.io.IOException
import java.nio.file.Path
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.PrivateKey
import java.security.cert.X509Certificate

/** A key and what proves whose it is. */
class Identity(val key: PrivateKey, val certificates: List<X509Certificate>) {
    companion object {
        /** @throws Problem the file is no key store, or has no such key, or the password is wrong. */
        fun of(file: Path, alias: String, password: CharArray): Identity =
            try {
                val store = KeyStore.getInstance(file.toFile(), password)
                val key =
                    store.getKey(alias, password) as? PrivateKey ?: throw Problem("$file has no key named $alias.")
                Identity(key, store.getCertificateChain(alias).map { it as X509Certificate })
            } catch (failure: IOException) {
                throw Problem("$file cannot be opened as a key store with this password: ${failure.message}.")
            } catch (failure: GeneralSecurityException) {
                throw Problem("The key $alias of $file cannot be used: ${failure.message}.")
            }
    }
}

/** Signs with the schemes v2 and v3; every Android from 8 on checks one of them. */
fun sign(apk: Path, identity: Identity, minSdk: Int, result: Path) {
    val signer = ApkSigner.SignerConfig.Builder("signer", identity.key, identity.certificates).build()
    ApkSigner
        .Builder(listOf(signer))
        .setInputApk(apk.toFile())
        .setOutputApk(result.toFile())
        .setMinSdkVersion(minSdk)
        .setV1SigningEnabled(false)
        .setV2SigningEnabled(true)
        .setV3SigningEnabled(true)
        // Else entries are moved to the 4 KB boundaries that older devices need.
        .setAlignmentPreserved(true)
        .build()
        .sign()
}

/** Schemes by which [apk] is signed well, such as `v2`. @throws Problem a signature is missing or wrong. */
fun schemes(apk: Path): List<String> {
    val result = ApkVerifier.Builder(apk.toFile()).build().verify()
    if (!result.isVerified) throw Problem("The signature of $apk does not hold: ${result.errors.joinToString()}.")
    return listOfNotNull(
        "v1".takeIf { result.isVerifiedUsingV1Scheme },
        "v2".takeIf { result.isVerifiedUsingV2Scheme },
        "v3".takeIf { result.isVerifiedUsingV3Scheme },
    )
}
