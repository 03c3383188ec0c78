/* long double on Android's x86_64 has 128 bits and travels in vector registers; glibc's has 80 and does not. */
#define _GNU_SOURCE
#include "bionic.h"

#include <math.h>
#include <stdlib.h>
#include <wchar.h>

typedef _Float128 quad;

BIONIC(quad, frexpl)(quad value, int *exponent) {
    return frexpf128(value, exponent);
}

BIONIC(quad, ldexpl)(quad value, int exponent) {
    return ldexpf128(value, exponent);
}

BIONIC(long long, llroundl)(quad value) {
    return llroundf128(value);
}

BIONIC(quad, strtold)(const char *text, char **end) {
    return strtof128(text, end);
}

BIONIC(quad, strtold_l)(const char *text, char **end, locale_t locale) {
    return strtof128_l(text, end, locale);
}

BIONIC(quad, wcstold)(const wchar_t *text, wchar_t **end) {
    return wcstof128(text, end);
}

BIONIC(double, nexttoward)(double value, quad target) {
    double way = target > value ? HUGE_VAL : target < value ? -HUGE_VAL : value;
    return nextafter(value, way);
}

BIONIC(float, nexttowardf)(float value, quad target) {
    float way = target > value ? HUGE_VALF : target < value ? -HUGE_VALF : value;
    return nextafterf(value, way);
}

#include "aliases_quad.h"
