/* errno, assertions, properties, and constants that have other numbers in bionic. */
#define _GNU_SOURCE
#include "bionic.h"

#include <errno.h>
#include <ftw.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern int __xpg_strerror_r(int error, char *buffer, size_t size);

BIONIC(int *, __errno)(void) {
    return __errno_location();
}

BIONIC(void, __assert2)(const char *file, int line, const char *function, const char *message) {
    fprintf(stderr, "%s:%d: %s: assertion \"%s\" failed\n", file, line, function, message);
    abort();
}

BIONIC(void, android_set_abort_message)(const char *message) {
    fprintf(stderr, "abort message: %s\n", message);
}

/* The API level is all that anybody asks for: TensorFlow Lite makes its XNNPACK delegate only from 20 on. */
BIONIC(int, __system_property_get)(const char *name, char *value) {
    strcpy(value, strcmp(name, "ro.build.version.sdk") == 0 ? "34" : "");
    return (int)strlen(value);
}

/* XNNPACK of TensorFlow Lite 2.16 asks for 32 bytes, and loads 64 where the CPU has AVX-512 (its issue 65314). */
BIONIC(void *, memalign)(size_t alignment, size_t size) {
    return memalign(alignment < 64 ? 64 : alignment, size);
}

/* glibc's own strerror_r is the GNU one, which returns text. */
BIONIC(int, strerror_r)(int error, char *buffer, size_t size) {
    return __xpg_strerror_r(error, buffer, size);
}

BIONIC(char *, __gnu_strerror_r)(int error, char *buffer, size_t size) {
    return strerror_r(error, buffer, size);
}

/* Numbers of bionic's <bits/sysconf.h> and glibc's names for the same. */
static const struct {
    int bionic;
    int glibc;
} SYSCONF[] = {
    {0, _SC_ARG_MAX},
    {5, _SC_CHILD_MAX},
    {6, _SC_CLK_TCK},
    {10, _SC_NGROUPS_MAX},
    {11, _SC_OPEN_MAX},
    {38, _SC_IOV_MAX},
    {39, _SC_PAGESIZE},
    {40, _SC_PAGESIZE},
    {71, _SC_GETGR_R_SIZE_MAX},
    {72, _SC_GETPW_R_SIZE_MAX},
    {96, _SC_NPROCESSORS_CONF},
    {97, _SC_NPROCESSORS_ONLN},
    {98, _SC_PHYS_PAGES},
    {99, _SC_AVPHYS_PAGES},
    {100, _SC_MONOTONIC_CLOCK},
};

BIONIC(long, sysconf)(int name) {
    for (size_t i = 0; i < sizeof SYSCONF / sizeof *SYSCONF; i++) {
        if (SYSCONF[i].bionic == name) {
            return sysconf(SYSCONF[i].glibc);
        }
    }
    fprintf(stderr, "bionic shim: sysconf(%d) is not mapped\n", name);
    errno = EINVAL;
    return -1;
}

/* bionic counts FILESIZEBITS as 0, and LINK_MAX to PIPE_BUF from 1 to 6; glibc counts the latter from 0. */
BIONIC(long, pathconf)(const char *path, int name) {
    if (name == 0) {
        return pathconf(path, _PC_FILESIZEBITS);
    }
    return pathconf(path, name <= 6 ? name - 1 : -1);
}

typedef int visitor(const char *path, const struct stat *status, int type, struct FTW *place);

static __thread visitor *visit;

/* glibc's FTW_F to FTW_SLN and FTW_DP in bionic's numbers. */
static int visit_as_bionic(const char *path, const struct stat *status, int type, struct FTW *place) {
    static const int TYPES[] = {0, 1, 2, 4, 5, 3, 6};
    return visit(path, status, TYPES[type], place);
}

BIONIC(int, nftw)(const char *path, visitor *function, int descriptors, int flags) {
    int same = flags & 3;
    int depth = flags & 4 ? FTW_DEPTH : 0;
    int change = flags & 8 ? FTW_CHDIR : 0;
    visit = function;
    return nftw(path, visit_as_bionic, descriptors, same | depth | change);
}

#include "aliases_system.h"
