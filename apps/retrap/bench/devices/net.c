// net up: gives the first network card an address of the user network, and a route. net send|receive|trips PORT COUNT:
// bytes to, bytes from, and one-byte questions that are answered by, a port of the host's.
#include <arpa/inet.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct sockaddr_in address(const char *text, int port) {
  struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, text, &result.sin_addr);
  return result;
}

static int up(void) {
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq card = {.ifr_name = "eth0"};
  struct sockaddr_in own = address("10.0.2.15", 0), mask = address("255.255.255.0", 0);
  memcpy(&card.ifr_addr, &own, sizeof own);
  if (ioctl(control, SIOCSIFADDR, &card) != 0) return perror("address"), 1;
  memcpy(&card.ifr_netmask, &mask, sizeof mask);
  if (ioctl(control, SIOCSIFNETMASK, &card) != 0) return perror("mask"), 1;
  card.ifr_flags = IFF_UP;
  if (ioctl(control, SIOCSIFFLAGS, &card) != 0) return perror("up"), 1;
  return 0;
}

int main(int argc, char **argv) {
  static char buffer[64 << 10];
  if (argc == 2) return up();
  if (argc != 4) return 2;
  long count = strtol(argv[3], NULL, 0), done = 0;
  int yes = 1;
  int wire = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in host = address("10.0.2.2", atoi(argv[2]));
  if (connect(wire, (struct sockaddr *)&host, sizeof host) != 0) return perror("connect"), 1;
  if (strcmp(argv[1], "trips") == 0) {
    setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (; done < count; done++)
      if (write(wire, buffer, 1) != 1 || read(wire, buffer, 1) != 1) return perror("trip"), 1;
  } else if (strcmp(argv[1], "send") == 0) {
    while (done < count) {
      long part = count - done < (long)sizeof buffer ? count - done : (long)sizeof buffer;
      if (write(wire, buffer, part) != part) return perror("write"), 1;
      done += part;
    }
    // The host closes when it has all.
    shutdown(wire, SHUT_WR);
    if (read(wire, buffer, 1) != 0) return perror("close"), 1;
  } else {
    for (long part; (part = read(wire, buffer, sizeof buffer)) > 0;) done += part;
  }
  printf("%ld\n", done);
  return 0;
}
