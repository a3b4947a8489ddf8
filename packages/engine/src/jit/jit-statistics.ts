import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { UNIT_INSTRUCTIONS_AT } from '../hot-counters.ts'
import { exitCounts } from './exit-reasons.ts'
import type { JitCounts } from './jit-options.ts'
import { TierTimes } from './tier-times.ts'

interface HostClocks {
  readonly performance: { now(): number }
  readonly process?: { threadCpuUsage?(): { readonly user: number; readonly system: number } }
}

const host = globalThis as unknown as HostClocks

/** Returns the time, in milliseconds. */
export const now = (): number => host.performance.now()

/**
 * Returns the time of this thread's processor, in milliseconds, where the host tells it, as Node does: other work of the
 * host does not count. Else the time that passes. Hosts tell it in steps of some milliseconds.
 */
export function processorTime(): number {
  const used = host.process?.threadCpuUsage?.()
  return used === undefined ? now() : (used.user + used.system) / 1000
}

/** Number of latest waits for compiled code that the median covers. */
const WAITS = 1024

/** Counts that the compiler keeps by itself. */
type OwnCounts = {
  -readonly [
    Name in keyof Omit<
      JitCounts,
      'exits' | 'executed' | 'medianMilliseconds' | 'compiledMilliseconds' | 'interpretedMilliseconds'
    >
  ]: JitCounts[Name]
}

/** Statistics of a compiler of hot code. */
export class JitStatistics {
  readonly #memory: MachineMemory
  readonly #countersAt: number
  readonly #waits = new Float64Array(WAITS)
  #waitCount = 0
  /** For each frame, a bit for each byte at which an instruction begins that was compiled. */
  readonly #compiled = new Map<number, Uint8Array>()
  readonly #tiers = new TierTimes()
  #isTimed = false
  /** Time outside the compiler, and instructions in compiled code, at the beginning of the timed turn. */
  #turnBegan = 0
  #executedBefore = 0
  /** Counts of the compiler. */
  readonly own: OwnCounts = {
    units: 0,
    helped: 0,
    live: 0,
    liveBytes: 0,
    revived: 0,
    loaded: 0,
    keptBytes: 0,
    evictions: 0,
    instructions: 0,
    distinct: 0,
    bytes: 0,
    milliseconds: 0,
    longestMilliseconds: 0,
    failures: 0,
    firstFailure: undefined,
  }

  /** @param countersAt - machine address of the counters of hot code */
  constructor(memory: MachineMemory, countersAt: number) {
    this.#memory = memory
    this.#countersAt = countersAt
  }

  /** Notes how long a processor has stood still for the compiler. @param isInstalled - a unit was compiled */
  noteWait(milliseconds: number, isInstalled: boolean): void {
    this.own.milliseconds += milliseconds
    this.own.longestMilliseconds = Math.max(this.own.longestMilliseconds, milliseconds)
    if (isInstalled) this.#waits[this.#waitCount++ % WAITS] = milliseconds
  }

  /** Notes an error of the compiler, or of the host's WebAssembly. */
  noteFailure(error: string): void {
    this.own.failures++
    this.own.firstFailure ??= error
  }

  /** Notes a compiled instruction. @param offset - offset of its first byte in its frame */
  noteInstruction(frame: number, offset: number): void {
    let bits = this.#compiled.get(frame)
    if (bits === undefined) this.#compiled.set(frame, (bits = new Uint8Array(PAGE_BYTES >>> 3)))
    const bit = 1 << (offset & 7)
    this.own.instructions++
    if ((bits[offset >>> 3]! & bit) === 0) this.own.distinct++
    bits[offset >>> 3]! |= bit
  }

  /** A turn of a processor begins, in which nothing but it executes. */
  beginTurn(): void {
    this.#isTimed = this.#tiers.isDue
    if (!this.#isTimed) return
    this.#executedBefore = this.#executed
    this.#turnBegan = now() - this.own.milliseconds
  }

  /** Ends the timing of a turn. @param instructions - retired in the turn */
  endTurn(instructions: number): void {
    if (!this.#isTimed) return this.#tiers.pass(instructions)
    const time = now() - this.own.milliseconds - this.#turnBegan
    this.#tiers.note(instructions, this.#executed - this.#executedBefore, time)
  }

  /** Instructions of compiled code: a count of 64 bits. */
  get #executed(): number {
    const at = (this.#countersAt + UNIT_INSTRUCTIONS_AT) >>> 2
    return this.#memory.u32[at + 1]! * 2 ** 32 + this.#memory.u32[at]!
  }

  /** Reads all counts. */
  read(): JitCounts {
    this.#tiers.settle()
    const waits = this.#waits.slice(0, this.#waitCount).toSorted()
    return {
      ...this.own,
      medianMilliseconds: waits[waits.length >> 1] ?? 0,
      compiledMilliseconds: this.#tiers.compiled,
      interpretedMilliseconds: this.#tiers.interpreted,
      executed: this.#executed,
      exits: exitCounts(this.#memory, this.#countersAt),
    }
  }
}
