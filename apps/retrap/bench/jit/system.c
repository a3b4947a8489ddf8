// What an operating system does for programs. WHAT is getpid, stat, faults, copies, pipe, socket, threads or fork; COUNT is in
// thousands, of threads and forks in single ones.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void ask(long count) {
  for (long i = 0; i < count; i++) syscall(SYS_getpid);
}

static void look(const char *path, long count) {
  struct stat found;
  for (long i = 0; i < count; i++) {
    if (stat(path, &found) != 0) exit(1);
  }
}

enum { PAGES = 1000, PAGE_BYTES = 4096 };

static void fault(long count) {
  for (long done = 0; done < count; done += PAGES) {
    char *at = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < PAGES; i++) at[i * PAGE_BYTES] = 1;
    munmap(at, PAGES * PAGE_BYTES);
  }
}

// Writes to pages of a file that is mapped for this process alone: each is copied.
static void copy(long count) {
  int file = open("/tmp/pages", O_RDWR | O_CREAT | O_TRUNC, 0600);
  char page[PAGE_BYTES] = {1};
  for (int i = 0; i < PAGES; i++) {
    if (write(file, page, PAGE_BYTES) != PAGE_BYTES) exit(1);
  }
  for (long done = 0; done < count; done += PAGES) {
    char *at = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    for (int i = 0; i < PAGES; i++) at[i * PAGE_BYTES]++;
    munmap(at, PAGES * PAGE_BYTES);
  }
  unlink("/tmp/pages");
}

// Two processes send each other a byte: each has one end to read from and one to write to.
static void play(const int own[2], const int other[2], long count) {
  char ball = 1;
  if (fork() == 0) {
    for (long i = 0; i < count; i++) {
      if (read(other[0], &ball, 1) != 1 || write(other[1], &ball, 1) != 1) _exit(1);
    }
    _exit(0);
  }
  for (long i = 0; i < count; i++) {
    if (write(own[1], &ball, 1) != 1 || read(own[0], &ball, 1) != 1) exit(1);
  }
  wait(NULL);
}

static void playByPipes(long count) {
  int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) exit(1);
  play((int[]){back[0], there[1]}, (int[]){there[0], back[1]}, count);
}

static void playBySockets(long count) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) exit(1);
  play((int[]){ends[0], ends[0]}, (int[]){ends[1], ends[1]}, count);
}

static void *nothing(void *argument) { return argument; }

static void startThreads(long count) {
  for (long i = 0; i < count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0) exit(1);
  }
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
  else if (strcmp(argv[1], "stat") == 0) look(argv[0], count * 1000);
  else if (strcmp(argv[1], "faults") == 0) fault(count * 1000);
  else if (strcmp(argv[1], "copies") == 0) copy(count * 1000);
  else if (strcmp(argv[1], "pipe") == 0) playByPipes(count * 1000);
  else if (strcmp(argv[1], "socket") == 0) playBySockets(count * 1000);
  else if (strcmp(argv[1], "threads") == 0) startThreads(count);
  else if (strcmp(argv[1], "fork") == 0) start(argv[0], count);
  else return 2;
  printf("%s %ld\n", argv[1], count);
  return 0;
}
