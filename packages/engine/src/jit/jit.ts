import type { MachineMemory } from '@retrap/memory'
import type { CodeCache } from '../code-cache.ts'
import type { CodePage } from '../code-page.ts'
import * as H from '../hot-counters.ts'
import type { InterpreterCode } from '../interpreter.ts'
import { OP_BITS, OP_COLD, OP_CROSS, OP_HEAD, OP_UNIT, R_OFFSET, R_OP } from '../record.ts'
import type { StateLayout } from '../loop-state.ts'
import { BackOff, CompileCredit, type CompilePolicy } from './compile-credit.ts'
import { CompiledUnits } from './compiled-units.ts'
import { ComputedTargets } from './computed-targets.ts'
import type { CompiledInstructionSet } from './instruction-set.ts'
import { CODE_FORMAT } from './kept/code-format.ts'
import { JIT_CODE_BYTES, JIT_MISSES, JIT_THRESHOLD, type JitCounts, type JitOptions } from './jit-options.ts'
import { hashOf } from './unit-code.ts'
import { JitStatistics, now, processorTime } from './jit-statistics.ts'
import { MemorySites } from './memory-sites.ts'
import { type FoundCode, RegionDiscovery } from './region-discovery.ts'
import { UnitCompiler } from './unit-compiler.ts'
import type { LinearPage, LiveUnit, Place, UnitEntries, UnitRunner } from './unit.ts'

/** A place that is no region is looked at again after this many times more. */
const LATER = 1 << 24
/** Returned in place of a record where the place is no region. */
const NOTHING = 0
/** Code caches that are full again within this many milliseconds of execution hold too little for code to be compiled soon. */
const QUICK_FLUSH = 1000
/** Each flush doubles the threshold, up to 2 to this power. */
const MOST_FLUSH_DOUBLINGS = 8
/** Fraction of the threshold after which a computed branch that leads out of its unit is looked at. */
const MISS_FRACTION = 20
/** Fraction of the threshold for which a place is profiled before compilation: instructions not executed meanwhile are left out. */
const WATCH_FRACTION = 80
const DEFAULTS = { fewestInstructions: 1, codeBytes: JIT_CODE_BYTES, misses: JIT_MISSES } as const
/**
 * When code is compiled. The share is of our own work: V8's compilers and collection take two to four times as much for it.
 * Measured, processor time of all threads for that with a share of 0.1: boot 0.976, python-start 0.937, perl 0.973, gcc 0.882
 * (as without compiled code).
 */
const POLICY: CompilePolicy = { threshold: JIT_THRESHOLD, earliest: 10_000, share: 0.03 }
/** Fraction of the threshold after which a place is looked at for whose bytes there may be compiled code. */
const REVIVAL_FRACTION = 200
/**
 * Branches to a place, up to the threshold, that such a look takes at least: fewer cost more than they gain. Measured, by a boot of
 * Linux with kept code: after 16, 64, 250 or 500 branches, 92 % of its instructions are compiled, after 2,000 91 %.
 */
const FEWEST_FOR_REVIVAL = 64

/** The parts that a {@link Jit} works with. */
export interface JitParts<Form> {
  readonly memory: MachineMemory
  /** The records of the code to be compiled. */
  readonly cache: CodeCache
  /** The interpreter, which counts at `countersAt`: see `DispatchCounters.hotAt`. */
  readonly code: InterpreterCode<Form>
  /** Machine address of the counters of hot code: `HOT_COUNTER_BYTES`. */
  readonly countersAt: number
  /** The instruction set of the code. */
  readonly instructionSet: CompiledInstructionSet<Form>
}

/** Compiles hot code, for all processors that share a code cache. */
export class Jit<Form> {
  readonly #parts: JitParts<Form>
  readonly #sites: MemorySites
  readonly #options: Required<Omit<JitOptions, 'helper' | 'keep' | 'onCode' | 'watch'>> & JitOptions
  /** Branches to a place for which it is watched; 0: it is compiled at once. */
  readonly #watch: number
  readonly #missThreshold: number
  readonly #units: CompiledUnits<Form>
  readonly #discovery: RegionDiscovery<Form>
  readonly #backOff = new BackOff()
  readonly #targets: ComputedTargets
  readonly #credit: CompileCredit
  /** Processor time of the compiler, in milliseconds. */
  #spent = 0
  #flushes = 0
  #flushedAt = -Infinity
  #quickFlushes = 0
  readonly #statistics: JitStatistics
  /** Records whose counters were set to {@link REVIVAL_FRACTION} of the threshold. */
  readonly #early = new Set<number>()
  /** Records of places that are profiled before compilation. */
  readonly #watched = new Set<number>()
  /** Records of the instructions that have been compiled. */
  readonly #covered = new Set<number>()

  /** Makes a compiler without any compiled code. */
  constructor(parts: JitParts<Form>, options: JitOptions = {}) {
    const { memory, code, instructionSet, countersAt } = parts
    this.#parts = parts
    this.#statistics = new JitStatistics(memory, countersAt)
    this.#options = { ...DEFAULTS, threshold: POLICY.threshold, ...options }
    this.#watch = this.#options.watch ?? Math.floor(this.#options.threshold / WATCH_FRACTION)
    this.#targets = new ComputedTargets(memory, countersAt)
    this.#sites = new MemorySites(this.#options.misses)
    const target = { countersAt, shared: memory.shared }
    const compiler = new UnitCompiler(instructionSet, target)
    this.#discovery = new RegionDiscovery(memory, code, instructionSet, this.#targets)
    this.#credit = new CompileCredit({ ...POLICY, threshold: this.#options.threshold }, processorTime())
    this.#units = new CompiledUnits({
      memory,
      cache: parts.cache,
      compiler,
      code,
      instructionSet,
      sites: this.#sites,
      targets: this.#targets,
      statistics: this.#statistics,
      codeBytes: this.#options.codeBytes,
      onCode: this.#options.onCode,
      helper: this.#options.helper,
      target,
      onReady: (record) => this.#ready(record),
      onHelped: (milliseconds) => (this.#spent += milliseconds),
      store: options.keep?.open(instructionSet.name, configurationOf(parts)),
      pageAt: ({ lo, hi, page }, delta, runner) =>
        delta === 0 ? page : this.#pageAt(lo + delta, hi, page.mode, runner),
    })
    parts.cache.onDecoded = (page, offset, record) => this.#decoded(page, offset, record)
    this.#missThreshold = Math.max(1, Math.floor(this.#options.threshold / MISS_FRACTION))
    this.#resetCounters()
  }

  /** The counts of the compiler's work. */
  get counts(): JitCounts {
    return this.#statistics.read()
  }

  /** A processor begins a turn, and nothing but it executes until {@link Jit.endTurn}: for the times of compiled code and of the interpreter. */
  beginTurn(): void {
    this.#units.look()
    this.#statistics.beginTurn()
  }

  /** The turn of a processor has ended. @param instructions - instructions that have retired in it */
  endTurn(instructions: number): void {
    this.#statistics.endTurn(instructions)
  }

  get #memory(): MachineMemory {
    return this.#parts.memory
  }

  get #layout(): StateLayout {
    return this.#parts.instructionSet.layout
  }

  #resetCounters(): void {
    const first = this.#parts.countersAt >>> 2
    const { u32 } = this.#memory
    u32.fill(this.#interval, first, first + H.HOT_COUNTERS)
    for (const at of [H.MISSES_AT, H.MISSES_PER_COUNT_AT]) u32[first + (at >>> 2)] = this.#sites.missesPerCount
  }

  /** Adds the table of an interpreter, which may then execute existing units. */
  addTable(table: UnitEntries): void {
    this.#units.codes.addTable(table)
  }

  /** Takes the table of an interpreter out that executes no more. */
  removeTable(table: UnitEntries): void {
    this.#units.codes.removeTable(table)
  }

  /**
   * Compiles the code at a record that control has often come to: the import `hot` of the dispatch loop.
   *
   * @returns the record to continue with: a unit's, or the given one
   */
  hot(record: number, runner: UnitRunner): number {
    const start = now()
    // Another thread reports its own time; the rest is too little to ask the host for it.
    const { hasHelper } = this.#units
    const before = hasHelper ? 0 : processorTime()
    const { units } = this.#statistics.own
    let next = record
    try {
      this.#followFlush()
      if ((record & H.HOT_MISSED) !== 0) this.#missed(record & ~H.HOT_MISSED, runner)
      else if ((record & H.HOT_SLOW) !== 0) this.#slow(record & ~H.HOT_SLOW, runner)
      else next = this.#reached(record, runner)
    } catch (error) {
      // A mistake of the compiler, or a host without memory for more code: the interpreter executes the place.
      this.#statistics.noteFailure(String(error))
    }
    if (!hasHelper) this.#spent += processorTime() - before
    this.#statistics.noteWait(now() - start, this.#statistics.own.units !== units)
    return next
  }

  /** Branches after which a place is looked at. */
  get #interval(): number {
    return Math.min(LATER, this.#credit.interval * 2 ** this.#quickFlushes)
  }

  /** Returns the word index of a record's branch counter. */
  #counterOf(record: number): number {
    return (this.#parts.countersAt + ((record >>> H.HOT_COUNTER_SHIFT) & H.HOT_COUNTER_MASK)) >>> 2
  }

  // ---------------------------------------------------------------- a place is hot

  /** Called for each decoded instruction. If it may begin an earlier unit, check this soon. */
  #decoded(page: CodePage, offset: number, record: number): void {
    if (!this.#units.isKnown(page, offset, record)) return
    const { threshold } = this.#options
    const branches = Math.min(threshold, Math.max(FEWEST_FOR_REVIVAL, Math.floor(threshold / REVIVAL_FRACTION)))
    this.#memory.u32[this.#counterOf(record)] = branches * 2 ** this.#quickFlushes
    this.#early.add(record)
  }

  /** Branches have often reached a record. */
  #reached(record: number, runner: UnitRunner): number {
    const { u16, u32 } = this.#memory
    const counter = this.#counterOf(record)
    u32[counter] = LATER
    const op = (u16[(record + R_OP) >>> 1]! &= ~OP_COLD) & OP_BITS
    const place = op === OP_CROSS || op === OP_UNIT ? undefined : this.#place(record, runner)
    const next = place === undefined ? NOTHING : this.#enter(place, record, runner)
    if (next === NOTHING) return record
    // The place has become hot again, or another place shares its counter.
    u32[counter] = this.#watched.has(record) ? this.#watch : this.#interval
    return next
  }

  /** Returns the place of a record's instruction, which control has just reached. */
  #place(record: number, runner: UnitRunner): Place | undefined {
    const { u16, u32 } = this.#memory
    const at = (runner.state + this.#layout.pageBase) >>> 2
    const [lo, hi] = [u32[at]!, u32[at + 1]!]
    const page = this.#parts.cache.pageOfSlots(runner.executeSlots(lo, hi))
    return page && { lo, hi, page, offset: u16[(record + R_OFFSET) >>> 1]! }
  }

  /** Returns the record that executes a place; {@link NOTHING} if the place is not worth another check soon. */
  #enter(place: Place, record: number, runner: UnitRunner): number {
    const { u32 } = this.#memory
    const { page, offset } = place
    // The place may have a unit already that the branch did not know.
    const current = u32[(page.slots >>> 2) + offset]!
    if (current !== record) {
      if (current !== 0) this.#memory.u16[(record + R_OP) >>> 1]! |= OP_HEAD
      return current === 0 ? record : current
    }
    for (const frame of this.#units.sweep()) this.#backOff.noteDeath(frame)
    const isArmed = this.#early.delete(record)
    const time = now() - this.#statistics.own.milliseconds
    const known = this.#units.revive(place, record, runner, time)
    if (known !== 0) {
      // The other records that the unit executes are unknown at this point.
      this.#covered.add(record)
      this.#watchBranches(known)
      return known
    }
    if (isArmed || this.#units.isAwaited(record) || this.#units.isBusy) return record
    const isWatched = this.#watched.delete(record)
    if (!isWatched && !this.#isDue(record, page.frame)) return record
    // If all compiled code is in use, a new unit must not replace an old one: some may become idle soon.
    if (!this.#units.makeRoom(time)) return record
    const found = this.#find(place, runner)
    if (found === undefined || found.count < this.#options.fewestInstructions) return NOTHING
    if (!isWatched && this.#watch > 0) {
      this.#watchBlocks(found)
      this.#units.prepare()
      this.#watched.add(record)
      return record
    }
    this.#cover(found)
    const unit = this.#units.compile(found, place, record, runner)
    if (unit !== 0) this.#watchBranches(unit)
    return unit === 0 ? record : unit
  }

  /** Returns whether a place that is hot is to be compiled. */
  #isDue(record: number, frame: number): boolean {
    // A place compiled as part of another unit is now reached less often.
    const mayBeEarly = !this.#backOff.frames.has(frame) && !this.#covered.has(record)
    return this.#credit.grants(record, mayBeEarly, processorTime(), this.#spent) && !this.#backOff.isToWait(frame)
  }

  /** Marks all blocks but the first as cold, except blocks that units execute. */
  #watchBlocks(found: FoundCode<Form>): void {
    const { u16 } = this.#memory
    found.eachStart((i) => {
      const record = found.record[i]!
      if (i !== 0 && found.crosses[i] === 0 && !this.#covered.has(record)) u16[(record + R_OP) >>> 1]! |= OP_COLD
    })
  }

  /** Notes places about to be compiled: their earlier counts become meaningless. */
  #cover({ record: records, count }: FoundCode<Form>): void {
    for (let i = 0; i < count; i++) {
      const record = records[i]!
      this.#covered.add(record)
      this.#watched.delete(record)
      this.#credit.refusals.delete(record)
    }
  }

  /** All records are gone after a flush of the code cache, units' records too. */
  #followFlush(): void {
    const { flushes } = this.#parts.cache
    if (this.#flushes === flushes) return
    this.#flushes = flushes
    const time = now() - this.#statistics.own.milliseconds
    const isQuick = time - this.#flushedAt < QUICK_FLUSH
    this.#quickFlushes = isQuick ? Math.min(this.#quickFlushes + 1, MOST_FLUSH_DOUBLINGS) : 0
    this.#flushedAt = time
    this.#resetCounters()
    this.#units.clear()
    this.#backOff.frames.clear()
    this.#targets.known.clear()
    this.#credit.refusals.clear()
    this.#sites.clear()
    this.#early.clear()
    this.#watched.clear()
    this.#covered.clear()
  }

  /** Finds the code that belongs to a place. */
  #find({ lo, hi, offset, page }: Place, runner: UnitRunner): FoundCode<Form> | undefined {
    const { mode } = page
    return this.#discovery.run(offset, {
      mode,
      state: runner.state,
      pageAt: (delta) => (delta === 0 ? page : this.#pageAt(lo + delta, hi, mode, runner)),
      isApart: (record) => this.#units.isApart(record, page, offset),
    })
  }

  /** The code page that a linear page is executed by. @param lo - may be beyond 32 bits on either side */
  #pageAt(lo: number, hi: number, mode: number, runner: UnitRunner): CodePage | undefined {
    const carry = lo < 0 ? -1 : lo > 0xffff_ffff ? 1 : 0
    if (carry !== 0 && !this.#parts.instructionSet.isWide(mode)) return undefined
    return this.#parts.cache.pageOfSlots(runner.executeSlots(lo >>> 0, (hi + carry) >>> 0))
  }

  /** Another thread has compiled a place, or better code of a unit: its misses are counted from the start again. */
  #ready(record: number): void {
    const { u32 } = this.#memory
    const unit = this.#units.live.get(record)
    if (unit === undefined) {
      this.#early.add(record)
      u32[this.#counterOf(record)] = 1
    } else this.#watchBranches(unit.record)
  }

  // ---------------------------------------------------------------- a unit is to be better

  /** The computed branch by which a unit was left just now has often led out of it: compiles that anew with the places. */
  #missed(record: number, runner: UnitRunner): void {
    const { u32 } = this.#memory
    const branch = u32[(runner.state + this.#layout.record) >>> 2]!
    u32[this.#counterOf(branch)] = LATER
    const unit = this.#units.live.get(record >>> 0)
    const start = unit && this.#startOf(unit, runner)
    if (start === undefined || this.#units.isAwaited(unit!.record)) return
    this.#targets.learn(unit!, start)
    // Another unit with the same branch may have learnt its targets already.
    if (this.#targets.count(unit!) > targetCount(unit!)) this.#improve(unit!, start, runner)
  }

  /** A unit was left just now by an instruction that has missed the TLB. */
  #slow(record: number, runner: UnitRunner): void {
    const sites = this.#sites
    const unit = this.#units.live.get(record >>> 0)
    if (unit === undefined || this.#units.isAwaited(unit.record)) return
    const isOften = sites.count(this.#memory.u32[(runner.state + this.#layout.record) >>> 2]!)
    if (!isOften && unit.code.better === undefined) return
    const start = this.#startOf(unit, runner)
    const place = start && this.#placeOf(unit, start, runner)
    if (place === undefined || this.#units.adopt(unit, place, runner) || !isOften) return
    sites.change(unit.records)
    this.#improve(unit, start!, runner)
  }

  /** Returns the linear address of the first page of a unit that was just left; undefined if unknown. */
  #startOf(unit: LiveUnit, runner: UnitRunner): LinearPage | undefined {
    const { u16, u32 } = this.#memory
    const { slots, pageBase } = this.#layout
    const { state } = runner
    const delta = unit.deltas.get(u32[(state + slots) >>> 2]!)
    if (delta === undefined || u16[(unit.record + R_OP) >>> 1] !== OP_UNIT) return undefined
    const lo = u32[(state + pageBase) >>> 2]! - delta
    const hi = u32[(state + pageBase + 4) >>> 2]!
    const start = { lo, hi }
    return lo === lo >>> 0 && this.#placeOf(unit, start, runner) !== undefined ? start : undefined
  }

  /**
   * Returns the place at which a unit is entered; undefined if its page is no longer executed at this address.
   *
   * @param start - linear address of the first page of its code
   */
  #placeOf({ page, offset, deltas }: LiveUnit, start: LinearPage, runner: UnitRunner): Place | undefined {
    const lo = start.lo + deltas.get(page.slots)!
    const isThere = lo === lo >>> 0 && this.#pageAt(lo, start.hi, page.mode, runner) === page
    return isThere ? { lo, hi: start.hi, page, offset } : undefined
  }

  /** @param start - where the first page of the code of the unit lies */
  #improve(unit: LiveUnit, start: LinearPage, runner: UnitRunner): void {
    const place = this.#placeOf(unit, start, runner)
    if (place === undefined) return
    this.#units.improve(unit, place, runner, () => this.#find(place, runner))
    this.#watchBranches(unit.record)
  }

  /** Starts to count exits through a unit's computed branches. */
  #watchBranches(record: number): void {
    const { u32 } = this.#memory
    for (const branch of this.#units.live.get(record)!.branches.keys())
      u32[this.#counterOf(branch)] = this.#missThreshold
  }
}

/** Returns all that compiled code depends on beside the guest's bytes and the compiler itself. */
function configurationOf<Form>({ memory, code, countersAt, instructionSet }: JitParts<Form>): string {
  const { configuration } = instructionSet
  return JSON.stringify({
    ...{ format: CODE_FORMAT, configuration, countersAt },
    ...{ shared: memory.shared, firstEntry: code.tableEntries },
    // Units call the interpreter's functions by their entries, and its code reflects most of the compiler.
    interpreter: hashOf(code.bytes, 0, code.bytes.length, 0),
  })
}

/** Returns the number of computed-branch targets that a unit's code knows. */
function targetCount({ code }: LiveUnit): number {
  return code.branches.reduce((count, { targets }) => count + targets.length, 0)
}
