import type { MachineMemory } from '@retrap/memory'
import { HOT_COUNTERS, HOT_COUNTER_MASK, HOT_COUNTER_SHIFT } from '@retrap/engine'
import type { CodeCache, InterpreterCode } from '@retrap/engine'
import type { FormSource } from '../form-context.ts'
import { OP_CROSS, OP_UNIT, R_OFFSET, R_OP } from '../record.ts'
import { CS, MODE_64, SEG_BASE, SEG_BYTES, SEG_LIMIT, S_MODE, S_PAGE_BASE, S_SEGMENTS } from '../state-layout.ts'
import { findRegion } from './region.ts'
import type { Region } from './region.ts'
import { UnitCompiler } from './unit-compiler.ts'

/** Default of {@link JitOptions.threshold}: a region costs as much to compile as to interpret some thousand times. */
export const JIT_THRESHOLD = 20_000
/** A place that is no region, or a unit already, is looked at again after so many times more. */
const LATER = 1 << 24
/** Units made before those that have died are looked for. */
const SWEEP_INTERVAL = 64
/** Each time that code is written, its frame waits twice as long to be compiled again, up to 2 to this power as long. */
const MOST_DOUBLINGS = 10
/** Default of {@link JitOptions.fewestInstructions}. */
const FEWEST_INSTRUCTIONS = 3
/** R_FUNCTION has 16 bits. */
const MOST_ENTRIES = 1 << 16

/** Milliseconds, for statistics. */
const now = (): number => (globalThis as unknown as { performance: { now(): number } }).performance.now()

/** How hot code is compiled. */
export interface JitOptions {
  /** Branches to a place, from 1, after which the code there is compiled; default {@link JIT_THRESHOLD}. */
  readonly threshold?: number
  /** Guest instructions that code must have, from 1; default 3. Less is not worth entering. */
  readonly fewestInstructions?: number
}

/** A vCPU, as the units that it runs need it. */
export interface UnitRunner {
  /** Machine address of its state. */
  readonly state: number
  /** Finds the slot table that a linear page is executed by; -1 where none is known. */
  executeSlots(lo: number, hi: number): number
  /** Makes a unit ready to be called as an entry of the table. */
  install(module: WebAssembly.Module, entry: number): void
  /** Gives a unit of the table up. */
  uninstall(entry: number): void
}

/** A unit that is in the table. */
interface LiveUnit {
  /** Machine address of the record by which it is entered. */
  readonly record: number
  readonly entry: number
  /** Frames of its code. */
  readonly frames: readonly number[]
}

/** What the compiler has done. */
export interface JitCounts {
  /** Units compiled. */
  units: number
  /** Units in use, as far as is known: those whose code has been written are noticed later. */
  live: number
  /** Guest instructions in them. */
  instructions: number
  /** Bytes of WebAssembly modules. */
  bytes: number
  /** Milliseconds that compiling took. */
  milliseconds: number
}

/** Compiles hot code, for all vCPUs of an engine. */
export class Jit {
  readonly #memory: MachineMemory
  readonly #cache: CodeCache
  readonly #code: InterpreterCode<FormSource>
  readonly #compiler: UnitCompiler
  readonly #countersAt: number
  readonly #fewestInstructions: number
  readonly #runners: UnitRunner[] = []
  readonly #threshold: number
  #nextEntry: number
  #live: LiveUnit[] = []
  /** Entries of the table that units have left. */
  readonly #free: number[] = []
  /** How often code of a frame has been written since it was compiled first. */
  readonly #deaths = new Map<number, number>()
  /** How often a frame has been hot while it was to wait. */
  readonly #waited = new Map<number, number>()
  #flushes = 0
  #untilSweep = SWEEP_INTERVAL
  /** What has been done. */
  readonly counts: JitCounts = { units: 0, live: 0, instructions: 0, bytes: 0, milliseconds: 0 }

  /** @param countersAt - machine address of the counters */
  constructor(
    memory: MachineMemory,
    cache: CodeCache,
    code: InterpreterCode<FormSource>,
    countersAt: number,
    { threshold = JIT_THRESHOLD, fewestInstructions = FEWEST_INSTRUCTIONS }: JitOptions,
  ) {
    this.#fewestInstructions = fewestInstructions
    this.#memory = memory
    this.#cache = cache
    this.#code = code
    this.#compiler = new UnitCompiler(memory, code)
    this.#countersAt = countersAt
    this.#nextEntry = code.tableEntries
    this.#threshold = threshold
    this.#resetCounters()
  }

  #resetCounters(): void {
    const first = this.#countersAt >>> 2
    this.#memory.u32.fill(this.#threshold, first, first + HOT_COUNTERS)
  }

  /** Adds a vCPU. */
  addRunner(runner: UnitRunner): void {
    this.#runners.push(runner)
  }

  /**
   * Control has often come to a record.
   *
   * @returns the record to go on with: that of a unit, or the same
   */
  hot(record: number, runner: UnitRunner): number {
    const { u16, u32, i32 } = this.#memory
    if (this.#flushes !== this.#cache.flushes) {
      // All records are gone, those of units too.
      this.#flushes = this.#cache.flushes
      this.#resetCounters()
      this.#sweep(() => false)
      this.#deaths.clear()
      this.#waited.clear()
    }
    const op = u16[(record + R_OP) >>> 1] as number
    const counter = (this.#countersAt + ((record >>> HOT_COUNTER_SHIFT) & HOT_COUNTER_MASK)) >>> 2
    u32[counter] = LATER
    if (op === OP_UNIT || op === OP_CROSS) return record
    const start = now()
    const offset = u16[(record + R_OFFSET) >>> 1] as number
    const { state } = runner
    const lo = u32[(state + S_PAGE_BASE) >>> 2] as number
    const hi = u32[(state + S_PAGE_BASE + 4) >>> 2] as number
    const mode = u32[(state + S_MODE) >>> 2] as number
    const entryPage = this.#cache.pageOfSlots(runner.executeSlots(lo, hi))
    if (entryPage === undefined) return record
    // A unit for the place may be there, which what leads here did not know.
    const current = u32[(entryPage.slots >>> 2) + offset] as number
    if (current !== record) {
      u32[counter] = this.#threshold
      return current !== 0 && u16[(current + R_OP) >>> 1] === OP_UNIT ? current : record
    }
    const deaths = this.#deaths.get(entryPage.frame) ?? 0
    if (deaths > 0 && this.#isToWait(entryPage.frame, deaths)) {
      u32[counter] = this.#threshold
      return record
    }
    const code = state + S_SEGMENTS + SEG_BYTES * CS
    const isFlat = u32[(code + SEG_BASE) >>> 2] === 0 && i32[(code + SEG_LIMIT) >>> 2] === -1
    const region = findRegion(offset, {
      memory: this.#memory,
      sourceOf: (o, fn) => this.#code.formOf(o, fn),
      pageAt: (delta) => {
        if (delta === 0) return entryPage
        const linear = lo + delta
        const carry = linear < 0 ? -1 : linear > 0xffff_ffff ? 1 : 0
        if (mode !== MODE_64 && carry !== 0) return undefined
        return this.#cache.pageOfSlots(runner.executeSlots(linear >>> 0, (hi + carry) >>> 0))
      },
      isRelativeKnown: ({ form }) => (mode === MODE_64 ? form.size === 8 : isFlat && form.size === 4),
      isRelativeToPage: mode === MODE_64,
    })
    if (region === undefined || region.instructionCount < this.#fewestInstructions) return record
    const unit = this.#install(region, runner, mode, offset, record)
    u32[counter] = this.#threshold
    this.counts.milliseconds += now() - start
    return unit
  }

  /** Whether a frame whose code is written again and again is to be interpreted for longer. */
  #isToWait(frame: number, deaths: number): boolean {
    const waited = (this.#waited.get(frame) ?? 0) + 1
    if (waited < 2 ** Math.min(deaths - 1, MOST_DOUBLINGS)) {
      this.#waited.set(frame, waited)
      return true
    }
    this.#waited.delete(frame)
    return false
  }

  /** Gives up units whose code has been written. */
  #sweep(
    lives: (unit: LiveUnit) => boolean = ({ record }) => this.#memory.u16[(record + R_OP) >>> 1] === OP_UNIT,
  ): void {
    this.#untilSweep = SWEEP_INTERVAL
    this.#live = this.#live.filter((unit) => {
      if (lives(unit)) return true
      const { entry, frames } = unit
      for (const runner of this.#runners) runner.uninstall(entry)
      for (const frame of frames) this.#deaths.set(frame, (this.#deaths.get(frame) ?? 0) + 1)
      this.#free.push(entry)
      return false
    })
    this.counts.live = this.#live.length
  }

  #install(region: Region, runner: UnitRunner, mode: number, offset: number, record: number): number {
    if (--this.#untilSweep === 0) this.#sweep()
    const entry = this.#free.at(-1) ?? this.#nextEntry
    if (entry >= MOST_ENTRIES) return record
    const pages = region.pages.map(({ page }) => page)
    const unitRecord = this.#cache.addUnit(pages, offset, record, entry)
    if (unitRecord === 0) return record
    const { bytes } = this.#compiler.compile(region, runner.state, mode, unitRecord)
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>)
    for (const each of this.#runners) each.install(module, entry)
    if (this.#free.pop() === undefined) this.#nextEntry++
    this.#live.push({ record: unitRecord, entry, frames: pages.map(({ frame }) => frame) })
    this.counts.live++
    this.counts.units++
    this.counts.instructions += region.instructionCount
    this.counts.bytes += bytes.length
    return unitRecord
  }
}
