/*
 * A TCG plugin of qemu: counts the guest's instructions, of all its threads, between two marks.
 *
 * A mark is the system call sched_get_priority_max with BEGIN or END as the policy, which the
 * kernel refuses without doing anything. Each END appends a line with the instructions since
 * BEGIN to the file that the argument `out` names; an END without a BEGIN writes `unpaired`.
 *
 * Built against the qemu-plugin.h of the qemu that loads it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* Linux's include/uapi/asm-generic/unistd.h, which arm64 uses. */
enum { SCHED_GET_PRIORITY_MAX = 125 };

/* As exporter/device/agent/measure.py calls it. */
enum { BEGIN = 0x45580001, END = 0x45580002 };

/* One sum a thread, so that none has to wait for another; by design of qemu's scoreboards. */
static qemu_plugin_u64 executed;

static const char *out;
static uint64_t before;
static bool begun;

static void append_line(void)
{
    FILE *file = fopen(out, "a");

    if (file == NULL) {
        perror(out);
        exit(EXIT_FAILURE);
    }
    if (begun) {
        fprintf(file, "%" PRIu64 "\n", qemu_plugin_u64_sum(executed) - before);
    } else {
        fputs("unpaired\n", file);
    }
    if (fclose(file) != 0) {
        perror(out);
        exit(EXIT_FAILURE);
    }
}

static void on_syscall(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1,
                       uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                       uint64_t a7, uint64_t a8)
{
    if (number != SCHED_GET_PRIORITY_MAX) {
        return;
    }
    /* The policy is an int: the upper half of the register is not of its value. */
    switch ((uint32_t)a1) {
    case BEGIN:
        begun = true;
        before = qemu_plugin_u64_sum(executed);
        break;
    case END:
        append_line();
        begun = false;
        break;
    }
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    /* Not once a block: a block may be left in its middle, by a fault. */
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            qemu_plugin_tb_get_insn(block, i), QEMU_PLUGIN_INLINE_ADD_U64, executed, 1);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fputs("count: takes out=FILE\n", stderr);
        return -1;
    }
    out = strdup(argv[0] + 4);
    executed = qemu_plugin_scoreboard_u64(qemu_plugin_scoreboard_new(sizeof(uint64_t)));
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return 0;
}
