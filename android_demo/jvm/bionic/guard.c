/*
 * Preloaded on arm64. Code compiled for bionic reads its stack guard 0x28 bytes after the thread pointer, and takes it
 * for constant. glibc lays thread-local data out from 16 bytes after it, a preloaded library's first (`java` has none):
 * so these never change.
 */
__attribute__((tls_model("initial-exec"))) __thread long bionic_slots[16] = {
    0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
};
