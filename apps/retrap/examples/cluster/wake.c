// A broker gives jobs to a worker, who sleeps while there are none, and is woken for the next one.
// With --awake-ignores the worker ignores a wake-up while it is awake. Where the wake-up overtakes the "sleep" before it, the worker
// sleeps from then on, and the broker believes that it is awake (a lost wake-up). The sound worker asks for a job at each wake-up.
//
//   wake broker MACHINE    of the worker
//   wake worker BROKER CLIENT [--awake-ignores]
//   wake client SECONDS BROKER
#include "planted.h"

#define MOST_JOBS 64
#define PATIENCE_MS 3000

static _Noreturn void broker(struct sockaddr_in worker) {
  char text[MOST_TEXT];
  int jobs[MOST_JOBS], first = 0, end = 0, sleeps = 1, job;
  for (;;) {
    hear(-1, text);
    if (sscanf(text, "job %d", &job) == 1 && end - first < MOST_JOBS) {
      jobs[end++ % MOST_JOBS] = job;
      if (sleeps) tell(worker, "wake");
      sleeps = 0;
    } else if (strcmp(text, "next") == 0) {
      sleeps = first == end;
      if (sleeps) tell(worker, "sleep");
      else tell(worker, "do %d", jobs[first++ % MOST_JOBS]);
    }
  }
}

static _Noreturn void worker(struct sockaddr_in broker, struct sockaddr_in client, int ignores) {
  char text[MOST_TEXT];
  int sleeps = 1, job;
  for (;;) {
    hear(-1, text);
    if (sscanf(text, "do %d", &job) == 1) {
      tell(client, "done %d", job);
      tell(broker, "next");
    } else if (strcmp(text, "sleep") == 0) {
      sleeps = 1;
    } else if (strcmp(text, "wake") == 0) {
      if (!sleeps && ignores) continue;
      sleeps = 0;
      tell(broker, "next");
    }
  }
}

static int client(int seconds, struct sockaddr_in broker) {
  char text[MOST_TEXT];
  long long end = uptime_ms() + seconds * 1000LL;
  for (int job = 1; uptime_ms() < end; job++) {
    int done = 0;
    long long until = uptime_ms() + PATIENCE_MS;
    tell(broker, "job %d", job);
    while (done != job && hear(until, text)) sscanf(text, "done %d", &done);
    report("always done %s {\"job\":%d}", done == job ? "ok" : "fail", job);
    // The worker is about to sleep, or sleeps already.
    usleep(job % 4 == 0 ? 200000 : 1000 + job % 3 * 1000);
  }
  return 0;
}

int main(int count, char **words) {
  int ignores = count > 2 && strcmp(words[count - 1], "--awake-ignores") == 0;
  count -= ignores;
  open_port();
  if (count == 3 && strcmp(words[1], "broker") == 0) broker(address_of(words[2]));
  if (count == 4 && strcmp(words[1], "worker") == 0) worker(address_of(words[2]), address_of(words[3]), ignores);
  if (count == 4 && strcmp(words[1], "client") == 0) return client(atoi(words[2]), address_of(words[3]));
  return 2;
}
