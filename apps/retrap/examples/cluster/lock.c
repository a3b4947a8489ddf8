// A lock is lent for a while, and whoever has it writes to a store.
// With --wall-clock the lock service and the workers tell by their wall clocks whether that while is over. The sound ones measure it by
// clocks that nobody sets: the service from the instant at which it lends, the worker from before it asked. They write only while the
// kernel knows the store's address on the wire: a datagram waits a second and more where a request of ARP is lost, which `explore` found.
//
//   lock service [--wall-clock]
//   lock worker SERVICE STORE [--wall-clock]
//   lock store SECONDS
#include "planted.h"
#include <net/if_arp.h>
#include <sys/ioctl.h>

#define LEASE_MS 400
// Longer than a datagram is on its way.
#define MARGIN_MS 200
#define PATIENCE_MS 300

static clockid_t trusted = CLOCK_MONOTONIC;

static _Noreturn void service(void) {
  char text[MOST_TEXT];
  int request, loans = 0;
  long long until = 0;
  for (;;) {
    hear(-1, text);
    if (sscanf(text, "take %d", &request) != 1) continue;
    long long now = clock_ms(trusted);
    if (now < until) continue;
    until = now + LEASE_MS;
    tell(sender, "yours %d %d %lld", request, ++loans, until);
  }
}

static int is_reached(struct sockaddr_in to) {
  struct arpreq entry = {.arp_dev = "eth0"};
  memcpy(&entry.arp_pa, &to, sizeof to);
  return ioctl(port, SIOCGARP, &entry) == 0 && (entry.arp_flags & ATF_COM) != 0;
}

static _Noreturn void worker(struct sockaddr_in service, struct sockaddr_in store) {
  char text[MOST_TEXT];
  for (int request = 1;; request++) {
    long long asked = uptime_ms(), until = 0;
    int about = 0, loan = 0;
    tell(service, "take %d", request);
    while (about != request && hear(asked + PATIENCE_MS, text)) sscanf(text, "yours %d %d %lld", &about, &loan, &until);
    // The service's instant says nothing to a clock of its own.
    if (trusted == CLOCK_MONOTONIC) until = asked + LEASE_MS;
    while (about == request && clock_ms(trusted) < until - MARGIN_MS) {
      if (trusted == CLOCK_REALTIME || is_reached(store)) tell(store, "write %d", loan);
      else tell(store, "hello");
      usleep(30000);
    }
    usleep(30000);
  }
}

static int store(int seconds) {
  char text[MOST_TEXT];
  int highest = 0, loan;
  long long end = uptime_ms() + seconds * 1000LL;
  while (hear(end, text)) {
    if (sscanf(text, "write %d", &loan) != 1) continue;
    if (loan > highest) report("sometimes lent ok {\"loan\":%d}", loan);
    if (loan < highest) report("always one-writer fail {\"writes\":%d,\"has-lock\":%d}", loan, highest);
    else highest = loan;
  }
  report("always one-writer ok {\"loans\":%d}", highest);
  return 0;
}

int main(int count, char **words) {
  if (count > 2 && strcmp(words[count - 1], "--wall-clock") == 0) {
    trusted = CLOCK_REALTIME;
    count--;
  }
  open_port();
  if (count == 2 && strcmp(words[1], "service") == 0) service();
  if (count == 4 && strcmp(words[1], "worker") == 0) worker(address_of(words[2]), address_of(words[3]));
  if (count == 3 && strcmp(words[1], "store") == 0) return store(atoi(words[2]));
  return 2;
}
