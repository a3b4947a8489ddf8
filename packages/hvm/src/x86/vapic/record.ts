import type { TaskPriorityRecord } from '@retrap/irqchip'
import { type MachineMemory, PAGE_BYTES, PAGE_SHIFT } from '@retrap/memory'
import type { DirtyLogs } from '../../memory/dirty-logs.ts'

const IN_SERVICE = 1
const PENDING = 3

/** A vCPU's record in the option ROM's area, where the helpers keep the task priority. */
export class GuestRecord implements TaskPriorityRecord {
  readonly #memory: MachineMemory
  readonly #logs: DirtyLogs
  readonly #gpa: number
  /** Machine address; −1: to be looked up. */
  #ma = -1
  /** The priority that is read while there is no memory. */
  #last = 0

  constructor(memory: MachineMemory, logs: DirtyLogs, gpa: number) {
    this.#memory = memory
    this.#logs = logs
    this.#gpa = gpa
  }

  /** The p2m has changed. */
  moved(): void {
    this.#ma = -1
  }

  /** A record lies in one frame: it is aligned to its size. */
  #address(): number {
    return this.#ma < 0 ? (this.#ma = this.#logs.writable(this.#gpa)) : this.#ma
  }

  read(): number {
    const ma = this.#address()
    return ma < 0 ? this.#last : (this.#last = this.#memory.u8[ma]!)
  }

  write(taskPriority: number): void {
    this.#last = taskPriority
    this.#store(0, taskPriority)
  }

  publish(inService: number, pending: number): void {
    this.#store(IN_SERVICE, inService)
    this.#store(PENDING, pending)
  }

  #store(offset: number, value: number): void {
    const ma = this.#address()
    const { u8, codeBits } = this.#memory
    if (ma < 0 || u8[ma + offset] === value) return
    // First, so that whoever keeps the frame as it is can copy it.
    this.#logs.mark(Math.floor(this.#gpa / PAGE_BYTES), 1)
    u8[ma + offset] = value
    if (codeBits[ma >>> PAGE_SHIFT] !== 0) this.#memory.noteWrite(ma + offset, 1)
  }
}
