/*
 * The agent: a static program for Linux on x86-64, without a C library.
 *
 * It takes requests from descriptor 0 and answers on descriptor 1, as `protocol.ts` describes. Its working folder
 * becomes its root folder, unless it has an argument. It exits with 0 when the host closes the requests, with 1 if it
 * cannot change its root, and with 2 on an invalid request.
 *
 * `npx vitest run agent -u` in this package compiles it into `agent-program.ts`.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/signalfd.h>
#include <linux/stat.h>
#include <linux/time.h>
#include <linux/wait.h>

typedef __u8 u8;
typedef __u32 u32;
typedef __u64 u64;

/* Numbers of `protocol.ts`. */
enum { RUN = 1, INPUT, INPUT_END, KILL, WRITE, READ, LIST, STAT, TIME, REMOVE, RENAME, MAKE_FOLDER, PING, ENTROPY };
enum { STARTED = 65, FAILED, TAKEN, OUTPUT, ERROR_OUTPUT, EXIT, DONE, ERROR, DATA, ENTRIES, READY, IDLE };
enum { STAGE_FOLDER = 1, STAGE_EXECUTE, STAGE_OTHER };
enum { RUN_INPUT = 1, WRITE_APPEND = 1, MAKE_PARENTS = 2, STAT_LINK = 1 };
enum { MOST_REQUEST = 0x40000, MOST_INPUT = 0x8000, MOST_READ = 0x10000, MOST_RUNS = 32 };

/* Exit codes. */
enum { DISCONNECTED = 0, NO_ROOT = 1, INVALID = 2, CHILD_FAILED = 127 };
/* Flags of a run's state: its end has not been sent; its process is gone; its input closes after the pending bytes. */
enum { RUNNING = 1, ENDED = 2, CLOSING = 4 };
enum { INPUT_PIPE, OUTPUT_PIPE, ERROR_PIPE };
enum { READ_END, WRITE_END };
/* A FIFO or a terminal must not block the agent, and no terminal may become its own. */
enum { OPEN = O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
enum { CLOSED = POLLHUP | POLLRDHUP | POLLERR | POLLNVAL };

struct __attribute__((packed)) header {
  u32 length;
  u8 type;
  u32 id;
};
enum { COUNTED_BYTES = sizeof(struct header) - sizeof(u32) };
/*
 * Most bytes of an answer from one read. With its header it has 32 KiB, the most that a virtio console port takes in one
 * write (Linux drivers/char/virtio_console.c, port_fops_write()).
 */
enum { CHUNK = 0x8000 - sizeof(struct header) };

/* Payloads of requests. */
struct __attribute__((packed)) runRequest {
  u32 uid, gid, flags, candidates, argc, envc;
  char texts[];
};
struct __attribute__((packed)) fileRequest {
  u32 flags, mode;
  char path[];
};
struct __attribute__((packed)) readRequest {
  u64 offset;
  u32 most;
  char path[];
};
struct __attribute__((packed)) statRequest {
  u32 flags;
  char path[];
};

/* A run without a state is free. -1 stands for a descriptor that is closed. */
static struct run {
  u32 id, pid, state;
  int input;
  /* Input that is not in the pipe yet. */
  u8 *pending;
  u32 left;
} runs[MOST_RUNS];
static u8 inputs[MOST_RUNS][MOST_INPUT];
/* Entries for poll(). The entry of an output is the only place of its descriptor. */
static struct {
  struct pollfd requests, signals;
  struct {
    struct pollfd input, outputs[2];
  } runs[MOST_RUNS];
} polls;
/* Runs up to the last one that is not free. */
static u32 used;
/* 1 while there are descendants. */
static u8 busy;

/* The answer under construction. Its payload is aligned for getdents64. */
static struct __attribute__((packed, aligned(16))) {
  u8 unused[16 - sizeof(struct header)];
  struct header header;
  u8 payload[MOST_READ + 1];
} answer;

/* Requests that are not handled yet, and the end of the one that is being handled. */
static u8 requests[sizeof(u32) + MOST_REQUEST];
static u32 received;
static char *requestEnd;

/* The new run: its folder, candidates, argv and environment, and its pipes. The child reports its failure here. */
static const struct runRequest *newRun;
static char *pointers[MOST_REQUEST + 2], **argv, **environment;
static int pipes[3][2], childError, childStage;

static u32 ownUid, ownGid;
static int nullFile;
static unsigned long noSignals;
static struct sigaction defaultAction;

/* Calls Linux: a number and up to five arguments. The result is -errno on failure. */
#define CALL(...) CALL_WITH(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_WITH(number, a, b, c, d, e, ...) call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d, long e) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  asm volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return number;
}

static __attribute__((noreturn)) void leave(int code) {
  CALL(__NR_exit, code);
  __builtin_unreachable();
}

static void copy(u8 *to, const u8 *from, unsigned long bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

/* Returns the address behind a text of the request. */
static char *behind(char *text) {
  long left = requestEnd - text;
  int isEnded;
  if (left <= 0) leave(INVALID);
  asm volatile("repne scasb" : "+D"(text), "+c"(left), "=@ccz"(isEnded) : "a"(0) : "memory");
  if (!isEnded) leave(INVALID);
  return text;
}

static void send(u8 type, u32 bytes) {
  const u8 *at = (const u8 *)&answer.header;
  answer.header.type = type;
  answer.header.length = COUNTED_BYTES + bytes;
  for (long left = sizeof answer.header + bytes; left > 0;) {
    long sent = CALL(__NR_write, 1, at, left);
    if (sent <= 0) leave(DISCONNECTED);
    at += sent;
    left -= sent;
  }
}

static void sendBusy(u8 type, u32 bytes) {
  answer.payload[bytes] = busy;
  send(type, bytes + 1);
}

static void putNumber(u32 index, u32 value) {
  ((u32 *)answer.payload)[index] = value;
}

/* Answers with DONE, or with ERROR for a negative result. */
static void sendResult(int result) {
  if (result >= 0) return sendBusy(DONE, 0);
  putNumber(0, -result);
  sendBusy(ERROR, sizeof(u32));
}

static void sendFailed(int error, u32 stage) {
  putNumber(0, -error);
  putNumber(1, stage);
  sendBusy(FAILED, 2 * sizeof(u32));
}

/* Ends the child if a step of it failed. */
static void check(u32 stage, int result) {
  if (result >= 0) return;
  childError = result;
  childStage = stage;
  leave(CHILD_FAILED);
}

/* Runs in the child, which shares the agent's memory until it executes a program. */
static __attribute__((noreturn, used)) void runChild(void) {
  u32 uid = newRun->uid;
  u32 gid = newRun->gid;
  int error = -ENOENT;
  CALL(__NR_setsid);
  check(STAGE_OTHER, CALL(__NR_dup2, newRun->flags & RUN_INPUT ? pipes[INPUT_PIPE][READ_END] : nullFile, 0));
  check(STAGE_OTHER, CALL(__NR_dup2, pipes[OUTPUT_PIPE][WRITE_END], 1));
  check(STAGE_OTHER, CALL(__NR_dup2, pipes[ERROR_PIPE][WRITE_END], 2));
  CALL(__NR_rt_sigprocmask, SIG_SETMASK, &noSignals, 0, sizeof noSignals);
  if (uid != ownUid || gid != ownGid) {
    check(STAGE_OTHER, CALL(__NR_setgroups, 0, 0));
    /* The group comes first: without the privileges of user 0 it could not change. */
    check(STAGE_OTHER, CALL(__NR_setresgid, gid, gid, gid));
    check(STAGE_OTHER, CALL(__NR_setresuid, uid, uid, uid));
  }
  check(STAGE_FOLDER, CALL(__NR_chdir, pointers[0]));
  /*
   * A later candidate runs where an earlier one is missing or not executable. EACCES is the most useful of the errors.
   */
  for (char **candidate = pointers + 1; candidate < argv; candidate++) {
    int result = CALL(__NR_execve, *candidate, argv, environment);
    if (result != -ENOENT && result != -ENOTDIR && result != -EACCES) check(STAGE_EXECUTE, result);
    if (error != -EACCES) error = result;
  }
  check(STAGE_EXECUTE, error);
  __builtin_unreachable();
}

/* Starts the child on a stack of its own, and waits until it has executed a program or is gone. */
static int startChild(void) {
  static u8 stack[4096] __attribute__((aligned(16)));
  long child = __NR_clone;
  asm volatile("syscall; test %%eax, %%eax; jnz 1f; call runChild; 1:"
               : "+a"(child)
               : "D"(CLONE_VM | CLONE_VFORK | SIGCHLD), "S"(stack + sizeof stack)
               : "rcx", "r11", "memory");
  return child;
}

static void closeAt(int *descriptor) {
  if (*descriptor < 0) return;
  CALL(__NR_close, *descriptor);
  *descriptor = -1;
}

static void closePipes(void) {
  for (u32 i = 0; i < 3; i++) {
    closeAt(&pipes[i][READ_END]);
    closeAt(&pipes[i][WRITE_END]);
  }
}

static int openPipes(int hasInput) {
  int error;
  for (u32 i = hasInput ? INPUT_PIPE : OUTPUT_PIPE; i <= ERROR_PIPE; i++) {
    if ((error = CALL(__NR_pipe2, pipes[i], O_CLOEXEC)) < 0) return error;
  }
  /* Only the agent's end: a program expects an input that blocks. */
  if (hasInput) CALL(__NR_fcntl, pipes[INPUT_PIPE][WRITE_END], F_SETFL, O_NONBLOCK);
  return 0;
}

/* Takes an end of a pipe for the new run, so that it stays open. */
static int take(u32 pipe, u32 end) {
  int descriptor = pipes[pipe][end];
  pipes[pipe][end] = -1;
  return descriptor;
}

static void putPointers(char ***to, char **text, u32 count) {
  while (count-- > 0) {
    *(*to)++ = *text;
    *text = behind(*text);
  }
}

static void startRun(const struct runRequest *given) {
  u32 i = 0;
  while (i < MOST_RUNS && runs[i].state != 0) i++;
  if (i == MOST_RUNS) return sendFailed(-EAGAIN, STAGE_OTHER);

  char **to = pointers;
  char *text = (char *)given->texts;
  putPointers(&to, &text, 1);
  putPointers(&to, &text, given->candidates);
  argv = to;
  putPointers(&to, &text, given->argc);
  *to++ = 0;
  environment = to;
  putPointers(&to, &text, given->envc);
  *to = 0;

  newRun = given;
  childError = 0;
  int child = openPipes(given->flags & RUN_INPUT);
  if (child >= 0) child = startChild();
  if (child < 0) {
    closePipes();
    return sendFailed(child, STAGE_OTHER);
  }
  if (childError != 0) {
    /* The child is reaped here; its SIGCHLD then finds nothing, or the deaths of others. */
    CALL(__NR_wait4, child, 0, __WALL, 0);
    closePipes();
    return sendFailed(childError, childStage);
  }
  /* The entries have no result of poll() yet: this turn still looks at results. */
  runs[i] = (struct run){answer.header.id, child, RUNNING, take(INPUT_PIPE, WRITE_END), 0, 0};
  polls.runs[i].input = (struct pollfd){-1, POLLOUT, 0};
  polls.runs[i].outputs[0] = (struct pollfd){take(OUTPUT_PIPE, READ_END), POLLIN, 0};
  polls.runs[i].outputs[1] = (struct pollfd){take(ERROR_PIPE, READ_END), POLLIN, 0};
  if (used <= i) used = i + 1;
  busy = 1;
  closePipes();
  putNumber(0, child);
  send(STARTED, sizeof(u32));
}

/* Returns the index of the running run with an identifier, or with a process identifier; -1 if there is none. */
static int find(int isProcess, u32 value) {
  for (u32 i = 0; i < used; i++) {
    if ((isProcess ? runs[i].pid : runs[i].id) == value && runs[i].state & RUNNING) return i;
  }
  return -1;
}

static void closeInput(u32 i) {
  polls.runs[i].input.fd = -1;
  runs[i].left = 0;
  closeAt(&runs[i].input);
}

/* Writes pending input as far as the pipe has room, and answers when it is done or has no reader. */
static void feed(u32 i) {
  struct run *run = &runs[i];
  int written = CALL(__NR_write, run->input, run->pending, run->left);
  if (written == -EAGAIN) written = 0;
  if (written >= 0) {
    run->pending += written;
    run->left -= written;
    if (run->left > 0) return;
  }
  polls.runs[i].input.fd = -1;
  if (written < 0 || run->state & CLOSING) closeInput(i);
  answer.payload[0] = 1;
  answer.header.id = run->id;
  send(TAKEN, written < 0);
}

static void giveInput(u32 i, u8 *data, u32 bytes) {
  struct run *run = &runs[i];
  if (bytes > MOST_INPUT || run->left > 0) leave(INVALID);
  run->pending = data;
  run->left = bytes;
  feed(i);
  if (run->left == 0) return;
  copy(inputs[i], run->pending, run->left);
  run->pending = inputs[i];
  polls.runs[i].input.fd = run->input;
}

/* Frees a run that has ended and whose outputs are closed. The runs in use end before the last free ones. */
static void release(u32 i) {
  if (!(runs[i].state & ENDED) || polls.runs[i].outputs[0].fd >= 0 || polls.runs[i].outputs[1].fd >= 0) return;
  runs[i].state = 0;
  while (used > 0 && runs[used - 1].state == 0) used--;
}

/* Reads an output once, and sends the bytes unless the end of the run has been sent. Returns the result of read(). */
static int readOutput(u32 i, u32 output, u32 most) {
  int bytes = CALL(__NR_read, polls.runs[i].outputs[output].fd, answer.payload, most);
  if (bytes > 0 && runs[i].state & RUNNING) {
    answer.header.id = runs[i].id;
    send(OUTPUT + output, bytes);
  }
  return bytes;
}

/* Handles a result of poll(). Without writers a pipe is at its end after a short read. */
static void handleOutput(u32 i, u32 output) {
  struct pollfd *entry = &polls.runs[i].outputs[output];
  int bytes = entry->revents & POLLIN ? readOutput(i, output, CHUNK) : 0;
  if (bytes > 0 && (bytes == CHUNK || !(entry->revents & POLLHUP))) return;
  closeAt(&entry->fd);
  release(i);
}

/* Reads only the bytes that are there now: another process may write without end. */
static void drain(u32 i, u32 output) {
  int left = 0;
  int descriptor = polls.runs[i].outputs[output].fd;
  if (descriptor < 0 || CALL(__NR_ioctl, descriptor, FIONREAD, &left) < 0) return;
  while (left > 0) {
    int bytes = readOutput(i, output, left < CHUNK ? left : CHUNK);
    if (bytes <= 0) return;
    left -= bytes;
  }
}

static void endRun(u32 i, int status) {
  drain(i, 0);
  drain(i, 1);
  closeInput(i);
  runs[i].state = ENDED;
  answer.header.id = runs[i].id;
  putNumber(0, status);
  sendBusy(EXIT, sizeof(u32));
  release(i);
}

static int wait(int *status) {
  return CALL(__NR_wait4, -1, status, WNOHANG | __WALL, 0);
}

/* Reaps children, and descendants without a parent. */
static void handleDeaths(void) {
  struct signalfd_siginfo signal;
  int status;
  CALL(__NR_read, polls.signals.fd, &signal, sizeof signal);
  for (int next, dead = wait(&status); dead > 0; dead = next) {
    int deadStatus = status;
    /* An answer tells whether descendants are left, so that the next wait comes first. */
    next = wait(&status);
    busy = next != -ECHILD;
    int i = find(1, dead);
    if (i >= 0) {
      endRun(i, deadStatus);
    } else if (!busy) {
      answer.header.id = 0;
      send(IDLE, 0);
    }
  }
}

/* Makes missing folders of a path, if a call failed for them and the request allows it: the caller then tries again. */
static int makeParents(int result, u32 flags, char *path) {
  if (result != -ENOENT || !(flags & MAKE_PARENTS)) return 0;
  for (char *at = path; *at != 0; at++) {
    if (*at != '/' || at == path) continue;
    *at = 0;
    CALL(__NR_mkdir, path, 0777);
    *at = '/';
  }
  return 1;
}

static void writeFile(struct fileRequest *given) {
  char *data = behind(given->path);
  int flags = OPEN | O_WRONLY | O_CREAT | (given->flags & WRITE_APPEND ? O_APPEND : O_TRUNC);
  int file = CALL(__NR_open, given->path, flags, given->mode);
  if (makeParents(file, given->flags, given->path)) file = CALL(__NR_open, given->path, flags, given->mode);
  if (file < 0) return sendResult(file);
  long written = 0;
  while (data < requestEnd && (written = CALL(__NR_write, file, data, requestEnd - data)) > 0) data += written;
  /* Some filesystems report a failed write when the file is closed. */
  int closed = CALL(__NR_close, file);
  sendResult(written < 0 ? written : closed);
}

static void readFile(const struct readRequest *given) {
  u32 most = given->most < MOST_READ ? given->most : MOST_READ;
  u32 bytes = 0;
  long got = 0;
  int file = CALL(__NR_open, given->path, OPEN);
  if (file < 0) return sendResult(file);
  /* A short read is not the end in /proc and the like. */
  while (bytes < most) {
    got = CALL(__NR_pread64, file, answer.payload + bytes, most - bytes, given->offset + bytes);
    if (got <= 0) break;
    bytes += got;
  }
  CALL(__NR_close, file);
  if (got < 0) return sendResult(got);
  sendBusy(DATA, bytes);
}

static void list(const char *path) {
  int folder = CALL(__NR_open, path, OPEN | O_DIRECTORY);
  int bytes;
  if (folder < 0) return sendResult(folder);
  while ((bytes = CALL(__NR_getdents64, folder, answer.payload, CHUNK)) > 0) send(ENTRIES, bytes);
  CALL(__NR_close, folder);
  sendResult(bytes);
}

static void stat(const struct statRequest *given) {
  int flags = given->flags & STAT_LINK ? AT_SYMLINK_NOFOLLOW : 0;
  int result = CALL(__NR_statx, AT_FDCWD, given->path, flags, STATX_BASIC_STATS, answer.payload);
  if (result < 0) return sendResult(result);
  sendBusy(DATA, sizeof(struct statx));
}

static int removePath(const char *path) {
  int result = CALL(__NR_unlink, path);
  return result == -EISDIR ? CALL(__NR_rmdir, path) : result;
}

static int makeFolder(struct fileRequest *given) {
  int result = CALL(__NR_mkdir, given->path, given->mode);
  return makeParents(result, given->flags, given->path) ? CALL(__NR_mkdir, given->path, given->mode) : result;
}

static int addEntropy(const struct rand_pool_info *given) {
  int file = CALL(__NR_open, "/dev/urandom", OPEN | O_WRONLY);
  if (file < 0) return file;
  CALL(__NR_ioctl, file, RNDADDENTROPY, given);
  CALL(__NR_ioctl, file, RNDRESEEDCRNG);
  return CALL(__NR_close, file);
}

/* Handles requests for a run that may have ended. */
static void handleRun(u8 type, void *given) {
  int i = find(0, answer.header.id);
  if (i < 0) return;
  if (type == INPUT) return giveInput(i, given, requestEnd - (char *)given);
  if (type == KILL) CALL(__NR_kill, -runs[i].pid, *(u32 *)given);
  else if (runs[i].left > 0) runs[i].state |= CLOSING;
  else closeInput(i);
}

static void handle(u8 type, void *given) {
  switch (type) {
    case RUN: return startRun(given);
    case INPUT:
    case INPUT_END:
    case KILL: return handleRun(type, given);
    case WRITE: return writeFile(given);
    case READ: return readFile(given);
    case LIST: return list(given);
    case STAT: return stat(given);
    case TIME: return sendResult(CALL(__NR_clock_settime, CLOCK_REALTIME, given));
    case REMOVE: return sendResult(removePath(given));
    case RENAME: return sendResult(CALL(__NR_rename, given, behind(given)));
    case MAKE_FOLDER: return sendResult(makeFolder(given));
    case PING: return sendResult(0);
    case ENTROPY: return sendResult(addEntropy(given));
    default: leave(INVALID);
  }
}

/* Reads requests, and handles the complete ones. */
static void receive(void) {
  long bytes = CALL(__NR_read, 0, requests + received, sizeof requests - received);
  if (bytes <= 0) {
    /* The host closed the stream, if poll() says so. A port can be open again by now. */
    CALL(__NR_poll, &polls.requests, 1, -1);
    if (polls.requests.revents & CLOSED) leave(DISCONNECTED);
    return;
  }
  u8 *at = requests;
  for (received += bytes; received >= sizeof(u32);) {
    struct header *header = (struct header *)at;
    u32 all = header->length + sizeof(u32);
    if (header->length < COUNTED_BYTES || header->length > MOST_REQUEST) leave(INVALID);
    if (received < all) break;
    answer.header.id = header->id;
    requestEnd = (char *)at + all;
    handle(header->type, header + 1);
    at += all;
    received -= all;
  }
  /* The rest moves to the start of the buffer, which has room for one request. */
  if (at != requests) copy(requests, at, received);
}

/* A turn: one poll, then requests, one read of each ready output, and deaths. */
static void turn(void) {
  int ready = CALL(__NR_poll, &polls, 2 + 3 * used, -1);
  if (ready <= 0) return;
  if (polls.signals.revents) ready--;
  if (polls.requests.revents) {
    ready--;
    receive();
  }
  for (u32 i = 0; i < used && ready > 0; i++) {
    if (polls.runs[i].input.revents) {
      ready--;
      feed(i);
    }
    for (u32 output = 0; output < 2; output++) {
      if (!polls.runs[i].outputs[output].revents) continue;
      ready--;
      handleOutput(i, output);
    }
  }
  if (polls.signals.revents) handleDeaths();
}

static __attribute__((noreturn, used)) void agent(long argc) {
  unsigned long childSignal = 1 << (SIGCHLD - 1);
  unsigned long blocked = childSignal | 1 << (SIGPIPE - 1);
  if (argc <= 1 && (CALL(__NR_chroot, ".") < 0 || CALL(__NR_chdir, "/") < 0)) leave(NO_ROOT);
  CALL(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1);
  /* An ignored SIGCHLD hides deaths, and children inherit an ignored SIGPIPE. */
  CALL(__NR_rt_sigaction, SIGCHLD, &defaultAction, 0, sizeof noSignals);
  CALL(__NR_rt_sigaction, SIGPIPE, &defaultAction, 0, sizeof noSignals);
  /* With SIGPIPE blocked a write to a closed pipe fails; a child gets an empty mask back. */
  CALL(__NR_rt_sigprocmask, SIG_SETMASK, &blocked, 0, sizeof blocked);
  /* Runs with the agent's own identity then need no calls for theirs. Only a privileged agent can drop groups. */
  CALL(__NR_setgroups, 0, 0);
  ownUid = CALL(__NR_getuid);
  ownGid = CALL(__NR_getgid);
  /* Descriptors that the agent inherited would pass to children. */
  CALL(__NR_close_range, 3, ~0u, 0);
  CALL(__NR_fcntl, 0, F_SETFD, FD_CLOEXEC);
  CALL(__NR_fcntl, 1, F_SETFD, FD_CLOEXEC);
  nullFile = CALL(__NR_open, "/dev/null", O_RDWR | O_CLOEXEC);
  int signals = CALL(__NR_signalfd4, -1, &childSignal, sizeof childSignal, O_CLOEXEC);
  polls.requests = (struct pollfd){0, POLLIN | POLLRDHUP, 0};
  polls.signals = (struct pollfd){signals, POLLIN, 0};
  for (u32 i = 0; i < 3; i++) {
    pipes[i][READ_END] = -1;
    pipes[i][WRITE_END] = -1;
  }
  send(READY, 0);
  for (;;) {
    /* Without descendants and outputs only a request can arrive, so that the read may block. */
    if (busy || used > 0) turn();
    else receive();
  }
}

asm(".globl _start; _start: mov (%rsp), %rdi; call agent");
