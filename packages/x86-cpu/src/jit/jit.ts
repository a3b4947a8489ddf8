import type { MachineMemory } from '@retrap/memory'
import {
  HOT_COUNTERS,
  HOT_COUNTER_MASK,
  HOT_COUNTER_SHIFT,
  HOT_MISSED,
  HOT_SLOW,
  MISSED_BRANCHES,
  MISSED_BRANCHES_AT,
  MISSED_BRANCH_BYTES,
} from '@retrap/engine'
import type { CodeCache, CodePage, InterpreterCode } from '@retrap/engine'
import type { FormSource } from '../form-context.ts'
import { OP_CROSS, OP_UNIT, R_OFFSET, R_OP } from '../record.ts'
import {
  CS,
  MODE_32,
  MODE_64,
  SEG_BASE,
  SEG_BYTES,
  SEG_LIMIT,
  S_PAGE_BASE,
  S_RECORD,
  S_SEGMENTS,
  S_SLOTS,
} from '../state-layout.ts'
import { compiledInstructions } from './compiled-code.ts'
import type { CompiledCode } from './compiled-code.ts'
import { findRegion, firstRecord } from './region.ts'
import type { Region } from './region.ts'
import { UnitCompiler } from './unit-compiler.ts'

/** Default of {@link JitOptions.threshold}. Measured: at a fifth of it, kernels' paths cost more to compile than they give back. */
export const JIT_THRESHOLD = 100_000
/** A place that is no region is looked at again after so many times more. */
const LATER = 1 << 24
/** What is returned in place of a record. */
const NOTHING = 0
/** Places that a branch to a computed address is compared with; fewer of a return, which callers have in their units. */
const MOST_TARGETS = 48
const MOST_RETURN_TARGETS = 4
/** Fraction of the threshold after which a computed branch that leads out of its unit is looked at. */
const MISS_FRACTION = 20
/** Farther targets of computed branches are not made part of a unit. */
const FARTHEST_TARGET = 1 << 24
/** Units made before those that have died are looked for. */
const SWEEP_INTERVAL = 64
/** Each time that code is written, its frame waits twice as long to be compiled again, up to 2 to this power as long. */
const MOST_DOUBLINGS = 10
/** Default of {@link JitOptions.fewestInstructions}. */
const FEWEST_INSTRUCTIONS = 3
/** Instructions of a unit up to which it is made part of others that lead to it. */
const LARGEST_COPIED = 80
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
  /** Called with all code that is compiled, when it is; what it throws leaves that code to the interpreter. */
  readonly onCode?: (code: CompiledCode) => void
}

/** A vCPU, as the units that it runs need it. */
export interface UnitRunner {
  /** Machine address of its state. */
  readonly state: number
  /** Finds the slot table that a linear page is executed by; -1 where none is known. */
  executeSlots(lo: number, hi: number): number
  /** Makes a unit ready to be called as an entry of the table. @param module - a `WebAssembly.Module` */
  install(module: object, entry: number): void
  /** Gives a unit of the table up. */
  uninstall(entry: number): void
}

/** The linear address of a page. */
interface LinearPage {
  readonly lo: number
  readonly hi: number
}

/** A place in guest code. */
interface Place extends LinearPage {
  readonly page: CodePage
  /** Offset in the page. */
  readonly offset: number
}

/** A unit that is in the table. */
interface LiveUnit {
  /** Machine address of the record by which it is entered. */
  readonly record: number
  readonly entry: number
  /** Offset of its first instruction in its first page. */
  readonly offset: number
  /** The pages of its code, the first one first. */
  pages: readonly CodePage[]
  /** What was compiled last. */
  module: object
  /** Its branches to computed addresses, by record. */
  branches: ReadonlyMap<number, ComputedBranch>
  /** Targets of these branches that were known when it was compiled. */
  targetCount: number
  /** Distances of its pages from the first one, by slot table. */
  deltas: ReadonlyMap<number, number>
  /** The records by which the interpreter begins its instructions. */
  records: readonly number[]
}

const NOTHING_KNOWN: Pick<LiveUnit, 'branches' | 'targetCount' | 'deltas' | 'records'> = {
  branches: new Map(),
  targetCount: 0,
  deltas: new Map(),
  records: [],
}

/** A branch to a computed address. */
interface ComputedBranch {
  /** Distance of its page from the unit's first page. */
  readonly delta: number
  readonly isReturn: boolean
}

/** What the compiler has done. */
export interface JitCounts {
  /** Units compiled, those that were compiled anew too. */
  units: number
  /** Units in use, as far as is known: those whose code has been written are noticed later. */
  live: number
  /** Guest instructions in them. */
  instructions: number
  /** Bytes of WebAssembly modules. */
  bytes: number
  /** Milliseconds that compiling took. */
  milliseconds: number
  /** Errors of the compiler and of the host's WebAssembly; the interpreter goes on with the code. */
  failures: number
  /** The first of these errors; undefined where there was none. */
  firstFailure: string | undefined
}

/** Compiles hot code, for all vCPUs of an engine. */
export class Jit {
  readonly #memory: MachineMemory
  readonly #cache: CodeCache
  readonly #code: InterpreterCode<FormSource>
  readonly #compiler: UnitCompiler
  readonly #countersAt: number
  readonly #fewestInstructions: number
  readonly #onCode: JitOptions['onCode']
  readonly #runners: UnitRunner[] = []
  readonly #threshold: number
  readonly #missThreshold: number
  #nextEntry: number
  #live: LiveUnit[] = []
  /** Entries of the table that units have left. */
  readonly #free: number[] = []
  /** How often code of a frame has been written since it was compiled first. */
  readonly #deaths = new Map<number, number>()
  /** The units in the table, by their records. */
  readonly #units = new Map<number, LiveUnit>()
  /** Where computed branches have often led out of their units to, by record: distances from the beginnings of their pages. */
  readonly #targets = new Map<number, number[]>()
  /** How often a frame has been hot while it was to wait. */
  readonly #waited = new Map<number, number>()
  #flushes = 0
  #untilSweep = SWEEP_INTERVAL
  /** What has been done. */
  readonly counts: JitCounts = {
    units: 0,
    live: 0,
    instructions: 0,
    bytes: 0,
    milliseconds: 0,
    failures: 0,
    firstFailure: undefined,
  }

  /** @param countersAt - machine address of the counters */
  constructor(
    memory: MachineMemory,
    cache: CodeCache,
    code: InterpreterCode<FormSource>,
    countersAt: number,
    { threshold = JIT_THRESHOLD, fewestInstructions = FEWEST_INSTRUCTIONS, onCode }: JitOptions,
  ) {
    this.#fewestInstructions = fewestInstructions
    this.#onCode = onCode
    this.#memory = memory
    this.#cache = cache
    this.#code = code
    this.#compiler = new UnitCompiler(memory, code, countersAt)
    this.#countersAt = countersAt
    this.#nextEntry = code.tableEntries
    this.#threshold = threshold
    this.#missThreshold = Math.max(1, Math.floor(threshold / MISS_FRACTION))
    this.#resetCounters()
  }

  #resetCounters(): void {
    const first = this.#countersAt >>> 2
    this.#memory.u32.fill(this.#threshold, first, first + HOT_COUNTERS)
  }

  /** Adds a vCPU, which may execute the units that there are already. */
  addRunner(runner: UnitRunner): void {
    this.#runners.push(runner)
    for (const { module, entry } of this.#live) runner.install(module, entry)
  }

  /**
   * Control has often come to a record.
   *
   * @returns the record to go on with: that of a unit, or the same
   */
  hot(record: number, runner: UnitRunner): number {
    const start = now()
    this.#followFlush()
    let next = record
    try {
      if ((record & HOT_MISSED) !== 0) this.#missed(record & ~HOT_MISSED, runner)
      else if ((record & HOT_SLOW) !== 0) this.#slow(record & ~HOT_SLOW, runner)
      else next = this.#reached(record, runner)
    } catch (error) {
      // A mistake of the compiler, or a host without memory for more code: the interpreter executes the place.
      this.counts.failures++
      this.counts.firstFailure ??= String(error)
    }
    this.counts.milliseconds += now() - start
    return next
  }

  /** Where the branches to a record are counted, in words. */
  #counterOf(record: number): number {
    return (this.#countersAt + ((record >>> HOT_COUNTER_SHIFT) & HOT_COUNTER_MASK)) >>> 2
  }

  /** Branches have often reached a record. */
  #reached(record: number, runner: UnitRunner): number {
    const { u16, u32 } = this.#memory
    const counter = this.#counterOf(record)
    u32[counter] = LATER
    const op = u16[(record + R_OP) >>> 1] as number
    const place = op === OP_CROSS || op === OP_UNIT ? undefined : this.#place(record, runner)
    const next = place === undefined ? NOTHING : this.#enter(place, record, runner)
    if (next === NOTHING) return record
    // Another place may have the same counter.
    u32[counter] = this.#threshold
    return next
  }

  /** Where a record's instruction is that control has just come to. */
  #place(record: number, runner: UnitRunner): Place | undefined {
    const { u16, u32 } = this.#memory
    const lo = u32[(runner.state + S_PAGE_BASE) >>> 2] as number
    const hi = u32[(runner.state + S_PAGE_BASE + 4) >>> 2] as number
    const page = this.#cache.pageOfSlots(runner.executeSlots(lo, hi))
    return page && { lo, hi, page, offset: u16[(record + R_OFFSET) >>> 1] as number }
  }

  /** The record by which a place is to be executed; {@link NOTHING} where it is no region. */
  #enter(place: Place, record: number, runner: UnitRunner): number {
    const { u16, u32 } = this.#memory
    const { page, offset } = place
    // A unit for the place may be there, which what leads here did not know.
    const current = u32[(page.slots >>> 2) + offset] as number
    if (current !== record) return current !== 0 && u16[(current + R_OP) >>> 1] === OP_UNIT ? current : record
    if (this.#isToWait(page.frame)) return record
    const region = this.#find(place, runner)
    if (region === undefined || region.instructionCount < this.#fewestInstructions) return NOTHING
    return this.#install(region, runner, place, record)
  }

  /** All records are gone after a flush of the code cache, those of units too. */
  #followFlush(): void {
    if (this.#flushes === this.#cache.flushes) return
    this.#flushes = this.#cache.flushes
    this.#resetCounters()
    this.#sweep(() => false)
    this.#deaths.clear()
    this.#waited.clear()
    this.#targets.clear()
    this.#compiler.sites.clear()
  }

  /** Finds the region that begins at a place. */
  #find({ lo, hi, offset, page }: Place, runner: UnitRunner): Region | undefined {
    const { u32, i32 } = this.#memory
    const { mode } = page
    const code = runner.state + S_SEGMENTS + SEG_BYTES * CS
    const isFlat = u32[(code + SEG_BASE) >>> 2] === 0 && i32[(code + SEG_LIMIT) >>> 2] === -1
    return findRegion(offset, {
      memory: this.#memory,
      sourceOf: (o, fn) => this.#code.formOf(o, fn),
      pageAt: (delta) => (delta === 0 ? page : this.#pageAt(lo + delta, hi, mode, runner)),
      targetsOf: (record) => this.#targets.get(record) ?? [],
      isLargeUnit: (record) => (this.#units.get(record)?.records.length ?? 0) > LARGEST_COPIED,
      isRelativeKnown: ({ form }) => (mode === MODE_64 ? form.size === 8 : isFlat && form.size === 4),
      isRelativeToPage: mode === MODE_64,
    })
  }

  /** The code page that a linear page is executed by. @param lo - may be beyond 32 bits on either side */
  #pageAt(lo: number, hi: number, mode: number, runner: UnitRunner): CodePage | undefined {
    const carry = lo < 0 ? -1 : lo > 0xffff_ffff ? 1 : 0
    if (mode !== MODE_64 && carry !== 0) return undefined
    return this.#cache.pageOfSlots(runner.executeSlots(lo >>> 0, (hi + carry) >>> 0))
  }

  /** The computed branch by which a unit was left just now has often led out of it: compiles that anew with the places. */
  #missed(record: number, runner: UnitRunner): void {
    const { u32 } = this.#memory
    const branch = u32[(runner.state + S_RECORD) >>> 2] as number
    u32[this.#counterOf(branch)] = LATER
    const unit = this.#units.get(record >>> 0)
    const start = unit && this.#startOf(unit, runner)
    if (start === undefined) return
    this.#addTargets(unit!, start)
    // Another unit with the same branch may have learnt them before.
    if (this.#targetCount(unit!) > unit!.targetCount) this.#recompile(unit!, start, runner)
  }

  /** A unit was left just now by an instruction that has missed the TLB. */
  #slow(record: number, runner: UnitRunner): void {
    const { sites } = this.#compiler
    if (!sites.count(this.#memory.u32[(runner.state + S_RECORD) >>> 2] as number)) return
    const unit = this.#units.get(record >>> 0)
    const start = unit && this.#startOf(unit, runner)
    if (start === undefined) return
    sites.change(unit!.records)
    this.#recompile(unit!, start, runner)
  }

  /** Where the first page of a unit lies that was left just now; undefined where that is not known any more. */
  #startOf(unit: LiveUnit, runner: UnitRunner): LinearPage | undefined {
    const { u16, u32 } = this.#memory
    const { state } = runner
    const delta = unit.deltas.get(u32[(state + S_SLOTS) >>> 2] as number)
    const [first] = unit.pages
    if (delta === undefined || first === undefined || u16[(unit.record + R_OP) >>> 1] !== OP_UNIT) return undefined
    const lo = (u32[(state + S_PAGE_BASE) >>> 2] as number) - delta
    const hi = u32[(state + S_PAGE_BASE + 4) >>> 2] as number
    return lo === lo >>> 0 && this.#pageAt(lo, hi, first.mode, runner) === first ? { lo, hi } : undefined
  }

  #recompile(unit: LiveUnit, { lo, hi }: LinearPage, runner: UnitRunner): void {
    const [page] = unit.pages
    const region = page && this.#find({ lo, hi, offset: unit.offset, page }, runner)
    if (region === undefined) return
    const pages = region.pages.map((each) => each.page)
    // Before the new code can be called, and where only some vCPUs get it: a write to any page ends both forms.
    this.#cache.extendUnit(
      unit.record,
      page!,
      pages.filter((each) => !unit.pages.includes(each)),
    )
    unit.pages = [...new Set([...unit.pages, ...pages])]
    unit.module = this.#compile(region, runner, { lo, hi, page: page!, offset: unit.offset }, unit.record, unit.entry)
    this.#describe(unit, region)
  }

  /** Notes what a unit is made of, and counts how often its computed branches lead out of it. */
  #describe(unit: LiveUnit, { blocks, pages }: Region): void {
    const { u32 } = this.#memory
    unit.deltas = new Map(pages.map(({ page, delta }) => [page.slots, delta]))
    unit.records = blocks.flatMap(({ instructions }) => instructions.map(firstRecord))
    unit.branches = computedBranches(blocks)
    unit.targetCount = this.#targetCount(unit)
    for (const branch of unit.branches.keys()) u32[this.#counterOf(branch)] = this.#missThreshold
  }

  /** Where missed branches are noted, in words. */
  *#misses(): Iterable<number> {
    for (let i = 0; i < MISSED_BRANCHES; i++) {
      yield (this.#countersAt + MISSED_BRANCHES_AT + i * MISSED_BRANCH_BYTES) >>> 2
    }
  }

  /** How many targets of a unit's branches are known. */
  #targetCount({ branches }: LiveUnit): number {
    let count = 0
    for (const branch of branches.keys()) count += this.#targets.get(branch)?.length ?? 0
    return count
  }

  /** Takes the targets that were noted of a unit's branches. */
  #addTargets(unit: LiveUnit, { lo, hi }: LinearPage): void {
    const { u32 } = this.#memory
    for (const at of this.#misses()) {
      const branch = u32[at + 2] as number
      const from = unit.branches.get(branch)
      if (u32[at + 3] !== unit.record || from === undefined || u32[at + 1] !== hi) continue
      const distance = (u32[at] as number) - lo - from.delta
      const targets = this.#targets.get(branch) ?? []
      const isFar = from.isReturn ? distance !== (distance & 0xfff) : Math.abs(distance) > FARTHEST_TARGET
      const most = from.isReturn ? MOST_RETURN_TARGETS : MOST_TARGETS
      if (isFar || targets.length >= most || targets.includes(distance)) continue
      this.#targets.set(branch, [...targets, distance])
    }
  }

  /** Whether a frame whose code is written again and again is to be interpreted for longer. */
  #isToWait(frame: number): boolean {
    const deaths = this.#deaths.get(frame) ?? 0
    if (deaths === 0) return false
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
      const { record, entry, pages } = unit
      for (const runner of this.#runners) runner.uninstall(entry)
      for (const { frame } of pages) this.#deaths.set(frame, (this.#deaths.get(frame) ?? 0) + 1)
      this.#units.delete(record)
      this.#free.push(entry)
      return false
    })
    this.counts.live = this.#live.length
  }

  #install(region: Region, runner: UnitRunner, place: Place, record: number): number {
    const { page, offset } = place
    if (--this.#untilSweep === 0) this.#sweep()
    const entry = this.#free.at(-1) ?? this.#nextEntry
    if (entry >= MOST_ENTRIES) return record
    const pages = region.pages.map(({ page }) => page)
    const unitRecord = this.#cache.addUnit(pages, offset, record, entry)
    if (unitRecord === 0) return record
    let module: object
    try {
      module = this.#compile(region, runner, place, unitRecord, entry)
    } catch (error) {
      this.#cache.removeUnit(unitRecord, page)
      throw error
    }
    if (this.#free.pop() === undefined) this.#nextEntry++
    const unit = { record: unitRecord, entry, offset, pages, module, ...NOTHING_KNOWN }
    this.#describe(unit, region)
    this.#live.push(unit)
    this.#units.set(unitRecord, unit)
    this.counts.live++
    return unitRecord
  }

  #compile(region: Region, runner: UnitRunner, { lo, hi, page }: Place, unitRecord: number, entry: number): object {
    const { mode } = page
    const { bytes } = this.#compiler.compile(region, runner.state, mode, unitRecord)
    const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>)
    for (const each of this.#runners) each.install(module, entry)
    this.counts.units++
    this.counts.instructions += region.instructionCount
    this.counts.bytes += bytes.length
    this.#onCode?.({
      module: bytes,
      bits: mode === MODE_64 ? 64 : mode === MODE_32 ? 32 : 16,
      instructions: compiledInstructions(this.#memory, region, (BigInt(hi) << 32n) | BigInt(lo)),
    })
    return module
  }
}

function computedBranches(blocks: Region['blocks']): ReadonlyMap<number, ComputedBranch> {
  const last = blocks.map(({ instructions }) => instructions.at(-1)!)
  return new Map(
    last
      .filter(({ flow }) => flow === 'indirect' || flow === 'return')
      .map(({ record, page, flow }) => [record, { delta: page.delta, isReturn: flow === 'return' }]),
  )
}
