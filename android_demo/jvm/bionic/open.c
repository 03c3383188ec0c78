/* Bionic.open(path) of org.exportmobile.jvm: opens a library and returns what went wrong, or null. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <jni.h>

/*
 * As Android's linker does it, a library's own symbols and those of its dependencies come before the process's: the JVM
 * has brought in another C++ library.
 */
JNIEXPORT jstring JNICALL Java_org_exportmobile_jvm_Bionic_open(JNIEnv *env, jclass type, jstring path) {
    (void)type;
    const char *file = (*env)->GetStringUTFChars(env, path, NULL);
    void *library = dlopen(file, RTLD_NOW | RTLD_DEEPBIND);
    const char *problem = library ? NULL : dlerror();
    (*env)->ReleaseStringUTFChars(env, path, file);
    return problem ? (*env)->NewStringUTF(env, problem) : NULL;
}
