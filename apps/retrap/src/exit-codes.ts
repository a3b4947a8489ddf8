/**
 * The meaning of the process's exit code for the machine.
 *
 * Codes of ours are even: `isa-debug-exit` produces the odd ones, `(value << 1) | 1`.
 */
export const ExitCode = {
  /** The guest powered itself off, or the user left with Ctrl-A x. */
  PowerOff: 0,
  /** With `retrap test`: a test has failed. */
  TestFailed: 1,
  /** An option or its value is invalid, or a device module cannot be started. */
  Usage: 2,
  /** An internal error of retrap. */
  InternalError: 70,
  /** A file or a download could not be used. */
  Input: 74,
  /** A vCPU shut down after a fault during the delivery of a double fault. */
  TripleFault: 86,
  /** The guest reported a crash to Xen, or one of its watchdogs expired. */
  GuestCrash: 88,
  /** With `--command`: the guest's kernel has panicked. */
  GuestPanic: 90,
  /** The time limit of `--timeout` has passed (like timeout(1)). */
  Timeout: 124,
  /** Ended by SIGINT, SIGTERM or SIGHUP: 128 and the signal's number (as shells say it). */
  signal: (number: number): number => 128 + number,
  /** The guest wrote `value` to isa-debug-exit. */
  debugExit: (value: number): number => ((value << 1) | 1) & 0xff,
} as const

/** The text about exit codes in `--help`. */
export const EXIT_CODES_HELP = `
Exit codes:
  0     the guest powered off, or you left with Ctrl-A x
  1     a test failed (retrap test)
  2     an option makes no sense, or a device module cannot be started
  70    internal error, or a device that failed (registers and instruction on stderr)
  74    a file or a download could not be used, or the output or an image not be written
  86    triple fault (registers and instruction on stderr)
  88    the guest told Xen that it has crashed, or one of its watchdogs has bitten
  90    the guest's kernel panicked (linux --command)
  124   --timeout passed
  odd   the guest wrote v to isa-debug-exit: (v << 1) | 1
  128+n ended by signal n: 129 SIGHUP, 130 SIGINT, 141 the reader of the output went away, 143 SIGTERM
  any   a device model requested it (its low 8 bits); stderr says so, unless it is 0 or odd

The terminal is the guest's serial console, or with --console xen the one that Xen gives it. Ctrl-A x leaves, Ctrl-A p presses the power button, Ctrl-A s saves the machine, Ctrl-A c changes discs and plugs devices in, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-C goes to the guest.`
