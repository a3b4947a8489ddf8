import type { X86Domain } from '@retrap/hvm'

/** A state of a guest that it does not leave by itself. */
export interface GuestTrouble {
  /** `panic`: Linux has said so on its console. `halt`: no processor executes, and no interrupt can change that. */
  readonly kind: 'panic' | 'halt'
  /** The event, as a sentence. */
  readonly message: string
  /** The line of the console that says so; absent: none does. */
  readonly line?: string
}

/** A line of the kernel's log, with its time and its thread where they are printed. Source: Linux, kernel/panic.c, `panic`. */
const PANIC = /^(?:\[ *[\d.]+\] ?(?:\[ *\w+\] )?)?Kernel panic - not syncing: (.*)/
/** Longest part of a line that is looked at. */
const LONGEST = 500
/** Looks that must find the processors halted: an event may be on its way at the first. */
const LOOKS = 2

/** Watches a guest from outside, by its console's output and its processors' states. */
export class GuestWatch {
  readonly #tell: (trouble: GuestTrouble) => void
  #line = ''
  #halted = 0

  constructor(tell: (trouble: GuestTrouble) => void) {
    this.#tell = tell
  }

  /** Takes output of the console. */
  printed(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte !== 0x0a && byte !== 0x0d) {
        if (this.#line.length < LONGEST) this.#line += String.fromCharCode(byte)
        continue
      }
      const line = this.#line
      this.#line = ''
      const reason = PANIC.exec(line)?.[1]
      if (reason !== undefined) this.#tell({ kind: 'panic', message: `The kernel has panicked: ${reason}`, line })
    }
  }

  /** Takes a look at the processors, to be called from time to time. */
  look(isHalted: boolean): void {
    this.#halted = isHalted ? this.#halted + 1 : 0
    if (this.#halted !== LOOKS) return
    const message = 'The machine has halted for good: its processors wait in HLT, with interrupts off'
    this.#tell({ kind: 'halt', message })
  }
}

/** Whether all processors have executed HLT with interrupts off, or were never started. An NMI, an SMI or a reset may still wake them. */
export const isHaltedForGood = ({ vcpus, architecture, asleep }: X86Domain): boolean =>
  !asleep &&
  architecture.threads?.areRunning !== true &&
  vcpus.some(({ cpu }) => cpu.halted) &&
  vcpus.every(({ cpu }) => cpu.waitsForStartup || (cpu.halted && !cpu.interruptsEnabled))
