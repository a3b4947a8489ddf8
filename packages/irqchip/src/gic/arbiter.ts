import type { InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'
import { CONTROL_CBPR, INTID_SPURIOUS } from './registers.ts'

/** The running priority while no interrupt is active. */
const IDLE_PRIORITY = 0xff
/** Groups are masked by a priority's upper bits; the lowest three are not implemented. */
const LEAST_BINARY_POINT_0 = 2
const LEAST_BINARY_POINT_1 = 3

/** The distributor's part of the choice. */
export interface Forwarding {
  /** The groups that are forwarded to a processor: bit 0, bit 1. */
  forwardedGroups(cpu: number): number
  /** Whether a shared interrupt goes to a processor. */
  isRoutedTo(intid: number, cpu: number): boolean
  /** Which signal an interrupt of a group is to a processor: `SIGNAL_IRQ` or `SIGNAL_FIQ`. */
  signalOf(cpu: number, group: number): number
  /** Offers a better interrupt than an INTID below 1024 of this priority: `offer` takes it. */
  offerOthers(cpu: number, arbiter: Arbiter): void
  /** An interrupt that has no active state, from 8192 on, was acknowledged. */
  acknowledged(cpu: number, intid: number): void
}

/**
 * Chooses each processor's highest priority pending interrupt, and has its interface's priorities: which interrupt
 * preempts which.
 *
 * Source: Arm IHI 0069, 4.8 "Interrupt prioritization": preemption, priority grouping, and the active priorities.
 */
export class Arbiter {
  readonly #table: InterruptTable
  readonly #words: Int32Array
  readonly #forwarding: Forwarding
  readonly #changed: (cpu: number) => void

  /** @param changed - called where the signals to a processor have changed */
  constructor(table: InterruptTable, forwarding: Forwarding, changed: (cpu: number) => void) {
    this.#table = table
    this.#words = table.words
    this.#forwarding = forwarding
    this.#changed = changed
  }

  /** Power-on state of the interfaces, after that of the table. */
  reset(): void {
    for (let cpu = 0; cpu < this.#table.cpus; cpu++) {
      const block = this.#table.block(cpu)
      this.#words[block + L.BINARY_POINT_0] = LEAST_BINARY_POINT_0
      this.#words[block + L.BINARY_POINT_1] = LEAST_BINARY_POINT_1
    }
  }

  /** Chooses again for all processors. */
  updateAll(): void {
    for (let cpu = 0; cpu < this.#table.cpus; cpu++) this.update(cpu)
  }

  /** Chooses a processor's highest priority pending interrupt again. Of equal ones that with the lowest INTID wins. */
  update(cpu: number): void {
    const table = this.#table
    const words = this.#words
    const block = table.block(cpu)
    words[block + L.BEST_PRIORITY] = L.NO_PRIORITY
    words[block + L.BEST_INTID] = INTID_SPURIOUS
    const groups = this.#forwarding.forwardedGroups(cpu)
    if (groups !== 0) {
      for (let n = 0; n < table.bankWords; n++) {
        let candidates = table.candidates(cpu, n)
        if (candidates === 0) continue
        const group = words[table.wordOf(L.GROUP, cpu, n)]!
        if ((groups & 1) === 0) candidates &= group
        if ((groups & 2) === 0) candidates &= ~group
        for (; candidates !== 0; candidates &= candidates - 1) {
          const intid = 32 * n + 31 - Math.clz32(candidates & -candidates)
          if (n === 0 || this.#forwarding.isRoutedTo(intid, cpu)) {
            this.offer(cpu, intid, table.priorityOf(cpu, intid), (group >>> (intid & 31)) & 1)
          }
        }
      }
      this.#forwarding.offerOthers(cpu, this)
    }
    this.signal(cpu)
  }

  /** Makes an interrupt a processor's best one, if its priority is higher. */
  offer(cpu: number, intid: number, priority: number, group: number): void {
    const block = this.#table.block(cpu)
    if (priority >= this.#words[block + L.BEST_PRIORITY]!) return
    this.#words[block + L.BEST_INTID] = intid
    this.#words[block + L.BEST_PRIORITY] = priority
    this.#words[block + L.BEST_GROUP] = group
  }

  /** Drives IRQ and FIQ: the interface's registers, or its best interrupt, have changed. */
  signal(cpu: number): void {
    const block = this.#table.block(cpu)
    const signal = this.#preempts(block) ? this.#forwarding.signalOf(cpu, this.#words[block + L.BEST_GROUP]!) : 0
    if (signal === this.#words[block + L.SIGNALS]) return
    this.#words[block + L.SIGNALS] = signal
    this.#changed(cpu)
  }

  /** Whether a processor's best interrupt may be taken now. */
  isSignalled(cpu: number): boolean {
    return this.#preempts(this.#table.block(cpu))
  }

  #preempts(block: number): boolean {
    const words = this.#words
    const priority = words[block + L.BEST_PRIORITY]!
    const group = words[block + L.BEST_GROUP]!
    if (priority >= words[block + L.PRIORITY_MASK]! || ((words[block + L.GROUP_ENABLES]! >>> group) & 1) === 0)
      return false
    const running = this.#running(block)
    if (running === IDLE_PRIORITY) return true
    const mask = this.#groupMask(block, group)
    return (priority & mask) < (running & mask)
  }

  /** The bits of a priority that decide about preemption. */
  #groupMask(block: number, group: number): number {
    const common = group === 0 || (this.#words[block + L.INTERFACE_CONTROL]! & CONTROL_CBPR) !== 0
    return -1 << (common ? this.#words[block + L.BINARY_POINT_0]! + 1 : this.#words[block + L.BINARY_POINT_1]!)
  }

  /** The highest active priority of a processor, 0xff if nothing is active. */
  runningPriority(cpu: number): number {
    return this.#running(this.#table.block(cpu))
  }

  #running(block: number): number {
    const active = this.#words[block + L.ACTIVE_PRIORITIES_0]! | this.#words[block + L.ACTIVE_PRIORITIES_1]!
    return active === 0 ? IDLE_PRIORITY : lowestBit(active) << 3
  }

  /** The best interrupt of a group, or the spurious INTID. Priority mask and running priority do not count. */
  highestPending(cpu: number, group: number): number {
    const words = this.#words
    const block = this.#table.block(cpu)
    const taken = words[block + L.BEST_GROUP] === group && ((words[block + L.GROUP_ENABLES]! >>> group) & 1) !== 0
    return taken && words[block + L.BEST_PRIORITY]! < L.NO_PRIORITY ? words[block + L.BEST_INTID]! : INTID_SPURIOUS
  }

  /** Acknowledges the signalled interrupt, if it is of this group. @returns its INTID, or the spurious INTID */
  acknowledge(cpu: number, group: number): number {
    const words = this.#words
    const block = this.#table.block(cpu)
    if (!this.#preempts(block) || words[block + L.BEST_GROUP] !== group) return INTID_SPURIOUS
    const intid = words[block + L.BEST_INTID]!
    const priority = words[block + L.BEST_PRIORITY]! & this.#groupMask(block, group)
    words[block + L.ACTIVE_PRIORITIES_0 + group]! |= 1 << (priority >> 3)
    if (intid < INTID_SPURIOUS) this.#table.activate(cpu, intid)
    else this.#forwarding.acknowledged(cpu, intid)
    this.update(cpu)
    return intid
  }

  /** The group whose active priority is the highest; −1 if nothing is active. */
  activeGroup(cpu: number): number {
    const block = this.#table.block(cpu)
    const zero = this.#words[block + L.ACTIVE_PRIORITIES_0]!
    const one = this.#words[block + L.ACTIVE_PRIORITIES_1]!
    if ((zero | one) === 0) return -1
    return one === 0 || (zero !== 0 && lowestBit(zero) <= lowestBit(one)) ? 0 : 1
  }

  /** Drops a processor's running priority: ends the highest active priority of a group. */
  drop(cpu: number, group: number): void {
    const index = this.#table.block(cpu) + L.ACTIVE_PRIORITIES_0 + group
    this.#words[index]! &= this.#words[index]! - 1
    this.signal(cpu)
  }

  /** Ends the active state of an interrupt; a shared one may then go to any processor. */
  deactivate(cpu: number, intid: number): void {
    const table = this.#table
    if (intid >= table.end) return
    table.setBit(L.ACTIVE, cpu, intid, false)
    // Nothing is chosen otherwise unless the interrupt is pending again.
    if (((table.candidates(cpu, intid >> 5) >>> (intid & 31)) & 1) === 0) return
    if (intid < 32) this.update(cpu)
    else this.updateAll()
  }

  /** Writes a binary point register; values are clamped to the minimum. */
  setBinaryPoint(cpu: number, group: number, value: number): void {
    const least = group === 0 ? LEAST_BINARY_POINT_0 : LEAST_BINARY_POINT_1
    this.#words[this.#table.block(cpu) + L.BINARY_POINT_0 + group] = Math.max(value & 7, least)
    this.signal(cpu)
  }
}

/** Index of the lowest bit of a number that is not 0. */
function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}
