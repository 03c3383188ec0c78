/* liblog, and libandroid, which has no assets to give here. */
#define _GNU_SOURCE
#include "bionic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { WARNING = 5, FATAL = 7 };

/* BIONIC_LOG in the environment: the least priority that is written, 2 (verbose) to 7. */
static int is_loud(int priority) {
    const char *least = getenv("BIONIC_LOG");
    return priority >= (least ? atoi(least) : WARNING);
}

BIONIC(int, __android_log_write)(int priority, const char *tag, const char *message) {
    if (!is_loud(priority)) {
        return 0;
    }
    return fprintf(stderr, "%c/%s: %s\n", "??VDIWEF"[priority & 7], tag ? tag : "", message);
}

BIONIC(int, __android_log_vprint)(int priority, const char *tag, const char *format, va_list arguments) {
    char message[1024]; /* as long as Android's own may be */
    vsnprintf(message, sizeof message, format, arguments);
    return b___android_log_write(priority, tag, message);
}

BIONIC(int, __android_log_print)(int priority, const char *tag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int result = b___android_log_vprint(priority, tag, format, arguments);
    va_end(arguments);
    return result;
}

BIONIC(void, __android_log_assert)(const char *condition, const char *tag, const char *format, ...) {
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        b___android_log_vprint(FATAL, tag, format, arguments);
        va_end(arguments);
    } else {
        b___android_log_write(FATAL, tag, condition ? condition : "assertion failed");
    }
    abort();
}

BIONIC(void *, AAssetManager_fromJava)(void *environment, void *manager) {
    (void)environment;
    (void)manager;
    return NULL;
}

BIONIC(void *, AAssetManager_open)(void *manager, const char *name, int mode) {
    (void)manager;
    (void)name;
    (void)mode;
    return NULL;
}

BIONIC(void, AAsset_close)(void *asset) {
    (void)asset;
}

BIONIC(const void *, AAsset_getBuffer)(void *asset) {
    (void)asset;
    return NULL;
}

BIONIC(long, AAsset_getLength)(void *asset) {
    (void)asset;
    return 0;
}

#include "aliases_android.h"
