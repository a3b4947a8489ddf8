/** Numbers of Linux on x86-64 that the agent uses. Each group names the header that defines it. */

/** Linux arch/x86/entry/syscalls/syscall_64.tbl */
export const SYS = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  poll: 7,
  rt_sigaction: 13,
  rt_sigprocmask: 14,
  ioctl: 16,
  pread64: 17,
  dup2: 33,
  clone: 56,
  execve: 59,
  exit: 60,
  wait4: 61,
  kill: 62,
  fcntl: 72,
  chdir: 80,
  rename: 82,
  mkdir: 83,
  rmdir: 84,
  unlink: 87,
  getuid: 102,
  getgid: 104,
  setsid: 112,
  setgroups: 116,
  setresuid: 117,
  setresgid: 119,
  prctl: 157,
  chroot: 161,
  getdents64: 217,
  clock_settime: 227,
  signalfd4: 289,
  pipe2: 293,
  statx: 332,
  close_range: 436,
} as const

/** Linux include/uapi/asm-generic/errno-base.h, errno.h */
export const ENOENT = 2
export const ECHILD = 10
export const EAGAIN = 11
export const EACCES = 13
export const ENOTDIR = 20
export const EISDIR = 21

/** Linux include/uapi/asm-generic/fcntl.h */
export const O_WRONLY = 0o1
export const O_RDWR = 0o2
export const O_CREAT = 0o100
export const O_NOCTTY = 0o400
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_NONBLOCK = 0o4000
export const O_DIRECTORY = 0o200000
export const O_CLOEXEC = 0o2000000
export const F_SETFD = 2
export const F_SETFL = 4
export const FD_CLOEXEC = 1

/** Linux include/uapi/linux/fcntl.h */
export const AT_FDCWD = -100
export const AT_SYMLINK_NOFOLLOW = 0x100

/** Linux include/uapi/linux/stat.h: mask and size of struct statx */
export const STATX_BASIC_STATS = 0x7ff
export const STATX_BYTES = 256

/** Linux include/uapi/asm-generic/poll.h; offsets in struct pollfd */
export const POLLIN = 0x1
export const POLLOUT = 0x4
export const POLLERR = 0x8
export const POLLHUP = 0x10
export const POLLNVAL = 0x20
export const POLLRDHUP = 0x2000
export const POLLFD_REVENTS = 6

/** Linux include/uapi/asm-generic/ioctls.h */
export const FIONREAD = 0x541b

/** Linux include/uapi/linux/random.h */
export const RNDADDENTROPY = 0x40085203
export const RNDRESEEDCRNG = 0x5207

/** Linux arch/x86/include/uapi/asm/signal.h, include/uapi/asm-generic/signal-defs.h */
export const SIGPIPE = 13
export const SIGCHLD = 17
export const SIG_SETMASK = 2
/** Bytes of a signal set, which the signal calls ask for. */
export const SIGNAL_SET_BYTES = 8

/** Linux include/uapi/linux/signalfd.h: bytes of struct signalfd_siginfo */
export const SIGNALFD_SIGINFO_BYTES = 128

/** Linux include/uapi/linux/sched.h */
export const CLONE_VM = 0x100
export const CLONE_VFORK = 0x4000

/** Linux include/uapi/linux/wait.h */
export const WNOHANG = 1
export const WALL = 0x40000000

/** Linux include/uapi/linux/prctl.h */
export const PR_SET_CHILD_SUBREAPER = 36

/** Linux include/uapi/linux/time.h */
export const CLOCK_REALTIME = 0
