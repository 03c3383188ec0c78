/* Checked variants of string and file functions that glibc lacks: they end the process where a size does not hold. */
#define _GNU_SOURCE
#include "bionic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

static void require(int holds, const char *function) {
    if (!holds) {
        fprintf(stderr, "FORTIFY: %s: buffer overflow\n", function);
        abort();
    }
}

BIONIC(size_t, __strlen_chk)(const char *text, size_t size) {
    size_t length = strlen(text);
    require(length < size, "strlen");
    return length;
}

BIONIC(char *, __strchr_chk)(const char *text, int character, size_t size) {
    require(strlen(text) < size, "strchr");
    return strchr(text, character);
}

BIONIC(char *, __strrchr_chk)(const char *text, int character, size_t size) {
    require(strlen(text) < size, "strrchr");
    return strrchr(text, character);
}

BIONIC(ssize_t, __write_chk)(int file, const void *data, size_t count, size_t size) {
    require(count <= size, "write");
    return write(file, data, count);
}

static void require_in_set(int file, size_t size, const char *function) {
    require(file >= 0 && file < FD_SETSIZE && size >= sizeof(fd_set), function);
}

BIONIC(void, __FD_SET_chk)(int file, fd_set *set, size_t size) {
    require_in_set(file, size, "FD_SET");
    FD_SET(file, set);
}

BIONIC(int, __FD_ISSET_chk)(int file, const fd_set *set, size_t size) {
    require_in_set(file, size, "FD_ISSET");
    return FD_ISSET(file, set);
}

#include "aliases_fortify.h"
