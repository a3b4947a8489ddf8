// The agent: a static program for Linux on x86-64, without a C library.
//
// It takes requests from descriptor 0 and answers on descriptor 1, as `protocol.ts` describes. Its working folder
// becomes its root folder, unless it has an argument. It exits with 0 when the host closes the requests, with 1 if it
// cannot change its root, and with 2 on an invalid request. `npx vitest run agent -u` compiles it to `agent-program.ts`.
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
#include <linux/time.h>
#include <linux/wait.h>

// Numbers in frames have any alignment.
typedef __u32 __attribute__((aligned(1))) u32;
typedef __u64 __attribute__((aligned(1))) u64;
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

// Exit codes.
enum { DISCONNECTED = 0, NO_ROOT = 1, INVALID = 2, CHILD_FAILED = 127 };
// States of a run: its end has not been sent; only its outputs are left. The input closes after its pending bytes.
enum { RUNNING = 1, ENDED = 2, CLOSING = 4 };
// Descriptors of a new run's pipes.
enum { INPUT_READ, INPUT_WRITE, OUTPUT_READ, OUTPUT_WRITE, ERROR_READ, ERROR_WRITE, PIPE_ENDS };
// A FIFO or a terminal must not block the agent, and no terminal may become its own.
enum { OPEN = O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
// Most bytes of an answer from one read. With its header it has 32 KiB, the most that a virtio console port takes in one
// write (Linux drivers/char/virtio_console.c, port_fops_write()).
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
static struct { u8 unused[7]; u32 length; u8 type; u32 id; u8 payload[MOST_READ + 1]; } answer __attribute__((aligned(16)));
static u32 *const numbers = (u32 *)answer.payload;
// Requests that are not handled yet, and the end of the request that is being handled.
static char requests[LENGTH_BYTES + MOST_REQUEST], *requestEnd;
static u32 received;

// The new run. Each of its lists of texts ends in a zero.
static const u32 *newRun;
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

static __attribute__((noreturn)) void leave(int code) {
  for (;;) CALL(__NR_exit, code);
}

static void closeAt(int *descriptor) {
  if (*descriptor >= 0) CALL(__NR_close, *descriptor);
  *descriptor = -1;
}

static void copy(char *to, const char *from, unsigned long bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

// Returns the address behind a text of the request.
static char *behind(char *text) {
  while (text < requestEnd && *text != 0) text++;
  if (text >= requestEnd) leave(INVALID);
  return text + 1;
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

// Answers with bytes of the payload, or with an error for a negative result.
static void sendResult(int result, u8 type, u32 bytes) {
  if (result >= 0) return send(type, bytes);
  numbers[0] = -result;
  send(ERROR, 4);
}

// Ends the child if a step of it failed, and leaves the failure to the agent, whose memory it shares.
static void check(u32 stage, int result) {
  if (result >= 0) return;
  numbers[0] = -result;
  numbers[1] = stage;
  leave(CHILD_FAILED);
}

static __attribute__((noreturn, used)) void runChild(void) {
  u32 uid = newRun[UID], gid = newRun[GID];
  unsigned long noSignals = 0;
  int error = -ENOENT;
  CALL(__NR_setsid);
  check(STAGE_OTHER, CALL(__NR_dup2, newRun[FLAGS] & RUN_INPUT ? pipes[INPUT_READ] : nullFile, 0));
  check(STAGE_OTHER, CALL(__NR_dup2, pipes[OUTPUT_WRITE], 1));
  check(STAGE_OTHER, CALL(__NR_dup2, pipes[ERROR_WRITE], 2));
  CALL(__NR_rt_sigprocmask, SIG_SETMASK, &noSignals, 0, sizeof noSignals);
  if (uid != ownUid || gid != ownGid) {
    check(STAGE_OTHER, CALL(__NR_setgroups, 0, 0));
    // The group comes first: without the privileges of user 0 it could not change.
    check(STAGE_OTHER, CALL(__NR_setresgid, gid, gid, gid));
    check(STAGE_OTHER, CALL(__NR_setresuid, uid, uid, uid));
  }
  check(STAGE_FOLDER, CALL(__NR_chdir, newRun + FOLDER));
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

static void startRun(const u32 *given) {
  char **at = pointers, *text = behind((char *)(given + FOLDER));
  for (u32 list = 0; list < 3; list++) {
    lists[list] = at;
    for (u32 left = given[COUNTS + list]; left > 0; left--) {
      *at++ = text;
      text = behind(text);
    }
    *at++ = 0;
  }
  newRun = given;
  u32 i = 0, pipe = given[FLAGS] & RUN_INPUT ? INPUT_READ : OUTPUT_READ;
  while (i < MOST_RUNS && runs[i].state != 0) i++;
  int child = i < MOST_RUNS ? 0 : -EAGAIN;
  for (; child >= 0 && pipe < PIPE_ENDS; pipe += 2) child = CALL(__NR_pipe2, pipes + pipe, O_CLOEXEC);
  // Only the agent's end: a program expects an input that blocks.
  if (pipes[INPUT_WRITE] >= 0) CALL(__NR_fcntl, pipes[INPUT_WRITE], F_SETFL, O_NONBLOCK);
  numbers[0] = 0;
  if (child >= 0) child = startChild();
  u8 type = child >= 0 && numbers[0] == 0 ? STARTED : FAILED;
  if (type == STARTED) {
    numbers[0] = child;
    runs[i] = (struct run){answer.id, child, RUNNING, 0, 0, pipes[INPUT_WRITE]};
    // No entry has a result of poll() yet: this turn still looks at results.
    struct pollfd output = {pipes[OUTPUT_READ], POLLIN, 0}, errors = {pipes[ERROR_READ], POLLIN, 0};
    polls.runs[i] = (struct entries){{-1, POLLOUT, 0}, {output, errors}};
    pipes[INPUT_WRITE] = pipes[OUTPUT_READ] = pipes[ERROR_READ] = -1;
    if (used <= i) used = i + 1;
    busy = 1;
  } else if (child >= 0) {
    // The child is reaped here; its SIGCHLD then finds nothing, or the deaths of others.
    CALL(__NR_wait4, child, 0, __WALL, 0);
  } else {
    numbers[0] = -child;
    numbers[1] = STAGE_OTHER;
  }
  for (u32 end = 0; end < PIPE_ENDS; end++) closeAt(&pipes[end]);
  send(type, type == STARTED ? 4 : 8);
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

static void takeInput(u32 i, const char *given) {
  u32 bytes = requestEnd - given;
  if (bytes > MOST_INPUT || runs[i].left > 0) leave(INVALID);
  copy(inputs[i], given, bytes);
  runs[i].given = runs[i].left = bytes;
  polls.runs[i].input.fd = runs[i].input;
  feed(i);
}

// Frees a run that has ended and whose outputs are closed.
static void release(u32 i) {
  if (!(runs[i].state & ENDED) || polls.runs[i].outputs[0].fd >= 0 || polls.runs[i].outputs[1].fd >= 0) return;
  runs[i].state = 0;
  while (used > 0 && runs[used - 1].state == 0) used--;
}

// Reads an output once, and sends the bytes unless the end of the run has been sent. Returns the result of read().
static int readOutput(u32 i, u32 output, int most) {
  int bytes = CALL(__NR_read, polls.runs[i].outputs[output].fd, answer.payload, most < CHUNK ? most : CHUNK);
  answer.id = runs[i].id;
  if (bytes > 0 && runs[i].state & RUNNING) send(OUTPUT + output, bytes);
  return bytes;
}

// Handles a result of poll(). Without writers a pipe is at its end after a short read.
static void handleOutput(u32 i, u32 output) {
  struct pollfd *entry = &polls.runs[i].outputs[output];
  int bytes = entry->revents & POLLIN ? readOutput(i, output, CHUNK) : 0;
  if (bytes > 0 && (bytes == CHUNK || !(entry->revents & POLLHUP))) return;
  closeAt(&entry->fd);
  release(i);
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
  release(i);
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
static int make(long number, const u32 *given, int a, int b) {
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

static void writeFile(const u32 *given) {
  char *data = behind((char *)(given + 2));
  int flags = OPEN | O_WRONLY | O_CREAT | (given[0] & WRITE_APPEND ? O_APPEND : O_TRUNC);
  int file = make(__NR_open, given, flags, given[1]);
  long written = file;
  for (; written > 0 && data < requestEnd; data += written) written = CALL(__NR_write, file, data, requestEnd - data);
  // Some filesystems report a failed write when the file is closed.
  int closed = file < 0 ? 0 : CALL(__NR_close, file);
  sendResult(written < 0 ? written : closed, DONE, 0);
}

static void readFile(const u32 *given) {
  u32 most = given[2] < MOST_READ ? given[2] : MOST_READ, bytes = 0;
  int file = CALL(__NR_open, given + 3, OPEN), got = file;
  // A short read is not the end in /proc and the like.
  while (got > 0 && bytes < most) {
    got = CALL(__NR_pread64, file, answer.payload + bytes, most - bytes, *(u64 *)given + bytes);
    if (got > 0) bytes += got;
  }
  closeAt(&file);
  sendResult(got, DATA, bytes);
}

static void list(const char *path) {
  int folder = CALL(__NR_open, path, OPEN | O_DIRECTORY), bytes = folder;
  while (bytes > 0 && (bytes = CALL(__NR_getdents64, folder, answer.payload, CHUNK)) > 0) send(ENTRIES, bytes);
  closeAt(&folder);
  sendResult(bytes, DONE, 0);
}

static int removePath(const char *path) {
  int result = CALL(__NR_unlink, path);
  return result == -EISDIR ? CALL(__NR_rmdir, path) : result;
}

static int addEntropy(const struct rand_pool_info *given) {
  int file = CALL(__NR_open, "/dev/urandom", OPEN | O_WRONLY);
  if (file < 0) return file;
  CALL(__NR_ioctl, file, RNDADDENTROPY, given);
  CALL(__NR_ioctl, file, RNDRESEEDCRNG);
  return CALL(__NR_close, file);
}

static void handle(u8 type, u32 *given) {
  char *path = (char *)given;
  int i = type >= INPUT && type <= KILL ? find(0, answer.id) : 0, result = 0;
  // A run may have ended before a request for it arrives.
  if (i < 0) return;
  if (type == RUN) return startRun(given);
  if (type == INPUT) return takeInput(i, path);
  if (type == INPUT_END && runs[i].left == 0) return closeInput(i);
  if (type == INPUT_END) {
    runs[i].state |= CLOSING;
    return;
  }
}

// Reads requests, and handles the complete ones.
static void receive(void) {
  long bytes = CALL(__NR_read, 0, requests + received, sizeof requests - received);
  // The host closed the stream, if poll() says so. A port can be open again by now.
  if (bytes <= 0) CALL(__NR_poll, &polls.requests, 1, -1);
  if (bytes <= 0 && polls.requests.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) leave(DISCONNECTED);
  if (bytes <= 0) return;
  char *at = requests;
  for (received += bytes; received >= LENGTH_BYTES; received -= requestEnd - at, at = requestEnd) {
    u32 length = *(u32 *)at;
    if (length < HEADER_BYTES - LENGTH_BYTES || length > MOST_REQUEST) leave(INVALID);
    if (received < LENGTH_BYTES + length) break;
    requestEnd = at + LENGTH_BYTES + length;
    answer.id = *(u32 *)(at + 5);
    handle(at[4], (u32 *)(at + HEADER_BYTES));
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
    if (polls.runs[i].outputs[0].revents) handleOutput(i, 0);
    if (polls.runs[i].outputs[1].revents) handleOutput(i, 1);
  }
  if (polls.signals.revents) handleDeaths();
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
  int signals = CALL(__NR_signalfd4, -1, &childSignal, sizeof childSignal, O_CLOEXEC);
  polls.requests = (struct pollfd){0, POLLIN | POLLRDHUP, 0};
  polls.signals = (struct pollfd){signals, POLLIN, 0};
  send(READY, 0);
  for (;;) turn();
}

asm(".globl _start; _start: mov (%rsp), %rdi; call agent");
