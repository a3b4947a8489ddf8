/**
 * What the process's exit code says of the machine.
 *
 * Codes of ours are even: `isa-debug-exit` produces the odd ones, `(value << 1) | 1`.
 */
export const ExitCode = {
  /** The guest powered itself off, or the user left with Ctrl-A x. */
  PowerOff: 0,
  /** An option or its value makes no sense. */
  Usage: 2,
  /** Something broke inside retrap. */
  InternalError: 70,
  /** A file or a download could not be used. */
  Input: 74,
  /** A vCPU shut down: a fault arose while it delivered a double fault. */
  TripleFault: 86,
  /** The guest told Xen that it has crashed, or one of its watchdogs has bitten. */
  GuestCrash: 88,
  /** With `--command`: the guest's kernel has panicked. */
  GuestPanic: 90,
  /** The time that `--timeout` allows has passed (as timeout(1) says it). */
  Timeout: 124,
  /** Ended by SIGINT, SIGTERM or SIGHUP: 128 and the signal's number (as shells say it). */
  signal: (number: number): number => 128 + number,
  /** The guest wrote `value` to isa-debug-exit. */
  debugExit: (value: number): number => ((value << 1) | 1) & 0xff,
} as const
