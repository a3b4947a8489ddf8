// Parts that the planted faults share: datagrams between machines by name, time, and reports.
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 7000
#define MOST_TEXT 512

static int port = -1;
// The sender of the last datagram.
static struct sockaddr_in sender;

static void fail(const char *what) {
  perror(what);
  exit(2);
}

// Milliseconds of a clock. CLOCK_MONOTONIC runs evenly; CLOCK_REALTIME is the wall clock, which others may set.
static long long clock_ms(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static long long uptime_ms(void) {
  return clock_ms(CLOCK_MONOTONIC);
}

static void open_port(void) {
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  port = socket(AF_INET, SOCK_DGRAM, 0);
  if (port < 0 || bind(port, (struct sockaddr *)&own, sizeof own) < 0) fail("port");
}

// The address of a machine. Read here, so that the program needs no library in its guest.
static struct sockaddr_in address_of(const char *machine) {
  struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  char address[64], name[64];
  FILE *hosts = fopen("/etc/hosts", "r");
  if (hosts == NULL) fail("/etc/hosts");
  while (fscanf(hosts, "%63s %63s", address, name) == 2)
    if (strcmp(name, machine) == 0 && inet_pton(AF_INET, address, &found.sin_addr) == 1) break;
  fclose(hosts);
  if (found.sin_addr.s_addr == 0) {
    fprintf(stderr, "no machine %s\n", machine);
    exit(2);
  }
  return found;
}

// Sends a datagram. A network that is cut says so now and then, which is ignored: a datagram may be lost in any case.
static void tell(struct sockaddr_in to, const char *format, ...) {
  char text[MOST_TEXT];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(text, sizeof text, format, values);
  va_end(values);
  sendto(port, text, length, 0, (struct sockaddr *)&to, sizeof to);
}

// Waits for a datagram until an instant of uptime_ms; -1: for ever. Returns 0 if none has come.
static int hear(long long until, char text[MOST_TEXT]) {
  for (;;) {
    long long left = until < 0 ? -1 : until - uptime_ms();
    if (until >= 0 && left < 0) left = 0;
    struct pollfd waits = {.fd = port, .events = POLLIN};
    if (poll(&waits, 1, left) == 0) return 0;
    socklen_t size = sizeof sender;
    ssize_t length = recvfrom(port, text, MOST_TEXT - 1, 0, (struct sockaddr *)&sender, &size);
    if (length < 0) continue;
    text[length] = 0;
    return 1;
  }
}

// Writes a line to the port for reports.
static void report(const char *format, ...) {
  FILE *lines = fopen("/dev/retrap/report", "w");
  if (lines == NULL) fail("/dev/retrap/report");
  va_list values;
  va_start(values, format);
  vfprintf(lines, format, values);
  va_end(values);
  fputc('\n', lines);
  fclose(lines);
}
