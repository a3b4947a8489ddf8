// What an operating system does for programs. WHAT is getpid, faults, pipe or fork; COUNT is in thousands, of forks in
// single ones.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void ask(long count) {
  for (long i = 0; i < count; i++) syscall(SYS_getpid);
}

static void fault(long count) {
  enum { PAGES = 1000, PAGE_BYTES = 4096 };
  for (long done = 0; done < count; done += PAGES) {
    char *at = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < PAGES; i++) at[i * PAGE_BYTES] = 1;
    munmap(at, PAGES * PAGE_BYTES);
  }
}

static void play(long count) {
  int there[2], back[2];
  char ball = 1;
  if (pipe(there) != 0 || pipe(back) != 0) exit(1);
  if (fork() == 0) {
    for (long i = 0; i < count; i++) {
      if (read(there[0], &ball, 1) != 1 || write(back[1], &ball, 1) != 1) _exit(1);
    }
    _exit(0);
  }
  for (long i = 0; i < count; i++) {
    if (write(there[1], &ball, 1) != 1 || read(back[0], &ball, 1) != 1) exit(1);
  }
  wait(NULL);
}

static void start(const char *self, long count) {
  for (long i = 0; i < count; i++) {
    int status = 1;
    if (fork() == 0) {
      execl(self, self, "nothing", "0", NULL);
      _exit(1);
    }
    wait(&status);
    if (status != 0) exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  long count = atol(argv[2]);
  if (strcmp(argv[1], "nothing") == 0) return 0;
  if (strcmp(argv[1], "getpid") == 0) ask(count * 1000);
  else if (strcmp(argv[1], "faults") == 0) fault(count * 1000);
  else if (strcmp(argv[1], "pipe") == 0) play(count * 1000);
  else if (strcmp(argv[1], "fork") == 0) start(argv[0], count);
  else return 2;
  printf("%s %ld\n", argv[1], count);
  return 0;
}
