// Offices hand out numbered tickets, each number once. An office asks the others before it hands a number out.
// With --alone the offices that answer are enough: offices that do not reach each other go on by themselves, and hand out the
// same numbers (a split brain). The sound office needs a majority of all.
//
//   tickets office MACHINE... [--alone]    the machines are those of the other offices
//   tickets buyer SECONDS MACHINE...
#include "planted.h"

#define ASKS_MS 100
#define MOST_OFFICES 8
#define MOST_TICKETS 100000

// A buyer who waits. The number is what the others are asked about.
static struct {
  int waits;
  struct sockaddr_in buyer;
  int request, number, agreed;
  long long until;
} sale;

static int others;
static struct sockaddr_in other[MOST_OFFICES];
static int is_alone;
// An office promises a number to one office at most: it has promised all up to here.
static int promised;

static void ask(void) {
  sale.number = ++promised;
  sale.agreed = 0;
  sale.until = uptime_ms() + ASKS_MS;
  for (int i = 0; i < others; i++) tell(other[i], "may %d", sale.number);
}

static int count(int bits) {
  return bits == 0 ? 0 : (bits & 1) + count(bits >> 1);
}

static void sell(void) {
  tell(sale.buyer, "ticket %d %d", sale.request, sale.number);
  sale.waits = 0;
}

static _Noreturn void office(void) {
  char text[MOST_TEXT];
  for (;;) {
    if (!hear(sale.waits ? sale.until : -1, text)) {
      // Nobody has answered for a while.
      if (is_alone) sell();
      else sale.waits = 0;
      continue;
    }
    int number, highest;
    if (sscanf(text, "want %d", &number) == 1) {
      if (sale.waits) continue;
      sale.waits = 1;
      sale.buyer = sender;
      sale.request = number;
      ask();
    } else if (sscanf(text, "may %d", &number) == 1) {
      if (number > promised) {
        promised = number;
        tell(sender, "yes %d", number);
      } else tell(sender, "no %d %d", number, promised);
    } else if (sscanf(text, "yes %d", &number) == 1) {
      if (!sale.waits || number != sale.number) continue;
      for (int i = 0; i < others; i++)
        if (other[i].sin_addr.s_addr == sender.sin_addr.s_addr) sale.agreed |= 1 << i;
      // This office is one of them.
      if ((1 + count(sale.agreed)) * 2 > 1 + others) sell();
    } else if (sscanf(text, "no %d %d", &number, &highest) == 2) {
      if (highest > promised) promised = highest;
      if (sale.waits && number == sale.number) ask();
    }
  }
}

static int buyer(int seconds, int offices, char **names) {
  static char sold[MOST_TICKETS];
  char text[MOST_TEXT];
  long long end = uptime_ms() + seconds * 1000LL;
  for (int request = 1; uptime_ms() < end; request++) {
    char *name = names[request % offices];
    long long until = uptime_ms() + 3 * ASKS_MS;
    int about = 0, number = 0;
    tell(address_of(name), "want %d", request);
    while (about != request && hear(until, text)) sscanf(text, "ticket %d %d", &about, &number);
    if (about == request && number < MOST_TICKETS) {
      report("always sold-once %s {\"ticket\":%d,\"office\":\"%s\"}", sold[number] ? "fail" : "ok", number, name);
      sold[number] = 1;
    } else report("sometimes refused ok {\"office\":\"%s\"}", name);
    usleep(80000);
  }
  return 0;
}

int main(int count, char **words) {
  is_alone = count > 2 && strcmp(words[count - 1], "--alone") == 0;
  count -= is_alone;
  open_port();
  if (count > 3 && strcmp(words[1], "buyer") == 0) return buyer(atoi(words[2]), count - 3, words + 3);
  if (count < 3 || count - 2 > MOST_OFFICES || strcmp(words[1], "office") != 0) return 2;
  for (others = 0; others < count - 2; others++) other[others] = address_of(words[2 + others]);
  office();
}
