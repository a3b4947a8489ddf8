// The first process of the guest. Runs the programs that /bench/list names, one a line, between marks on the console. It
// waits a little on both sides of a program, so that the host reads its clocks while the guest is idle.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 8, LINE_BYTES = 256, PAUSE_US = 100000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void drain(void) {
  fflush(stdout);
  tcdrain(STDOUT_FILENO);
}

// NAME OUTPUT PROGRAM ARGUMENT...: OUTPUT is a file, or - for the console.
static void run(char *line) {
  char *name = strtok(line, " "), *output = strtok(NULL, " "), *words[MAX_ARGUMENTS + 1];
  int count = 0;
  while (count < MAX_ARGUMENTS && (words[count] = strtok(NULL, " ")) != NULL) count++;
  words[count] = NULL;
  printf("\n@begin %s\n", name);
  drain();
  usleep(PAUSE_US);
  double start = now();
  pid_t child = vfork();
  if (child == 0) {
    if (strcmp(output, "-") != 0) dup2(open(output, O_WRONLY | O_CREAT | O_TRUNC, 0644), STDOUT_FILENO);
    execv(words[0], words);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  double seconds = now() - start;
  drain();
  usleep(PAUSE_US);
  printf("\n@end %s %.4f %d\n", name, seconds, status);
  drain();
}

int main(void) {
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  mkdir("/tmp", 0777);
  mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
  printf("\n@ready\n");
  drain();
  usleep(PAUSE_US);
  FILE *list = fopen("/bench/list", "r");
  char line[LINE_BYTES];
  while (list != NULL && fgets(line, sizeof line, list) != NULL) {
    line[strcspn(line, "\n")] = 0;
    run(line);
  }
  printf("\n@done\n");
  drain();
  sync();
  reboot(RB_POWER_OFF);
  for (;;) pause();
}
