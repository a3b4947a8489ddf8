import {
  Assembler,
  dword,
  eax,
  type Gp32,
  type Gp64,
  type Label,
  type Memory,
  ptr,
  rbp,
  rbx,
} from '@retrap/x86-assembler'
import { elfExecutable, ELF_HEADERS_BYTES } from './elf.ts'
import { LENGTH_BYTES, MOST_INPUT, MOST_READ, MOST_REQUEST, MOST_RUNS } from './protocol.ts'

/** Address of the executable's segment: headers and code. Data has pages of its own, as an emulator watches code's. */
const BASE = 0x400000
/**
 * Addresses of variables. Linux clears all memory of the agent at its start.
 *
 * PIPES has both ends of the pipes for a new run's input, output and error output. A child that shares the agent's
 * memory reports a failure in CHILD_ERRNO (-errno) and CHILD_STAGE.
 */
export const VAR = {
  /** 1 while there are descendants. */
  BUSY: 0x402000,
  NULL_FD: 0x402004,
  PIPES: 0x402008,
  PIPES_END: 0x402020,
  CHILD_ERRNO: 0x402020,
  CHILD_STAGE: 0x402024,
  /** The agent's own uid and gid, in the order of a Run. */
  OWN_IDS: 0x402028,
  /** Addresses in POINTERS of a new run's argv and environment. */
  ARGV: 0x402030,
  ENVIRONMENT: 0x402034,
  STATUS: 0x402038,
  /** Bytes in a pipe at a run's end. */
  AVAILABLE: 0x40203c,
  /** Signal sets: SIGCHLD, and all signals that the agent blocks. */
  CHILD_SIGNAL: 0x402040,
  BLOCKED: 0x402048,
  /** 32 bytes that stay zero: an empty signal set, and a struct sigaction of the default action. */
  ZEROS: 0x402050,
  /** A struct signalfd_siginfo. */
  SIGNAL: 0x402080,
} as const

/** Entries for poll(), struct pollfd: requests, {@link POLL_SIGNALS}, then three for each run. -1 is not polled. */
export const POLL = 0x402100
export const POLL_SIGNALS = 0x402108
/** Results of poll() for these two. */
export const REQUESTS_READY = 0x402106
export const SIGNALS_READY = 0x40210e

/** Bytes of a run in each of two tables: its entries for poll(), and its other fields. */
export const RUN_BYTES = 24
/** Bytes of each table. */
export const RUNS_BYTES = 768

/** Fields of the run at offset RBX in both tables. An entry of an output is the only place of its descriptor. */
export const RUN = {
  POLL_INPUT: 0x402110,
  POLL_OUTPUT: 0x402118,
  POLL_ERRORS: 0x402120,
  ID: 0x402800,
  PID: 0x402804,
  /** Writing end of the input; -1 without. */
  INPUT: 0x402808,
  /** RUNNING and other flags; 0: the run is free. */
  STATE: 0x40280c,
  /** Address and length of input that is not in the pipe yet. */
  PENDING: 0x402810,
  LEFT: 0x402814,
} as const

/** The host has not been told of an end. */
export const RUNNING = 1
/** The process is gone, and another one may hold an output. */
export const ENDED = 2
/** The input closes after its pending bytes. */
export const CLOSING = 4

/** The answer under construction: a header, then the payload, which is aligned for getdents64. */
export const ANSWER = 0x404ff7
export const ANSWER_ID = 0x404ffc
export const PAYLOAD = 0x405000
/**
 * Most bytes of an answer from one read.
 *
 * With its header it has 32 KiB, the most that a virtio console port takes in one write (Linux
 * drivers/char/virtio_console.c, port_fops_write()).
 */
export const CHUNK = 0x7ff7

/** Requests that are not handled yet, and the end of their room, which is enough for one of {@link MOST_REQUEST}. */
export const REQUESTS = 0x41fff7
export const REQUESTS_END = 0x45fffb

/** Pending input of the run at RBX: here and `RBX << INPUT_SHIFT` further. */
export const INPUTS = 0x480000
export const INPUT_SHIFT = 11

/** Pointers to the texts of a Run, each of which takes a byte of the request at least; two lists end in a zero. */
export const POINTERS = 0x600000
/** End of the segment. */
export const END = 0x801000

/** Conditions on the addresses and limits. */
const LAYOUT: readonly (readonly [end: number, limit: number])[] = [
  [MOST_RUNS * RUN_BYTES, RUNS_BYTES],
  [RUN.POLL_INPUT + RUNS_BYTES, RUN.ID],
  [RUN.ID + RUNS_BYTES, ANSWER],
  [PAYLOAD + Math.max(MOST_READ, CHUNK) + 1, REQUESTS],
  [LENGTH_BYTES + MOST_REQUEST, REQUESTS_END - REQUESTS],
  [MOST_INPUT, RUN_BYTES << INPUT_SHIFT],
  [INPUTS + (RUNS_BYTES << INPUT_SHIFT), POINTERS],
  [POINTERS + 8 * (MOST_REQUEST + 2), END],
]

/** Memory at an offset from a register. */
export const at = (register: Gp64, offset: number): Memory<0> => ptr(register, { disp: offset })
/** A field of the run at RBX. */
export const run = (field: number): Memory<4> => dword(rbx, { disp: field })
/** A number at an offset in the payload of the request at RBP. */
export const given = (offset: number): Memory<4> => dword(rbp, { disp: offset })

/**
 * The program under construction.
 *
 * System calls change RAX, RCX and R11 only. The loop keeps the next request in R12, the end of the requests' bytes in
 * R13, the number of ready descriptors in R14, and the bytes in use of each table of runs in R15. Routines leave them
 * as they are, and may change the others.
 */
export class Code {
  readonly asm: Assembler = new Assembler({ address: BASE + ELF_HEADERS_BYTES })
  readonly #labels = new Map<string, Label>()

  /** Returns the label of a name, which may be bound later. */
  to(name: string): Label {
    const label = this.#labels.get(name) ?? this.asm.label(name)
    this.#labels.set(name, label)
    return label
  }

  /** Begins a routine, or a place that other routines jump to. */
  at(name: string): Assembler {
    return this.asm.bind(this.to(name))
  }

  /** Emits a system call. Its result is in RAX: -errno on failure. */
  system(number: number): Assembler {
    return this.set(eax, number).syscall()
  }

  /** Sets a register in the shortest way. Flags may change. */
  set(register: Gp32, value: number): Assembler {
    return value === 0 ? this.asm.xor(register, register) : this.asm.mov(register, value)
  }

  /** Returns the executable. @throws Error if a limit in `protocol.ts` does not fit the addresses here */
  executable(): Uint8Array {
    const file = elfExecutable(this.asm.assemble().bytes, BASE, END - BASE)
    for (const [end, limit] of [...LAYOUT, [BASE + file.length, VAR.BUSY] as const]) {
      if (end > limit) throw new Error(`The agent's memory is laid out to 0x${limit.toString(16)}; it needs ${end}.`)
    }
    return file
  }
}
