// A queue keeps messages in a file, and says to its client which ones it has.
// With --no-sync it says so before the message is on the disk: a power loss takes messages that it has acknowledged. The sound queue
// calls fsync first.
//
//   queue server FILE [--no-sync]
//   queue client SECONDS SERVER
#include <fcntl.h>

#include "planted.h"

#define MOST_MESSAGES 100000
#define RECORD 8
#define PATIENCE_MS 300
// The client asks again for a message that it has put so many messages before.
#define BEHIND 5

static _Noreturn void server(const char *path, int syncs) {
  static char has[MOST_MESSAGES];
  char text[MOST_TEXT], record[2 * RECORD] = "";
  int message, file = open(path, O_RDWR | O_CREAT, 0600);
  off_t end = 0;
  if (file < 0) fail(path);
  // A record that is not whole was never acknowledged, and is written over.
  for (; pread(file, record, RECORD, end) == RECORD && sscanf(record, "%7d\n", &message) == 1; end += RECORD)
    if (message < MOST_MESSAGES) has[message] = 1;
  for (;;) {
    hear(-1, text);
    if (sscanf(text, "put %d", &message) == 1 && message < MOST_MESSAGES) {
      if (!has[message]) {
        snprintf(record, sizeof record, "%07d\n", message);
        if (pwrite(file, record, RECORD, end) != RECORD) fail(path);
        if (syncs && fsync(file) < 0) fail(path);
        end += RECORD;
        has[message] = 1;
      }
      tell(sender, "kept %d", message);
    } else if (sscanf(text, "get %d", &message) == 1 && message < MOST_MESSAGES)
      tell(sender, has[message] ? "kept %d" : "lost %d", message);
  }
}

// Asks until there is an answer. Returns whether the server has the message.
static int ask(struct sockaddr_in server, const char *what, int message) {
  char text[MOST_TEXT], word[8];
  for (;;) {
    long long until = uptime_ms() + PATIENCE_MS;
    int about = 0;
    tell(server, "%s %d", what, message);
    while (hear(until, text))
      if (sscanf(text, "%7s %d", word, &about) == 2 && about == message) return strcmp(word, "kept") == 0;
  }
}

static int client(int seconds, struct sockaddr_in server) {
  long long end = uptime_ms() + seconds * 1000LL;
  for (int message = 1; message < MOST_MESSAGES && uptime_ms() < end; message++) {
    ask(server, "put", message);
    int before = message - BEHIND;
    if (before > 0) report("always kept %s {\"message\":%d}", ask(server, "get", before) ? "ok" : "fail", before);
    usleep(50000);
  }
  return 0;
}

int main(int count, char **words) {
  int syncs = count < 2 || strcmp(words[count - 1], "--no-sync") != 0;
  count -= !syncs;
  open_port();
  if (count == 3 && strcmp(words[1], "server") == 0) server(words[2], syncs);
  if (count == 4 && strcmp(words[1], "client") == 0) return client(atoi(words[2]), address_of(words[3]));
  return 2;
}
