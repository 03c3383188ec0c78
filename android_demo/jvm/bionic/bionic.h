/* How the shim defines a function that Android's libraries import. 64-bit only. */
#ifndef BIONIC_H
#define BIONIC_H

/* Begins a definition: b_<name> here, <name> to the libraries (see aliases_*.h, which scripts/android_bionic.py writes). */
#define BIONIC(result, name) __attribute__((visibility("default"))) result b_##name

/* The same for data. */
#define BIONIC_DATA(type, name) __attribute__((visibility("default"))) type b_##name

#endif
