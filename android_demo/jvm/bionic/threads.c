/* Types that are smaller in bionic: glibc's functions would write past their end. */
#define _GNU_SOURCE
#include "bionic.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* bionic's sigset_t: one bit a signal. */
typedef unsigned long signals;

enum {
    BIONIC_ATTR_SIZE = 56,  /* glibc's is 64 on arm64 */
    BIONIC_MUTEX_SIZE = 40, /* glibc's is 48 on arm64 */
};

BIONIC(int, sigemptyset)(signals *set) {
    *set = 0;
    return 0;
}

BIONIC(int, sigfillset)(signals *set) {
    *set = ~0UL;
    return 0;
}

BIONIC(int, sigaddset)(signals *set, int number) {
    *set |= 1UL << (number - 1);
    return 0;
}

BIONIC(int, pthread_sigmask)(int how, const signals *set, signals *old) {
    sigset_t wanted, before;
    memset(&wanted, 0, sizeof wanted);
    if (set) {
        memcpy(&wanted, set, sizeof *set);
    }
    int result = pthread_sigmask(how, set ? &wanted : NULL, old ? &before : NULL);
    if (result == 0 && old) {
        memcpy(old, &before, sizeof *old);
    }
    return result;
}

/* What lies beyond bionic's size is unused in glibc's. */
BIONIC(int, pthread_attr_init)(void *attributes) {
    pthread_attr_t whole;
    int result = pthread_attr_init(&whole);
    memcpy(attributes, &whole, BIONIC_ATTR_SIZE);
    return result;
}

BIONIC(int, pthread_mutex_init)(void *mutex, const pthread_mutexattr_t *attributes) {
    pthread_mutex_t whole;
    int result = pthread_mutex_init(&whole, attributes);
    memcpy(mutex, &whole, BIONIC_MUTEX_SIZE);
    return result;
}

#include "aliases_threads.h"
