import { type Dma, shapeFault, type StatePart } from '@retrap/device'
import { checkMethod, checkObject, type StateRegion } from '../arguments.ts'
import type { Arbiter } from './arbiter.ts'
import { PRIORITY_BITS, type InterruptTable } from './interrupt-table.ts'
import * as L from './layout.ts'
import { FIRST_LPI } from './registers.ts'

/** Guest memory that the tables lie in. */
export type GicMemory = Pick<Dma, 'read' | 'write'>

/** @throws IrqchipError `ERR_INVALID` unless `memory` can be read and written */
export function checkMemory(memory: GicMemory): void {
  checkObject('memory', memory)
  checkMethod(memory, 'read')
  checkMethod(memory, 'write')
}

/** INTIDs have 16 bits: see GICD_TYPER.IDbits. */
const END_OF_LPIS = 0x1_0000
const LPIS = END_OF_LPIS - FIRST_LPI
/** Words of a processor's pending bits. */
const PENDING_WORDS = LPIS / 32

/** GICR_CTLR.EnableLPIs. */
export const ENABLE_LPIS = 1
/** A configuration byte: enabled; the others are the priority. */
const CONFIG_ENABLED = 1
/** Bits of a physical address's high word: addresses have 52 bits. */
const ADDRESS_HI = 0xf_ffff
/** GICR_PENDBASER.PTZ, in the high word: the table holds nothing. */
const PENDING_TABLE_ZERO = 1 << 30

/** A pending LPI in a saved state: its INTID, and the byte of the configuration table as it was read last. */
const PENDING_LPI = { intid: 0, configuration: 0 }

/** LPIs as an ITS changes them. INTIDs that a vCPU does not have change nothing. */
export interface LpiControl {
  /** Makes an LPI pending at a vCPU, or takes that back. */
  set(cpu: number, intid: number, pending: boolean): void
  /** Moves a pending LPI to another vCPU, unless that vCPU cannot take LPIs. */
  move(from: number, to: number, intid: number): void
  /** Moves all pending LPIs to another vCPU. */
  moveAll(from: number, to: number): void
  /** Reads the configuration of a vCPU's LPI again. */
  invalidate(cpu: number, intid: number): void
  /** Reads the configuration of all LPIs of a vCPU again. */
  invalidateAll(cpu: number): void
}

/** Counts the bytes that the state of the LPIs takes: a byte of configuration each, and a bit for each processor. */
export const lpiStateBytes = (cpus: number): number => LPIS + (cpus * LPIS) / 8

/**
 * Locality-specific peripheral interrupts: which are pending at which redistributor.
 *
 * The pending bits are here; the guest's pending table is read when LPIs are enabled, and written when they are disabled.
 * The configuration of an LPI is read from the guest's table when it becomes pending, and when it is invalidated.
 * Tables that are in no memory read as 0.
 *
 * Source: Arm IHI 0069, chapter 5 "Locality-specific Peripheral Interrupts and the ITS".
 */
export class Lpis implements LpiControl, StatePart {
  readonly #table: InterruptTable
  readonly #memory: GicMemory
  readonly #arbiter: Arbiter
  readonly #configuration: Uint8Array
  readonly #pending: Int32Array
  /** A piece of a guest's table. */
  readonly #bytes = new Uint8Array(LPIS)
  readonly #byte = new Uint8Array(1)

  /** @param state - `lpiStateBytes(cpus)` of machine memory */
  constructor(table: InterruptTable, memory: GicMemory, arbiter: Arbiter, state: StateRegion) {
    this.#table = table
    this.#memory = memory
    this.#arbiter = arbiter
    this.#configuration = new Uint8Array(state.buffer, state.byteOffset, LPIS)
    this.#pending = new Int32Array(state.buffer, state.byteOffset + LPIS, table.cpus * PENDING_WORDS)
  }

  /** Power-on state, after that of the table. */
  reset(): void {
    this.#pending.fill(0)
    this.#configuration.fill(0)
    for (let cpu = 0; cpu < this.#table.cpus; cpu++) this.#choose(cpu)
  }

  /** The first INTID that a processor's tables do not have; 0 while its LPIs are off. */
  #end(cpu: number): number {
    const block = this.#table.block(cpu)
    if ((this.#table.words[block + L.REDISTRIBUTOR_CONTROL]! & ENABLE_LPIS) === 0) return 0
    const bits = (this.#table.words[block + L.LPI_PROPERTIES_LO]! & 31) + 1
    return bits >= 16 ? END_OF_LPIS : 1 << bits
  }

  /** Makes an LPI pending, or takes that back. */
  set(cpu: number, intid: number, pending: boolean): void {
    if (!isLpi(intid) || intid >= this.#end(cpu)) return
    const index = cpu * PENDING_WORDS + ((intid - FIRST_LPI) >> 5)
    const bit = 1 << (intid & 31)
    if (((this.#pending[index]! & bit) !== 0) === pending) return
    this.#pending[index]! ^= bit
    const block = this.#table.block(cpu)
    if (pending) {
      this.#readConfiguration(cpu, intid)
      this.#offer(block, intid)
    } else if (this.#table.words[block + L.BEST_LPI] === intid) this.#choose(cpu)
    this.#arbiter.update(cpu)
  }

  /** Moves a pending LPI to another processor, unless that processor cannot take LPIs. */
  move(from: number, to: number, intid: number): void {
    if (from === to || intid >= this.#end(to) || !this.#isPending(from, intid)) return
    this.set(from, intid, false)
    this.set(to, intid, true)
  }

  /** Moves all pending LPIs to another processor. */
  moveAll(from: number, to: number): void {
    const end = this.#end(to)
    if (from === to || end === 0 || this.#end(from) === 0) return
    const [first, other] = [from * PENDING_WORDS, to * PENDING_WORDS]
    for (let i = 0; i < PENDING_WORDS; i++) {
      if (FIRST_LPI + 32 * i < end) this.#pending[other + i]! |= this.#pending[first + i]!
      this.#pending[first + i] = 0
    }
    this.#choose(from)
    this.#choose(to)
    this.#arbiter.update(from)
    this.#arbiter.update(to)
  }

  /** Reads the configuration of an LPI again. */
  invalidate(cpu: number, intid: number): void {
    if (!this.#isPending(cpu, intid)) return
    const block = this.#table.block(cpu)
    this.#readConfiguration(cpu, intid)
    // The best LPI may have become worse: choose again. Any other can only become the best.
    if (this.#table.words[block + L.BEST_LPI] === intid) this.#choose(cpu)
    else this.#offer(block, intid)
    this.#arbiter.update(cpu)
  }

  /** Reads the configuration of all LPIs again. */
  invalidateAll(cpu: number): void {
    const end = this.#end(cpu)
    if (end <= FIRST_LPI) return
    const bytes = this.#bytes.subarray(0, end - FIRST_LPI)
    if (!this.#memory.read(this.#properties(cpu), bytes)) bytes.fill(0)
    this.#configuration.set(bytes)
    this.#choose(cpu)
    this.#arbiter.update(cpu)
  }

  /** A processor has acknowledged an LPI, which has no active state. */
  acknowledged(cpu: number, intid: number): void {
    this.#pending[cpu * PENDING_WORDS + ((intid - FIRST_LPI) >> 5)]! &= ~(1 << (intid & 31))
    this.#choose(cpu)
  }

  /** Offers the best LPI of a processor. */
  offerTo(arbiter: Arbiter, cpu: number): void {
    const block = this.#table.block(cpu)
    const priority = this.#table.words[block + L.BEST_LPI_PRIORITY]!
    if (priority < L.NO_PRIORITY) arbiter.offer(cpu, this.#table.words[block + L.BEST_LPI]!, priority, 1)
  }

  /** GICR_CTLR.EnableLPIs has been written. */
  enable(cpu: number, enabled: boolean): void {
    const block = this.#table.block(cpu)
    const { words } = this.#table
    if (((words[block + L.REDISTRIBUTOR_CONTROL]! & ENABLE_LPIS) !== 0) === enabled) return
    if (!enabled) this.#transfer(cpu, false)
    words[block + L.REDISTRIBUTOR_CONTROL] = enabled ? ENABLE_LPIS : 0
    if (enabled && (words[block + L.LPI_PENDING_HI]! & PENDING_TABLE_ZERO) === 0) this.#transfer(cpu, true)
    if (!enabled) this.#pending.fill(0, cpu * PENDING_WORDS, (cpu + 1) * PENDING_WORDS)
    this.#choose(cpu)
    this.invalidateAll(cpu)
    this.#arbiter.update(cpu)
  }

  /** Reads the guest's pending table, or writes it. Its first KiB, of INTIDs that are no LPIs, is let alone. */
  #transfer(cpu: number, read: boolean): void {
    const length = (this.#end(cpu) - FIRST_LPI) / 8
    if (length <= 0) return
    const block = this.#table.block(cpu)
    const lo = (this.#table.words[block + L.LPI_PENDING_LO]! & 0xffff_0000) >>> 0
    const hi = this.#table.words[block + L.LPI_PENDING_HI]! & ADDRESS_HI
    const address = hi * 2 ** 32 + lo + FIRST_LPI / 8
    const pending = this.#pending
    const bytes = new Uint8Array(pending.buffer, pending.byteOffset + 4 * cpu * PENDING_WORDS, length)
    const copy = this.#bytes.subarray(0, length)
    if (read) {
      if (this.#memory.read(address, copy)) bytes.set(copy)
    } else {
      copy.set(bytes)
      this.#memory.write(address, copy)
    }
  }

  #isPending(cpu: number, intid: number): boolean {
    if (!isLpi(intid)) return false
    return ((this.#pending[cpu * PENDING_WORDS + ((intid - FIRST_LPI) >> 5)]! >>> (intid & 31)) & 1) !== 0
  }

  /** Address of a processor's configuration table. */
  #properties(cpu: number): number {
    const block = this.#table.block(cpu)
    const lo = (this.#table.words[block + L.LPI_PROPERTIES_LO]! & 0xffff_f000) >>> 0
    return (this.#table.words[block + L.LPI_PROPERTIES_HI]! & ADDRESS_HI) * 2 ** 32 + lo
  }

  #readConfiguration(cpu: number, intid: number): void {
    const read = this.#memory.read(this.#properties(cpu) + intid - FIRST_LPI, this.#byte)
    this.#configuration[intid - FIRST_LPI] = read ? this.#byte[0]! : 0
  }

  /** Makes an LPI a processor's best one, if it is enabled and better. */
  #offer(block: number, intid: number): void {
    const { words } = this.#table
    const configuration = this.#configuration[intid - FIRST_LPI]!
    if ((configuration & CONFIG_ENABLED) === 0) return
    const priority = configuration & PRIORITY_BITS
    const best = words[block + L.BEST_LPI_PRIORITY]!
    if (priority > best || (priority === best && intid > words[block + L.BEST_LPI]!)) return
    words[block + L.BEST_LPI_PRIORITY] = priority
    words[block + L.BEST_LPI] = intid
  }

  /** Chooses a processor's best LPI again: all pending ones are looked at, of equal ones the first stays. */
  #choose(cpu: number): void {
    const pending = this.#pending
    const configuration = this.#configuration
    const first = cpu * PENDING_WORDS
    let best = 0
    let bestPriority = L.NO_PRIORITY
    for (let i = 0; i < PENDING_WORDS; i++) {
      for (let bits = pending[first + i]!; bits !== 0; bits &= bits - 1) {
        const index = 32 * i + 31 - Math.clz32(bits & -bits)
        const each = configuration[index]!
        if ((each & CONFIG_ENABLED) === 0 || (each & PRIORITY_BITS) >= bestPriority) continue
        bestPriority = each & PRIORITY_BITS
        best = FIRST_LPI + index
      }
    }
    const block = this.#table.block(cpu)
    this.#table.words[block + L.BEST_LPI_PRIORITY] = bestPriority
    this.#table.words[block + L.BEST_LPI] = best
  }

  /** Returns the pending LPIs of each processor. */
  save(): (typeof PENDING_LPI)[][] {
    return Array.from({ length: this.#table.cpus }, (_, cpu) => {
      const list: (typeof PENDING_LPI)[] = []
      for (let i = 0; i < PENDING_WORDS; i++) {
        for (let bits = this.#pending[cpu * PENDING_WORDS + i]!; bits !== 0; bits &= bits - 1) {
          const intid = FIRST_LPI + 32 * i + 31 - Math.clz32(bits & -bits)
          list.push({ intid, configuration: this.#configuration[intid - FIRST_LPI]! })
        }
      }
      return list
    })
  }

  /** Restores a state of checked shape, after the interrupt table. */
  restore(state: readonly (readonly (typeof PENDING_LPI)[])[]): void {
    this.reset()
    state.forEach((list, cpu) => {
      for (const { intid, configuration } of list) {
        this.#configuration[intid - FIRST_LPI] = configuration
        this.#pending[cpu * PENDING_WORDS + ((intid - FIRST_LPI) >> 5)]! |= 1 << (intid & 31)
      }
    })
    for (let cpu = 0; cpu < this.#table.cpus; cpu++) this.#choose(cpu)
  }

  /** Whether a saved state has a list of LPIs for each processor. */
  stateFault(state: unknown): string | undefined {
    const lists = state as readonly unknown[] | null | undefined
    const expected = Array.from({ length: this.#table.cpus }, (_, cpu) => {
      const list = lists?.[cpu]
      return Array.isArray(list) ? list.map(() => PENDING_LPI) : []
    })
    const fault = shapeFault('', state, expected, true)
    const wrong =
      fault === undefined ? (state as (typeof PENDING_LPI)[][]).flat().find((each) => !isLpi(each.intid)) : undefined
    return wrong === undefined ? fault : `: INTID of a pending LPI is ${wrong.intid}`
  }
}

/** Whether an INTID is that of an LPI that the GIC can have. */
export function isLpi(intid: number): boolean {
  return intid >= FIRST_LPI && intid < END_OF_LPIS
}
