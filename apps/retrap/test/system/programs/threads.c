// Four threads: atomics, locks, TLB shootdowns, and code that one thread writes and another executes.
#define _GNU_SOURCE
#include <sched.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 50000, SHOOTDOWNS = 200, PATCHES = 2000 };

static atomic_long sum, swaps;
static long guarded;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned __int128 wide __attribute__((aligned(16)));

static int swap16(unsigned __int128 *at, unsigned __int128 expect, unsigned __int128 value) {
  uint64_t lo = expect, hi = expect >> 64;
  char done;
  asm volatile("lock cmpxchg16b %1; sete %0"
               : "=q"(done), "+m"(*at), "+a"(lo), "+d"(hi)
               : "b"((uint64_t)value), "c"((uint64_t)(value >> 64))
               : "cc", "memory");
  return done;
}

static void *count(void *unused) {
  for (int i = 0; i < ROUNDS; i++) {
    atomic_fetch_add(&sum, i);
    if (i % 10 == 0) {
      pthread_mutex_lock(&mutex);
      guarded += i;
      pthread_mutex_unlock(&mutex);
    }
    if (i % 100 == 0) {
      unsigned __int128 old;
      do old = wide;
      while (!swap16(&wide, old, old + (((unsigned __int128)1 << 64) | 3)));
      atomic_fetch_add(&swaps, 1);
    }
  }
  return unused;
}

static volatile long *page, *alias;
static atomic_int round_number, stopped, finished;
static __thread sigjmp_buf back;

static void refused(int number) {
  (void)number;
  siglongjmp(back, 1);
}

/** Writes the page until it may not, then waits for the next round. */
static void *scribble(void *unused) {
  int mine = 0;
  while (!finished) {
    if (sigsetjmp(back, 1) == 0)
      for (;;) atomic_fetch_add((atomic_long *)page, 1);
    atomic_fetch_add(&stopped, 1);
    while (round_number == mine && !finished) sched_yield();
    mine = round_number;
  }
  return unused;
}

static void shoot_down(void) {
  int file = memfd_create("page", 0), late = 0, progress = 0;
  if (ftruncate(file, 4096) != 0) return;
  page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  alias = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  signal(SIGSEGV, refused);
  pthread_t threads[THREADS - 1];
  for (int i = 0; i < THREADS - 1; i++) pthread_create(&threads[i], 0, scribble, 0);
  for (int i = 0; i < SHOOTDOWNS; i++) {
    long before = *alias;
    while (*alias < before + 100) sched_yield();
    mprotect((void *)page, 4096, PROT_READ);
    // From here on no processor may have the page writable.
    long seen = *alias;
    for (int n = 0; n < 50; n++) asm volatile("pause");
    late += *alias != seen;
    progress += seen > before;
    while (stopped < THREADS - 1) sched_yield();
    stopped = 0;
    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
    if (i == SHOOTDOWNS - 1) finished = 1;
    round_number++;
  }
  for (int i = 0; i < THREADS - 1; i++) pthread_join(threads[i], 0);
  printf("%d shootdowns, %d with progress, %d late writes\n", SHOOTDOWNS, progress, late);
}

static uint8_t *code;
static atomic_int turn;
static long wrong;

/** Executes what the other thread has written, after a serializing instruction. */
static void *execute(void *unused) {
  for (int i = 1; i <= PATCHES; i++) {
    while (turn != 2 * i - 1) sched_yield();
    asm volatile("cpuid" ::"a"(0), "c"(0) : "rbx", "rdx", "memory");
    if (((int (*)(void))code)() != i) wrong++;
    turn = 2 * i;
  }
  return unused;
}

static void patch(void) {
  code = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  code += 4094; // mov eax, imm32 lies in two pages
  memcpy(code, "\xb8\0\0\0\0\xc3", 6);
  pthread_t other;
  pthread_create(&other, 0, execute, 0);
  for (int i = 1; i <= PATCHES; i++) {
    while (turn != 2 * i - 2) sched_yield();
    memcpy(code + 1, &i, 4);
    // This one runs it too, and at once.
    if (((int (*)(void))code)() != i) wrong++;
    turn = 2 * i - 1;
  }
  pthread_join(other, 0);
  printf("%d patches, %ld wrong\n", PATCHES, wrong);
}

int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, count, 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
  printf("sum %ld, guarded %ld, wide %ld %ld, swaps %ld\n", sum, guarded, (long)(wide >> 64), (long)wide, swaps);
  shoot_down();
  patch();
  return 0;
}
