// The elections of Raft: in each term a machine votes once, and a majority of votes makes a leader.
// With --no-sync a machine answers before its vote is on the disk: after a power loss it has forgotten, votes again in the same term,
// and there may be two leaders. The sound one calls fsync first. With --no-sync-after 2 it does, until it was deposed twice: three events
// far apart lose a vote, which the machine finds missing when it starts.
//
//   raft node FILE WATCHER MACHINE... [--no-sync | --no-sync-after TIMES]    the machines are those that vote, this one included
//   raft watch SECONDS
#include <fcntl.h>

#include "planted.h"

#define BEAT_MS 75
#define LEAST_PATIENCE_MS 200
#define MORE_PATIENCE_MS 400
#define MOST_NODES 8
#define MOST_TERMS 100000
#define RECORD 16

static int nodes, self, file, syncs = 1, deposed, most_deposed = -1;
static struct sockaddr_in node[MOST_NODES], watcher;

// What a machine may not forget: its term, and whom it has voted for there; -1: nobody.
static int term, vote = -1;

static void keep(void) {
  char record[RECORD + 1];
  snprintf(record, sizeof record, "%9d %5d\n", term, vote);
  if (pwrite(file, record, RECORD, 0) != RECORD) fail("the vote");
  if (syncs && fsync(file) < 0) fail("the vote");
  if (most_deposed >= 0) report("promised term %d", term);
}

static void tell_others(const char *what) {
  for (int i = 0; i < nodes; i++)
    if (i != self) tell(node[i], "%s %d %d", what, term, self);
}

static long long patience(void) {
  return uptime_ms() + LEAST_PATIENCE_MS + rand() % MORE_PATIENCE_MS;
}

static _Noreturn void take_part(void) {
  enum { FOLLOWS, ASKS, LEADS } role = FOLLOWS;
  char text[MOST_TEXT], what[8];
  int votes = 0;
  long long until = patience(), beat = 0;
  for (;;) {
    long long now = uptime_ms();
    if (role != LEADS && now >= until) {
      role = ASKS;
      term++;
      vote = self;
      votes = 1 << self;
      keep();
      until = patience();
      beat = now;
    }
    if (role != FOLLOWS && now >= beat) {
      tell_others(role == LEADS ? "lead" : "ask");
      if (role == LEADS) tell(watcher, "leader %d %d", term, self);
      beat = now + BEAT_MS;
    }
    if (!hear(role == LEADS ? beat : role == ASKS && beat < until ? beat : until, text)) continue;
    int about, from;
    if (sscanf(text, "%7s %d %d", what, &about, &from) != 3 || about < term) continue;
    if (about > term) {
      if (role == LEADS && most_deposed >= 0) report("explore deposed %d", ++deposed);
      if (deposed == most_deposed) syncs = 0;
      term = about;
      vote = -1;
      role = FOLLOWS;
    }
    if (strcmp(what, "ask") == 0 && (vote == -1 || vote == from)) {
      vote = from;
      keep();
      tell(node[from], "vote %d %d", term, self);
      until = patience();
    } else if (strcmp(what, "lead") == 0) {
      role = FOLLOWS;
      until = patience();
    } else if (strcmp(what, "vote") == 0 && role == ASKS) {
      votes |= 1 << from;
      if (__builtin_popcount(votes) * 2 > nodes) {
        role = LEADS;
        beat = 0;
        printf("leader of term %d\n", term);
        fflush(stdout);
      }
    }
  }
}

static int watch(int seconds) {
  // Of each term, the leader's number and one; 0: none is known.
  static int leader[MOST_TERMS];
  char text[MOST_TEXT];
  int about, from;
  long long end = uptime_ms() + seconds * 1000LL;
  while (hear(end, text)) {
    if (sscanf(text, "leader %d %d", &about, &from) != 2 || about >= MOST_TERMS || leader[about] == from + 1) continue;
    if (leader[about] == 0) report("sometimes elected ok {\"term\":%d,\"leader\":%d}", about, from + 1);
    else report("always one-leader fail {\"term\":%d,\"leaders\":[%d,%d]}", about, leader[about], from + 1);
    leader[about] = from + 1;
  }
  return 0;
}

int main(int count, char **words) {
  if (count > 2 && strcmp(words[count - 1], "--no-sync") == 0) {
    syncs = 0;
    count--;
  } else if (count > 3 && strcmp(words[count - 2], "--no-sync-after") == 0) {
    most_deposed = atoi(words[count - 1]);
    count -= 2;
  }
  open_port();
  if (count == 3 && strcmp(words[1], "watch") == 0) return watch(atoi(words[2]));
  if (count < 5 || count - 4 > MOST_NODES || strcmp(words[1], "node") != 0) return 2;
  char record[RECORD + 1] = "", name[64];
  gethostname(name, sizeof name);
  file = open(words[2], O_RDWR | O_CREAT, 0600);
  if (file < 0) fail(words[2]);
  if (pread(file, record, RECORD, 0) == RECORD) sscanf(record, "%d %d", &term, &vote);
  if (most_deposed >= 0) report("found term %d", term);
  watcher = address_of(words[3]);
  for (nodes = 0; nodes < count - 4; nodes++) {
    node[nodes] = address_of(words[4 + nodes]);
    if (strcmp(words[4 + nodes], name) == 0) self = nodes;
  }
  unsigned seed;
  if (getentropy(&seed, sizeof seed) < 0) fail("getentropy");
  srand(seed);
  take_part();
}
