import { CCS_SHIFT, CI, CMD, type PortRegisters, SACT } from './port-registers.ts'
import { Stateful } from '@retrap/device'

/** A command that the drive executes by itself. */
export interface Running {
  readonly slot: number
  /** Whether the command is queued: Set Device Bits reports its end. */
  readonly queued: boolean
  /** Guest-physical address of the command's header. */
  readonly header: number
  /** Guest-physical address of the command's table. */
  readonly table: number
  /** Whether the command's first transfer is its packet. */
  readonly packet: boolean
}

/** Queued commands that the medium has. */
interface Begun {
  readonly count: number
  has(slot: number): boolean
}

/**
 * Which of a port's commands comes next.
 *
 * Source: Serial ATA AHCI 1.3.1, §5.3, "HBA Port State Machine".
 */
export class CommandSlots extends Stateful {
  readonly #registers: PortRegisters
  readonly #begun: Begun | null
  readonly #r = this.keeps(
    {
      queue: [] as number[],
      /** Slot of a queued command that has to execute alone, before others begin; −1: none. */
      alone: -1,
      /**
       * The command `alone` has failed. Commands that were begun with it stay active until the reason is known, and are begun
       * again then.
       */
      failed: false,
    },
    { recent: ['alone', 'failed'] },
  )

  /** @param begun - the queued commands given to the medium; null: the drive has no queue */
  constructor(registers: PortRegisters, begun: Begun | null) {
    super()
    this.#registers = registers
    this.#begun = begun
  }

  get queue(): readonly number[] {
    return this.#r.queue
  }

  /** Whether a queued command has failed, and it is not known yet why. */
  get hasFailed(): boolean {
    return this.#r.failed
  }

  /** Returns the slot to execute after the present one, queued commands first; −1: none can begin now. */
  next(): number {
    this.#acceptQueued()
    const begun = this.#begun?.count ?? 0
    if (this.#r.alone >= 0) return begun === 0 ? this.#r.alone : -1
    for (const slot of this.#r.queue) if (begun === 0 || !this.#begun!.has(slot)) return slot
    if (begun > 0) return -1
    const issued = this.#registers.get(CI)
    const last = (this.#registers.get(CMD) >> CCS_SHIFT) & 0x1f
    for (let i = 1; i <= 32; i++) {
      const slot = (last + i) & 31
      if (((issued >>> slot) & 1) !== 0) return slot
    }
    return -1
  }

  /** A drive takes all queued commands at once, and clears their bits in CI. */
  #acceptQueued(): void {
    let waiting = this.#registers.get(CI) & this.#registers.get(SACT)
    while (waiting !== 0 && !this.#registers.halted) {
      const slot = 31 - Math.clz32(waiting & -waiting)
      waiting &= waiting - 1
      if (this.#r.queue.includes(slot)) continue
      this.#r.queue.push(slot)
      this.#registers.set(CI, this.#registers.get(CI) & ~(1 << slot))
    }
  }

  /** Whether a queued command is to be executed by itself. */
  isAlone(slot: number): boolean {
    return this.#r.alone === slot
  }

  /** Sets a queued command aside, to execute it alone after all earlier commands. */
  setAside(slot: number): void {
    this.#r.alone = slot
  }

  /** Handles the failure of a queued command: it is executed again alone, to find the reason. */
  fail(slot: number): void {
    this.#r.alone = slot
    this.#r.failed = true
  }

  /** No command is executed by itself any more. */
  beginTogether(): void {
    this.#r.alone = -1
    this.#r.failed = false
  }

  /** A command has ended: it is no longer of the queue. */
  leave(slot: number): void {
    this.#r.queue = this.#r.queue.filter((other) => other !== slot)
    if (this.#r.alone === slot) this.beginTogether()
  }

  /** A command has ended, and its slot is free. */
  done(slot: number): void {
    this.leave(slot)
    this.#registers.set(CI, this.#registers.get(CI) & ~(1 << slot))
  }

  /** The drive has given up its queue. */
  forgetQueued(): void {
    this.#r.queue = []
  }
}
