/* Prints what PyTorch Lite says of itself: NAME ARGUMENTS, a line an operator that has a schema.
 *
 *     pytorch_lite_operators STAND_IN_FOR_BIONIC.so... libpytorch_jni_lite.so
 *
 * For x86-64. The stand-ins are those that the Android libraries are tested with. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* libc++'s unordered_map<string, OperatorInfo>, and OperatorInfo's one field, optional<int>. */
typedef struct entry {
  struct entry *next;
  size_t hash;
  union {
    struct { unsigned char twice_length; char text[23]; } brief;
    struct { size_t capacity_and_1, length; char *text; } full;
  } name;
  bool has_arguments;
  int32_t arguments;
} Entry;

typedef struct { void *buckets; size_t bucket_count; Entry *first; size_t size; float load; } Map;

int main(int count, char **paths) {
  void *library = NULL;
  for (int i = 1; i < count; i++) {
    library = dlopen(paths[i], RTLD_NOW | (i == count - 1 ? RTLD_DEEPBIND : RTLD_GLOBAL));
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
  }
  Map *(*list)(Map *) = dlsym(library, "_ZN5torch3jit25_get_runtime_ops_and_infoEv");
  if (!list) return fprintf(stderr, "the last library is not PyTorch Lite\n"), 1;
  Map operators;
  list(&operators);
  for (Entry *e = operators.first; e; e = e->next) {
    bool full = e->name.brief.twice_length & 1;
    if (e->has_arguments)
      printf("%s %d\n", full ? e->name.full.text : e->name.brief.text, e->arguments);
  }
  fflush(stdout);
  _exit(0); /* its destructors need a JVM */
}
