import type { Timer } from '@retrap/device'
import type { FloppyDrive } from './floppy-drive.ts'
import type { FloppyRegisters } from './registers.ts'
import { ABNORMAL } from './sector-transfers.ts'

/** Number of drives that commands can address; a PC has two. */
export const DRIVES = 4
/** Real heads take 3 ms a step, for which firmware polls. */
const STEP_NS = 200_000

// Status register 0.
export const INVALID = 0x80
const SEEK_END = 0x20
const EQUIPMENT_CHECK = 0x10
const POLLED = 0xc0

/** The part of its controller that {@link Seeks} needs. */
export interface SeeksParts {
  readonly drives: readonly (FloppyDrive | null)[]
  /** Returns the registers, which a reset replaces. */
  readonly registers: () => FloppyRegisters
  /** Makes a timer of the machine. */
  readonly timer: (callback: () => void) => Timer
  /** Raises or lowers the interrupt. */
  readonly interrupt: (on: boolean) => void
}

/** The heads' seeks, and their results, which SENSE INTERRUPT reports one by one. */
export class Seeks {
  readonly #parts: SeeksParts
  /** Timers of drives, for the arrival of the head. */
  readonly timers: readonly Timer[]

  constructor(parts: SeeksParts) {
    this.#parts = parts
    this.timers = Array.from({ length: DRIVES }, (_, drive) => parts.timer(() => this.#arrived(drive)))
  }

  /** Sends a head to a cylinder. */
  begin(number: number, cylinder: number): void {
    const { drives, registers } = this.#parts
    const steps = drives[number]?.seek(cylinder) ?? 0
    registers().seeking |= 1 << number
    this.timers[number]!.armAfter(Math.max(steps, 1) * STEP_NS)
  }

  /** A head has arrived; without a drive nothing says that it is at cylinder 0. */
  #arrived(number: number): void {
    const { drives, interrupt } = this.#parts
    const registers = this.#parts.registers()
    registers.seeking &= ~(1 << number)
    const status = drives[number] === null ? ABNORMAL | EQUIPMENT_CHECK : 0
    // A drive has one end that waits: a guest that asks for none does not fill the host.
    const waits = registers.ends.findIndex(([, drive]) => drive === number)
    registers.ends.splice(waits < 0 ? registers.ends.length : waits, 1, [status | SEEK_END | number, number])
    interrupt(true)
  }

  /** The end of a reset: drives are polled, which is an interrupt and an end for each. */
  poll(): void {
    this.#parts.registers().ends = [0, 1, 2, 3].map((drive) => [POLLED | drive, drive] as const)
    this.#parts.interrupt(true)
  }

  /** SENSE INTERRUPT: takes an end. @returns the bytes of the result */
  sense(): number[] {
    const { drives, interrupt, registers } = this.#parts
    const { ends } = registers()
    const end = ends.shift()
    interrupt(ends.some(([status]) => (status & POLLED) !== POLLED))
    return end === undefined ? [INVALID] : [end[0], (drives[end[1]]?.cylinder ?? 0) & 0xff]
  }
}
