import type { X86Domain } from '@retrap/hvm'

/** A state of a guest that it does not leave by itself. */
export interface GuestTrouble {
  /** `panic`: Linux has said so on its console. `halt`: no processor executes, and no interrupt can change that. */
  readonly kind: 'panic' | 'halt'
  /** What has happened, as a sentence. */
  readonly message: string
  /** The guest's time at which it began, in milliseconds since power-on. */
  readonly guestMs: number
}

/** Source: Linux, kernel/panic.c, `panic`: the text is printed again at the end, as `---[ end Kernel panic … ]---`. */
const PANIC = /(?<!end )Kernel panic - not syncing: (.*)/
/** Longest part of a line that is looked at. */
const LONGEST = 500
/** Looks that must find the processors halted: an event may be on its way at the first. */
const LOOKS = 2

/** Watches a guest from outside, by its console's output and its processors' states. */
export class GuestWatch {
  readonly #tell: (trouble: GuestTrouble) => void
  readonly #clock: { now(): number }
  #line = ''
  #lineMs = 0
  #halted = 0

  /** @param clock - the guest's, in nanoseconds */
  constructor(clock: { now(): number }, tell: (trouble: GuestTrouble) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  get #guestMs(): number {
    return this.#clock.now() / 1e6
  }

  /** Takes output of the console. */
  printed(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#line === '') this.#lineMs = this.#guestMs
      if (byte !== 0x0a && byte !== 0x0d) {
        if (this.#line.length < LONGEST) this.#line += String.fromCharCode(byte)
        continue
      }
      const reason = PANIC.exec(this.#line)?.[1]
      this.#line = ''
      if (reason !== undefined)
        this.#tell({ kind: 'panic', message: `The kernel has panicked: ${reason}`, guestMs: this.#lineMs })
    }
  }

  /** Takes a look at the processors, to be called from time to time. */
  look(isHalted: boolean): void {
    this.#halted = isHalted ? this.#halted + 1 : 0
    if (this.#halted !== LOOKS) return
    const message = 'The machine has halted for good: its processors wait in HLT, with interrupts off'
    this.#tell({ kind: 'halt', message, guestMs: this.#guestMs })
  }
}

/** Whether all processors have executed HLT with interrupts off, or were never started. An NMI, an SMI or a reset may still wake them. */
export const isHaltedForGood = ({ vcpus, architecture, asleep }: X86Domain): boolean =>
  !asleep &&
  architecture.threads?.areRunning !== true &&
  vcpus.some(({ cpu }) => cpu.halted) &&
  vcpus.every(({ cpu }) => cpu.waitsForStartup || (cpu.halted && !cpu.interruptsEnabled))
