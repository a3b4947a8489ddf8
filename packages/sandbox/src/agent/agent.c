// The agent: a static program for Linux on x86-64, without a C library. `npx vitest run agent -u` compiles it.
// It takes requests from descriptor 0 and answers on descriptor 1, as `protocol.ts` describes. Its working folder
// becomes its root folder, unless it has an argument. It exits with 0 when the host closes the requests, with 1 if it
// cannot change its root, and with 2 on an invalid request.
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/signalfd.h>
#include <linux/stat.h>
#include <linux/wait.h>

// Numbers in frames have any alignment.
typedef __u32 __attribute__((aligned(1))) u32;
typedef __u8 u8;

// Numbers of `protocol.ts`.
enum { RUN = 1, INPUT, INPUT_END, KILL, WRITE, READ, LIST, STAT, TIME, REMOVE, RENAME, MAKE_FOLDER, PING, ENTROPY };
enum { STARTED = 65, FAILED, TAKEN, OUTPUT, ERROR_OUTPUT, EXIT, DONE, ERROR, DATA, ENTRIES, READY, IDLE };
enum { STAGE_FOLDER = 1, STAGE_EXECUTE, STAGE_OTHER };
enum { RUN_INPUT = 1, WRITE_APPEND = 1, MAKE_PARENTS = 2, STAT_LINK = 1, HEADER_BYTES = 9, LENGTH_BYTES = 4 };
enum { MOST_REQUEST = 0x40000, MOST_INPUT = 0x8000, MOST_READ = 0x10000, MOST_RUNS = 32 };
// Numbers in the payload of a Run, before its folder and the texts of three lists.
enum { UID, GID, FLAGS, COUNTS, FOLDER = COUNTS + 3 };
enum { CANDIDATES, ARGV, ENVIRONMENT };
enum { DISCONNECTED = 0, NO_ROOT = 1, INVALID = 2, CHILD_FAILED = 127 }; // Exit codes.
// States of a run: its end has not been sent; only its outputs are left. The input closes after its pending bytes.
enum { RUNNING = 1, ENDED = 2, CLOSING = 4 };
enum { INPUT_READ, INPUT_WRITE, OUTPUT_READ, OUTPUT_WRITE, ERROR_READ, ERROR_WRITE, PIPE_ENDS }; // Pipes of a new run.
// A FIFO or a terminal must not block the agent, and no terminal may become its own.
enum { OPEN = O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
// A virtio console port takes 32 KiB in one write (Linux drivers/char/virtio_console.c, port_fops_write()).
enum { CHUNK = 0x8000 - HEADER_BYTES };

// Runs; the state of a free one is 0. The last `left` of the bytes given to the input are not in its pipe yet.
static struct run { u32 id, pid, state, given, left; int input; } runs[MOST_RUNS];
static char inputs[MOST_RUNS][MOST_INPUT];
// Entries for poll(), which ignores descriptors of -1. The descriptor of an output is only here.
struct entries { struct pollfd input, outputs[2]; };
static struct { struct pollfd requests, signals; struct entries runs[MOST_RUNS]; } polls;
// The number of runs up to the last one that is not free, and 1 while there are descendants.
static u32 used, busy;
// The answer under construction. Its payload is aligned for getdents64.
static struct __attribute__((aligned(16))) {
  u8 unused[16 - HEADER_BYTES]; u32 length; u8 type; u32 id; u8 payload[MOST_READ + 1];
} answer;
static u32 *const numbers = (u32 *)answer.payload;
// Bytes of requests that are not handled yet.
static char requests[LENGTH_BYTES + MOST_REQUEST];
static u32 received;
// The payload of the request that is being handled, and its end.
static u32 *given;
static char *givenEnd;
// The new run. Each of its lists of texts ends in a zero.
static char *pointers[MOST_REQUEST + 3], **lists[3];
static int pipes[PIPE_ENDS], nullFile;
static u32 ownUid, ownGid;

// Calls Linux with up to five arguments. The result is -errno on failure.
#define CALL(...) CALL_WITH(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_WITH(number, a, b, c, d, e, ...) call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d, long e) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  asm volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return number;
}

static __attribute__((noreturn)) void leave(int code) { for (;;) CALL(__NR_exit, code); }

static void closeAt(int *descriptor) {
  if (*descriptor >= 0) CALL(__NR_close, *descriptor);
  *descriptor = -1;
}

static void copy(void *to, const void *from, unsigned long bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

// Returns the address behind a text of the request.
static char *behind(char *text) {
  for (; text < givenEnd; text++) if (*text == 0) return text + 1;
  leave(INVALID);
}

static void send(u8 type, u32 bytes) {
  if (type == FAILED || (type >= EXIT && type <= DATA)) answer.payload[bytes++] = busy;
  answer.type = type;
  answer.length = HEADER_BYTES - LENGTH_BYTES + bytes;
  for (long sent, left = HEADER_BYTES + bytes; left > 0; left -= sent) {
    sent = CALL(__NR_write, 1, answer.payload + bytes - left, left);
    if (sent <= 0) leave(DISCONNECTED);
  }
}

// Ends the child if a step of it failed, and leaves the failure to the agent, whose memory it shares.
static void check(u32 stage, int result) {
  if (result >= 0) return;
  numbers[0] = -result;
  numbers[1] = stage;
  leave(CHILD_FAILED);
}

static __attribute__((noreturn, used)) void runChild(void) {
  long noSignals = 0, error = -ENOENT;
  CALL(__NR_setsid);
  check(STAGE_OTHER, CALL(__NR_dup2, given[FLAGS] & RUN_INPUT ? pipes[INPUT_READ] : nullFile, 0));
  check(STAGE_OTHER, CALL(__NR_dup2, pipes[OUTPUT_WRITE], 1));
  check(STAGE_OTHER, CALL(__NR_dup2, pipes[ERROR_WRITE], 2));
  CALL(__NR_rt_sigprocmask, SIG_SETMASK, &noSignals, 0, sizeof noSignals);
  if (given[UID] != ownUid || given[GID] != ownGid) {
    check(STAGE_OTHER, CALL(__NR_setgroups, 0, 0));
    // The group comes first: without the privileges of user 0 it could not change.
    check(STAGE_OTHER, CALL(__NR_setresgid, given[GID], given[GID], given[GID]));
    check(STAGE_OTHER, CALL(__NR_setresuid, given[UID], given[UID], given[UID]));
  }
  check(STAGE_FOLDER, CALL(__NR_chdir, given + FOLDER));
  // A later candidate runs where an earlier one is missing or not executable. EACCES is the most useful of the errors.
  for (char **candidate = lists[CANDIDATES]; *candidate != 0; candidate++) {
    int result = CALL(__NR_execve, *candidate, lists[ARGV], lists[ENVIRONMENT]);
    if (result != -ENOENT && result != -ENOTDIR && result != -EACCES) check(STAGE_EXECUTE, result);
    if (error != -EACCES) error = result;
  }
  check(STAGE_EXECUTE, error);
  __builtin_unreachable();
}

// Starts the child on a stack of its own, and waits until it has executed a program or is gone.
static int startChild(void) {
  static char stack[4096] __attribute__((aligned(16)));
  long result = __NR_clone, flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
  asm volatile("syscall; test %%eax, %%eax; jnz 1f; call runChild; 1:"
               : "+a"(result) : "D"(flags), "S"(stack + sizeof stack) : "rcx", "r11", "memory");
  return result;
}

static void startRun(void) {
  char **at = pointers, *text = behind((char *)(given + FOLDER));
  for (u32 list = 0; list < 3; list++) {
    lists[list] = at;
    for (u32 left = given[COUNTS + list]; left > 0; left--, text = behind(text)) *at++ = text;
    *at++ = 0;
  }
  u32 i = 0, pipe = given[FLAGS] & RUN_INPUT ? INPUT_READ : OUTPUT_READ;
  while (i < MOST_RUNS && runs[i].state != 0) i++;
  int child = i < MOST_RUNS ? 0 : -EAGAIN;
  for (; child >= 0 && pipe < PIPE_ENDS; pipe += 2) child = CALL(__NR_pipe2, pipes + pipe, O_CLOEXEC);
  // Only the agent's end: a program expects an input that blocks.
  if (pipes[INPUT_WRITE] >= 0) CALL(__NR_fcntl, pipes[INPUT_WRITE], F_SETFL, O_NONBLOCK);
  numbers[0] = 0;
  numbers[1] = STAGE_OTHER;
  if (child >= 0) child = startChild();
  if (child < 0) numbers[0] = -child;
  int hasFailed = numbers[0] != 0;
  // A child that failed is reaped here; its SIGCHLD then finds nothing, or the deaths of others.
  if (hasFailed && child > 0) CALL(__NR_wait4, child, 0, __WALL, 0);
  if (!hasFailed) {
    // No entry has a result of poll() yet: this turn still looks at results.
    struct pollfd output = {pipes[OUTPUT_READ], POLLIN, 0}, errors = {pipes[ERROR_READ], POLLIN, 0};
    polls.runs[i] = (struct entries){{-1, POLLOUT, 0}, {output, errors}};
    runs[i] = (struct run){answer.id, child, RUNNING, 0, 0, pipes[INPUT_WRITE]};
    pipes[INPUT_WRITE] = pipes[OUTPUT_READ] = pipes[ERROR_READ] = -1;
    numbers[0] = child;
    busy = 1;
    if (used <= i) used = i + 1;
  }
  for (u32 end = 0; end < PIPE_ENDS; end++) closeAt(&pipes[end]);
  send(hasFailed ? FAILED : STARTED, hasFailed ? 8 : 4);
}

// Returns the index of a running run, by its process or its identifier; -1 if there is none.
static int find(int byProcess, u32 value) {
  for (u32 i = 0; i < used; i++) {
    if ((byProcess ? runs[i].pid : runs[i].id) == value && runs[i].state & RUNNING) return i;
  }
  return -1;
}

static void closeInput(u32 i) {
  polls.runs[i].input.fd = -1;
  runs[i].left = 0;
  closeAt(&runs[i].input);
}

// Writes pending input as far as the pipe has room. The answer follows when none is left, or the pipe has no reader.
static void feed(u32 i) {
  int written = CALL(__NR_write, runs[i].input, inputs[i] + runs[i].given - runs[i].left, runs[i].left);
  if (written > 0) runs[i].left -= written;
  if (written == -EAGAIN || (written >= 0 && runs[i].left > 0)) return;
  polls.runs[i].input.fd = -1;
  if (written < 0 || runs[i].state & CLOSING) closeInput(i);
  answer.id = runs[i].id;
  answer.payload[0] = 1;
  send(TAKEN, written < 0);
}

static void handleRun(u8 type) {
  int i = find(0, answer.id);
  u32 bytes = givenEnd - (char *)given;
  // A run may have ended before a request for it arrives.
  if (i < 0) return;
  if (type == KILL) CALL(__NR_kill, -(int)runs[i].pid, given[0]);
  if (type == INPUT_END && runs[i].left > 0) runs[i].state |= CLOSING;
  else if (type == INPUT_END) closeInput(i);
  if (type != INPUT) return;
  if (bytes > MOST_INPUT || runs[i].left > 0) leave(INVALID);
  copy(inputs[i], given, bytes);
  runs[i].given = runs[i].left = bytes;
  polls.runs[i].input.fd = runs[i].input;
  feed(i);
}

// Reads an output once, and sends the bytes unless the end of the run has been sent. Returns the result of read().
static int readOutput(u32 i, u32 output, int most) {
  int bytes = CALL(__NR_read, polls.runs[i].outputs[output].fd, answer.payload, most < CHUNK ? most : CHUNK);
  answer.id = runs[i].id;
  if (bytes > 0 && runs[i].state & RUNNING) send(OUTPUT + output, bytes);
  return bytes;
}

static void endRun(u32 i, int status) {
  for (u32 output = 0; output < 2; output++) {
    // Only the bytes that are there now: another process may write without end.
    int fd = polls.runs[i].outputs[output].fd, bytes = 1, left = 0;
    if (fd >= 0) CALL(__NR_ioctl, fd, FIONREAD, &left);
    for (; left > 0 && bytes > 0; left -= bytes) bytes = readOutput(i, output, left);
  }
  closeInput(i);
  runs[i].state = ENDED;
  answer.id = runs[i].id;
  numbers[0] = status;
  send(EXIT, 4);
}

// Reaps children, and descendants without a parent.
static void handleDeaths(void) {
  struct signalfd_siginfo signal;
  int status, next;
  CALL(__NR_read, polls.signals.fd, &signal, sizeof signal);
  for (int dead = CALL(__NR_wait4, -1, &status, WNOHANG | __WALL, 0); dead > 0; dead = next) {
    int i = find(1, dead), deadStatus = status;
    // An answer tells whether descendants are left, so that the next wait comes first.
    next = CALL(__NR_wait4, -1, &status, WNOHANG | __WALL, 0);
    busy = next != -ECHILD;
    answer.id = 0;
    if (i >= 0) endRun(i, deadStatus);
    else if (!busy) send(IDLE, 0);
  }
}

// Calls open() or mkdir(). If folders of the path are missing and the request allows it, it makes them and tries again.
static int make(long number, int a, int b) {
  char *path = (char *)(given + 2);
  int result = CALL(number, path, a, b);
  if (result != -ENOENT || !(given[0] & MAKE_PARENTS)) return result;
  for (char *at = path; *at != 0; at++) {
    if (*at != '/' || at == path) continue;
    *at = 0;
    CALL(__NR_mkdir, path, 0777);
    *at = '/';
  }
  return CALL(number, path, a, b);
}

static int writeFile(void) {
  char *data = behind((char *)(given + 2));
  int flags = OPEN | O_WRONLY | O_CREAT | (given[0] & WRITE_APPEND ? O_APPEND : O_TRUNC);
  int file = make(__NR_open, flags, given[1]);
  long written = 0;
  if (file < 0) return file;
  while (data < givenEnd && (written = CALL(__NR_write, file, data, givenEnd - data)) > 0) data += written;
  // Some filesystems report a failed write when the file is closed.
  int closed = CALL(__NR_close, file);
  return written < 0 ? written : closed;
}

// Reads bytes into the answer, and returns how many.
static int readFile(void) {
  int most = given[2] < MOST_READ ? given[2] : MOST_READ, all = 0, got = 0;
  long from = given[0] | (long)given[1] << 32;
  int file = CALL(__NR_open, given + 3, OPEN);
  if (file < 0) return file;
  // A short read is not the end in /proc and the like.
  while (all < most && (got = CALL(__NR_pread64, file, answer.payload + all, most - all, from + all)) > 0) all += got;
  CALL(__NR_close, file);
  return got < 0 ? got : all;
}

static int list(void) {
  int folder = CALL(__NR_open, given, OPEN | O_DIRECTORY), bytes;
  if (folder < 0) return folder;
  while ((bytes = CALL(__NR_getdents64, folder, answer.payload, CHUNK)) > 0) send(ENTRIES, bytes);
  CALL(__NR_close, folder);
  return bytes;
}

static int addEntropy(void) {
  int file = CALL(__NR_open, "/dev/urandom", OPEN | O_WRONLY);
  if (file < 0) return file;
  CALL(__NR_ioctl, file, RNDADDENTROPY, given);
  CALL(__NR_ioctl, file, RNDRESEEDCRNG);
  return CALL(__NR_close, file);
}

static void handle(u8 type) {
  int result = 0, flags = given[0] & STAT_LINK ? AT_SYMLINK_NOFOLLOW : 0;
  if (type == 0 || type > ENTROPY) leave(INVALID);
  if (type == RUN) return startRun();
  if (type == INPUT || type == INPUT_END || type == KILL) return handleRun(type);
  if (type == WRITE) result = writeFile();
  if (type == READ) result = readFile();
  if (type == LIST) result = list();
  if (type == STAT) result = CALL(__NR_statx, AT_FDCWD, given + 1, flags, STATX_BASIC_STATS, answer.payload);
  if (type == TIME) result = CALL(__NR_clock_settime, CLOCK_REALTIME, given);
  if (type == REMOVE) result = CALL(__NR_unlink, given);
  if (type == REMOVE && result == -EISDIR) result = CALL(__NR_rmdir, given);
  if (type == RENAME) result = CALL(__NR_rename, given, behind((char *)given));
  if (type == MAKE_FOLDER) result = make(__NR_mkdir, given[1], 0);
  if (type == ENTROPY) result = addEntropy();
  if (result < 0) numbers[0] = -result;
  if (result < 0) send(ERROR, 4);
  else if (type == READ || type == STAT) send(DATA, type == READ ? result : (int)sizeof(struct statx));
  else send(DONE, 0);
}

// Reads requests, and handles the complete ones.
static void receive(void) {
  long bytes = CALL(__NR_read, 0, requests + received, sizeof requests - received);
  // The host closed the stream, if poll() says so. A port can be open again by now.
  if (bytes <= 0) CALL(__NR_poll, &polls.requests, 1, -1);
  if (bytes <= 0 && polls.requests.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) leave(DISCONNECTED);
  if (bytes <= 0) return;
  char *at = requests;
  for (received += bytes; received >= LENGTH_BYTES; received -= givenEnd - at, at = givenEnd) {
    u32 length = *(u32 *)at;
    if (length < HEADER_BYTES - LENGTH_BYTES || length > MOST_REQUEST) leave(INVALID);
    if (received < LENGTH_BYTES + length) break;
    givenEnd = at + LENGTH_BYTES + length;
    answer.id = *(u32 *)(at + 5);
    given = (u32 *)(at + HEADER_BYTES);
    handle(at[4]);
  }
  // The rest moves to the start of the buffer, which has room for one request.
  if (at != requests) copy(requests, at, received);
}

// A turn: one poll, then requests, one read of each ready output, and deaths.
static void turn(void) {
  // Without descendants and outputs only a request can arrive, so that the read may block.
  if (!busy && used == 0) return receive();
  if (CALL(__NR_poll, &polls, 2 + 3 * used, -1) <= 0) return;
  if (polls.requests.revents) receive();
  for (u32 i = 0; i < used; i++) {
    if (polls.runs[i].input.revents) feed(i);
    for (u32 output = 0; output < 2; output++) {
      struct pollfd *entry = &polls.runs[i].outputs[output];
      if (!entry->revents) continue;
      int bytes = entry->revents & POLLIN ? readOutput(i, output, CHUNK) : 0;
      // Without writers a pipe is at its end after a short read.
      if (bytes <= 0 || (bytes < CHUNK && entry->revents & POLLHUP)) closeAt(&entry->fd);
    }
  }
  if (polls.signals.revents) handleDeaths();
  // Runs that have ended are free when their outputs are closed.
  for (u32 i = 0; i < used; i++) {
    const struct pollfd *outputs = polls.runs[i].outputs;
    if (runs[i].state == ENDED && outputs[0].fd < 0 && outputs[1].fd < 0) runs[i].state = 0;
  }
  while (used > 0 && runs[used - 1].state == 0) used--;
}

static __attribute__((noreturn, used)) void agent(long argc) {
  unsigned long childSignal = 1 << (SIGCHLD - 1), blocked = childSignal | 1 << (SIGPIPE - 1);
  const struct sigaction defaultAction = {0};
  if (argc <= 1 && (CALL(__NR_chroot, ".") < 0 || CALL(__NR_chdir, "/") < 0)) leave(NO_ROOT);
  CALL(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1);
  // An ignored SIGCHLD hides deaths, and children inherit an ignored SIGPIPE.
  CALL(__NR_rt_sigaction, SIGCHLD, &defaultAction, 0, sizeof blocked);
  CALL(__NR_rt_sigaction, SIGPIPE, &defaultAction, 0, sizeof blocked);
  // With SIGPIPE blocked a write to a closed pipe fails; a child gets an empty mask back.
  CALL(__NR_rt_sigprocmask, SIG_SETMASK, &blocked, 0, sizeof blocked);
  // Runs with the agent's own identity then need no calls for theirs. Only a privileged agent can drop groups.
  CALL(__NR_setgroups, 0, 0);
  ownUid = CALL(__NR_getuid);
  ownGid = CALL(__NR_getgid);
  // Descriptors that the agent inherited would pass to children, which get others only in place of the first three.
  CALL(__NR_close_range, 3, ~0u, 0);
  nullFile = CALL(__NR_open, "/dev/null", O_RDWR | O_CLOEXEC);
  for (u32 end = 0; end < PIPE_ENDS; end++) pipes[end] = -1;
  polls.requests.events = POLLIN | POLLRDHUP;
  polls.signals = (struct pollfd){CALL(__NR_signalfd4, -1, &childSignal, sizeof childSignal, O_CLOEXEC), POLLIN, 0};
  send(READY, 0);
  for (;;) turn();
}

asm(".globl _start; _start: mov (%rsp), %rdi; call agent");
