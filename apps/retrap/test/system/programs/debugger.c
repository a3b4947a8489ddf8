// A debugger and its child: single-step, instruction breakpoints, watchpoints. What it prints depends on the processor's
// debug exceptions alone.
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long watched, other;
static char from[64], to[64];

__attribute__((noinline)) static long target(long x) { return x * 3 + 1; }

static void child(void) {
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  long sum = 0;
  for (int i = 0; i < 3; i++) sum += target(i);
  other = sum;
  watched = 1;
  sum += other;
  watched += 2;
  (void)watched;
  asm volatile("rep movsb" ::"S"(from), "D"(to), "c"(8L) : "memory");
  asm volatile("mov %%ss, %%eax; mov %%eax, %%ss; nop" ::: "eax");
  asm volatile("pushf; popf; cpuid" ::"a"(0), "c"(0) : "rbx", "rdx");
  getppid();
  _exit(sum & 0x7f);
}

static pid_t start(void) {
  int status;
  pid_t pid = fork();
  if (pid == 0) child();
  waitpid(pid, &status, 0);
  return pid;
}

static void poke(pid_t pid, int index, unsigned long value) {
  ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]) + 8 * index, value);
}

static unsigned long conditions(pid_t pid) {
  return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg[6]), 0) & 0xf;
}

static void single_step(void) {
  pid_t pid = start();
  struct user_regs_struct r;
  int status;
  long steps = 0;
  uint64_t hash = 0, here = (uint64_t)child;
  for (;;) {
    ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status)) break;
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    // The C library may differ in which of its functions it takes; the child's own code does not.
    if (r.rip < here - 0x1000 || r.rip >= here + 0x1000) continue;
    steps++;
    hash = hash * 31 + (r.rip - here);
  }
  printf("%ld steps, hash %lx, exit %d\n", steps, hash, WEXITSTATUS(status));
}

static void run_on(pid_t pid, const char *what) {
  struct user_regs_struct r;
  int status, hits = 0;
  uint64_t here = (uint64_t)child;
  for (;;) {
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) || hits++ > 20) break;
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    int inside = r.rip >= here && r.rip < here + 0x400;
    printf("%s: signal %d, rip %ld, rdi %ld, rcx %ld, watched %ld, DR6 %lx\n", what, WSTOPSIG(status),
           (long)(r.rip - here), (long)(inside ? 0 : r.rdi), (long)(conditions(pid) == 2 ? r.rcx : 0),
           ptrace(PTRACE_PEEKDATA, pid, &watched, 0), conditions(pid));
  }
  printf("%s: %d hits, exit %d\n", what, hits, WEXITSTATUS(status));
}

int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  single_step();
  pid_t pid = start();
  poke(pid, 0, (unsigned long)target);
  poke(pid, 7, 1);
  run_on(pid, "breakpoint");
  pid = start();
  poke(pid, 0, (unsigned long)&watched);
  poke(pid, 1, (unsigned long)&to[3]);
  // Writes of eight bytes, and any access of one.
  poke(pid, 7, 1 | (1 << 2) | (0x9UL << 16) | (0x3UL << 20));
  run_on(pid, "watchpoint");
  return 0;
}
