/*
 * The standard streams. Newer libraries import stdin, stdout and stderr; those built for Android 5 take the address of
 * an element of the array __sF instead, so that every function that takes a stream has to look.
 */
#define _GNU_SOURCE
#include "bionic.h"

#include <stdarg.h>
#include <stdio.h>
#include <wchar.h>

enum { STREAM_SIZE = 152 };

BIONIC_DATA(FILE *, stdin);
BIONIC_DATA(FILE *, stdout);
BIONIC_DATA(FILE *, stderr);
BIONIC_DATA(char, __sF)[3 * STREAM_SIZE];

__attribute__((constructor)) static void begin(void) {
    b_stdin = stdin;
    b_stdout = stdout;
    b_stderr = stderr;
}

static FILE *real(void *stream) {
    FILE *standard[] = {stdin, stdout, stderr};
    long offset = (char *)stream - b___sF;
    int inside = offset >= 0 && offset < (long)sizeof b___sF;
    return inside ? standard[offset / STREAM_SIZE] : stream;
}

BIONIC(int, fclose)(void *stream) {
    return fclose(real(stream));
}

BIONIC(int, ferror)(void *stream) {
    return ferror(real(stream));
}

BIONIC(int, feof)(void *stream) {
    return feof(real(stream));
}

BIONIC(int, fflush)(void *stream) {
    return fflush(stream ? real(stream) : NULL);
}

BIONIC(int, fileno)(void *stream) {
    return fileno(real(stream));
}

BIONIC(int, fputc)(int character, void *stream) {
    return fputc(character, real(stream));
}

BIONIC(int, putc)(int character, void *stream) {
    return fputc(character, real(stream));
}

BIONIC(int, fputs)(const char *text, void *stream) {
    return fputs(text, real(stream));
}

BIONIC(wint_t, fputwc)(wchar_t character, void *stream) {
    return fputwc(character, real(stream));
}

BIONIC(int, getc)(void *stream) {
    return getc(real(stream));
}

BIONIC(wint_t, getwc)(void *stream) {
    return getwc(real(stream));
}

BIONIC(int, ungetc)(int character, void *stream) {
    return ungetc(character, real(stream));
}

BIONIC(wint_t, ungetwc)(wint_t character, void *stream) {
    return ungetwc(character, real(stream));
}

BIONIC(size_t, fwrite)(const void *data, size_t size, size_t count, void *stream) {
    return fwrite(data, size, count, real(stream));
}

BIONIC(size_t, fread)(void *data, size_t size, size_t count, void *stream) {
    return fread(data, size, count, real(stream));
}

BIONIC(int, vfprintf)(void *stream, const char *format, va_list arguments) {
    return vfprintf(real(stream), format, arguments);
}

BIONIC(int, fprintf)(void *stream, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int result = vfprintf(real(stream), format, arguments);
    va_end(arguments);
    return result;
}

#include "aliases_streams.h"
