import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import type { CodeCache } from '../code-cache.ts'
import type { CodePage } from '../code-page.ts'
import type { InterpreterCode } from '../interpreter.ts'
import { R_LENGTH, R_WRITTEN } from '../record.ts'
import { compiledInstructions, type CompiledCode } from './code-marks.ts'
import { type CompileHelper, type HelpedUnit, RemoteCompiler } from './compile-helper.ts'
import { type CompileJob, jobOf } from './compile-job.ts'
import type { ComputedTargets } from './computed-targets.ts'
import { codeKey, type CodeSource, type UnitCode, isAsAssumed } from './unit-code.ts'
import type { MemorySites } from './memory-sites.ts'
import type { CompiledInstructionSet } from './instruction-set.ts'
import type { JitStatistics } from './jit-statistics.ts'
import type { FoundCode } from './region-discovery.ts'
import type { CompilerTarget, UnitCompiler } from './unit-compiler.ts'
import { type CodeStore, KeptCodes, unitModule } from './kept/kept-codes.ts'
import { UnitCodes } from './unit-codes.ts'
import { placeCode, type UnitPlacement } from './unit-placement.ts'
import type { LiveUnit, Place, UnitRunner } from './unit.ts'
import { Units } from './units.ts'

/** Largest unit, in instructions, that is inlined into units that lead to it. */
const LARGEST_COPIED = 80

/** Entries of the function tables that the functions have by which units are left. */
const LEAVE_ENTRIES = 2

/** The parts that {@link CompiledUnits} works with. */
export interface CompiledUnitsParts<Form> {
  readonly memory: MachineMemory
  readonly cache: CodeCache
  readonly compiler: UnitCompiler<Form>
  /** The interpreter, whose functions units call. */
  readonly code: InterpreterCode<Form>
  /** The instruction set of the code. */
  readonly instructionSet: CompiledInstructionSet<Form>
  /** The facts about accesses to memory. */
  readonly sites: MemorySites
  readonly targets: ComputedTargets
  readonly statistics: JitStatistics
  /** Bytes of kept modules. */
  readonly codeBytes: number
  readonly onCode: ((code: CompiledCode) => void) | undefined
  /** Another thread that compiles. */
  readonly helper: CompileHelper | undefined
  readonly target: CompilerTarget
  /** Called when another thread has compiled a place, or better code of a unit. @param record - record of the place, or the unit */
  onReady(record: number): void
  /** Called with the milliseconds that another thread has taken for a place. */
  onHelped(milliseconds: number): void
  /** Store of compiled code between runs. */
  readonly store: CodeStore | undefined
  /** Finds the code page that is executed at a distance from the page of a place. */
  pageAt(place: Place, delta: number, runner: UnitRunner): CodePage | undefined
}

/** A job, and facts that are noted with its code. */
interface PlacedJob<Form> {
  readonly job: CompileJob<Form>
  /** Linear address of the first page. */
  readonly address: bigint
  /** Machine frames of the pages. */
  readonly frames: readonly number[]
  /** Identity in the store of the code that the new code replaces. */
  readonly worse: number | undefined
}

/** The units, and the code that they execute. */
export class CompiledUnits<Form> {
  readonly #parts: CompiledUnitsParts<Form>
  /** The units by the records that they are entered by. */
  readonly live: ReadonlyMap<number, LiveUnit>
  /** The codes that processors may execute. */
  readonly codes: UnitCodes
  readonly #units: Units
  /** Entries of existing functions through which units leave. */
  readonly #leaveEntries = new Set<number>()
  readonly #kept: KeptCodes | undefined
  readonly #remote: RemoteCompiler<Form> | undefined
  /** Records of places, and of units, that another thread compiles. */
  readonly #compiling = new Set<number>()
  /** Records of places whose code another thread has compiled, until they execute it. */
  readonly #awaited = new Set<number>()
  /** Time of the last {@link CompiledUnits.makeRoom}. */
  #time = 0

  /** Makes an empty set. */
  constructor(parts: CompiledUnitsParts<Form>) {
    this.#parts = parts
    this.#units = new Units(parts.memory)
    this.live = this.#units.byRecord
    this.codes = new UnitCodes(parts.code.tableEntries + LEAVE_ENTRIES)
    this.#kept = parts.store && new KeptCodes(parts.store)
    const { helper, instructionSet, target } = parts
    this.#remote = helper && new RemoteCompiler(helper, instructionSet, target, () => this.#compiling.clear())
  }

  /**
   * Returns whether a record's unit is not inlined into another one: it is large, and does not lead back to the other's
   * start. Two units with edges both ways would split a loop, each round of which would switch units.
   */
  isApart(record: number, { slots }: CodePage, offset: number): boolean {
    const unit = this.live.get(record)
    if (unit === undefined || unit.code.instructions.at.length <= LARGEST_COPIED) return false
    const delta = unit.deltas.get(slots)
    return delta === undefined || !unit.code.instructions.at.includes(delta + offset)
  }

  /** Returns whether code for the bytes at a record may exist already. */
  isKnown(page: CodePage, offset: number, record: number): boolean {
    if (this.#kept === undefined && !this.codes.isAt(offset)) return false
    const key = this.#keyOf(page, offset, record)
    return this.codes.of(key).length > 0 || this.#kept?.store.has(key) === true
  }

  #keyOf(page: CodePage, offset: number, record: number): number {
    const { u8 } = this.#parts.memory
    const at = page.frame * PAGE_BYTES + offset
    return codeKey(page.mode, offset, u8, at, at + u8[record + R_LENGTH]!)
  }

  /**
   * Makes a place execute existing code that was compiled from the same bytes, if any.
   *
   * @param record - record of the instruction at the place
   * @param time - for {@link CompiledUnits.makeRoom}
   * @returns the unit's record; 0 if no such code exists
   */
  revive(place: Place, record: number, runner: UnitRunner, time: number): number {
    const { page, offset } = place
    const key = this.#keyOf(page, offset, record)
    for (const code of this.codes.of(key).toReversed()) {
      const unit = this.#begins(code, place, runner) ? this.#install(code, place, record, runner) : 0
      if (unit === 0) continue
      if (!this.#awaited.delete(record)) this.#parts.statistics.own.revived++
      return unit
    }
    return this.#kept?.store.has(key) === true && this.makeRoom(time)
      ? this.#load(this.#kept, key, place, record, runner)
      : 0
  }

  /** Whether code may begin at a place: different places may have one key. */
  #begins({ offset, mode, assumptions }: CodeSource, { page, offset: at }: Place, runner: UnitRunner): boolean {
    return offset === at && mode === page.mode && isAsAssumed(this.#parts.memory, assumptions, runner.state)
  }

  /** As {@link CompiledUnits.revive}, by code that an earlier run has kept. */
  #load(kept: KeptCodes, key: number, place: Place, record: number, runner: UnitRunner): number {
    const isThere = (id: number): boolean => this.codes.of(key).some(({ stored }) => stored === id)
    for (const { id, source, module } of kept.load(key, isThere)) {
      if (!this.#begins(source, place, runner) || this.#place(source, place, runner) === undefined) continue
      this.#installLeave(source.mode)
      let code: UnitCode
      try {
        code = this.codes.add(unitModule(module), module.length, source, id)
      } catch {
        // The module may have other imports than units have.
        kept.store.drop(id)
        continue
      }
      const unit = this.#install(code, place, record, runner)
      if (unit === 0) continue
      this.#parts.statistics.own.loaded++
      return unit
    }
    return 0
  }

  /**
   * Compiles a place.
   *
   * @returns the record of its unit; 0 where decoded instructions have no room, or the code has changed, or another thread compiles it
   */
  compile(found: FoundCode<Form>, place: Place, record: number, runner: UnitRunner): number {
    const job = this.#jobOf(found, place, runner)
    if (job === undefined) return 0
    if (!this.hasHelper) return this.#install(this.#compileHere(job), place, record, runner)
    this.#compileThere(job, record, () => this.#awaited.add(record))
    return 0
  }

  /** Makes a unit execute better code: another place's, or else new code. */
  improve(unit: LiveUnit, place: Place, runner: UnitRunner, find: () => FoundCode<Form> | undefined): void {
    if (this.adopt(unit, place, runner)) return
    const found = find()
    const old = unit.code
    const job = found && this.#jobOf(found, place, runner, old)
    if (job === undefined) return
    if (this.hasHelper) {
      this.#compileThere(job, unit.record, (code) => {
        this.codes.replace(old, code)
      })
      return
    }
    const code = this.#compileHere(job)
    if (this.#change(unit, code, place, runner)) this.codes.replace(old, code)
    this.#count()
  }

  /** Whether another thread compiles a place, or better code of a unit. @param record - record of the place, or the unit */
  isAwaited(record: number): boolean {
    return this.#compiling.has(record)
  }

  /** Makes a unit execute better code that there is. @returns false if there is none for the place */
  adopt(unit: LiveUnit, place: Place, runner: UnitRunner): boolean {
    const known = this.codes.latest(unit.code)
    if (known === unit.code) return false
    return isAsAssumed(this.#parts.memory, known.assumptions, runner.state) && this.#change(unit, known, place, runner)
  }

  /** A place will be compiled soon. */
  prepare(): void {
    this.#remote?.prepare()
  }

  /** Whether another thread compiles. */
  get hasHelper(): boolean {
    return this.#remote?.isThere === true
  }

  /** Takes the code that another thread has compiled by now. */
  look(): void {
    this.#remote?.look()
  }

  /** Whether another thread has too much to do to compile a further place. */
  get isBusy(): boolean {
    return this.#remote?.isBusy === true
  }

  /** @param worse - code that the new code replaces @returns undefined if the bytes have changed since they were decoded */
  #jobOf(
    found: FoundCode<Form>,
    { lo, hi, page }: Place,
    runner: UnitRunner,
    worse?: UnitCode,
  ): PlacedJob<Form> | undefined {
    const { memory, cache, onCode } = this.#parts
    const instructions = found.copyInstructions(memory, cache)
    if (instructions === undefined) return undefined
    const given = { leaveEntry: this.#leaveEntry(page.mode), isNoted: onCode !== undefined, instructions }
    return {
      job: jobOf(found, this.#parts, runner.state, given),
      address: (BigInt(hi) << 32n) | BigInt(lo),
      frames: found.pages.map((each) => each.page.frame),
      worse: worse?.stored,
    }
  }

  #compileHere(placed: PlacedJob<Form>): UnitCode {
    const unit = this.#parts.compiler.compile(placed.job)
    this.#remote?.skip()
    return this.#add(placed, { ...unit, compiled: new WebAssembly.Module(unit.module as Uint8Array<ArrayBuffer>) })
  }

  /** @param done - called with the code once it is compiled, unless records were dropped meanwhile */
  #compileThere(placed: PlacedJob<Form>, record: number, done: (code: UnitCode) => void): void {
    const { statistics, cache } = this.#parts
    const { flushes } = cache
    this.#compiling.add(record)
    this.#remote!.compile(placed.job, ({ unit, milliseconds }) => {
      const isThere = cache.flushes === flushes
      if (isThere) this.#compiling.delete(record)
      this.#parts.onHelped(milliseconds)
      if (typeof unit === 'string') return statistics.noteFailure(unit)
      if (!this.makeRoom(this.#time)) return
      try {
        const code = this.#add(placed, unit)
        statistics.own.helped++
        if (!isThere) return
        done(code)
        this.#parts.onReady(record)
      } catch (error) {
        statistics.noteFailure(String(error))
      }
    })
  }

  #add({ job, address, frames, worse }: PlacedJob<Form>, unit: HelpedUnit): UnitCode {
    const { statistics, onCode } = this.#parts
    const { compiled, module, source, marks } = unit
    this.#installLeave(source.mode, unit.leave)
    const stored = this.#kept?.add(source, module, worse)
    const code = this.codes.add(compiled, module.length, source, stored)
    statistics.own.units++
    for (const [i, at] of job.at.entries()) statistics.noteInstruction(frames[job.page[i]!]!, at & (PAGE_BYTES - 1))
    statistics.own.bytes += module.length
    const instructions = compiledInstructions(source.instructions, address)
    onCode?.({ module, mode: source.mode, instructions, marks })
    return code
  }

  /** Returns the entry of a mode's function through which units leave: equal in all runs, because kept code names it. */
  #leaveEntry(mode: number): number {
    const { code, instructionSet } = this.#parts
    return code.tableEntries + (instructionSet.isWide(mode) ? 1 : 0)
  }

  /** Installs the function at {@link CompiledUnits.#leaveEntry}, unless it exists. @param made - its module, made elsewhere */
  #installLeave(mode: number, made?: object): void {
    const { compiler, instructionSet } = this.#parts
    const entry = this.#leaveEntry(mode)
    if (this.#leaveEntries.has(entry)) return
    const module = made ?? compiler.compileLeave(instructionSet.isWide(mode))
    this.codes.addLasting(module, entry)
    this.#leaveEntries.add(entry)
  }

  #place(code: CodeSource, place: Place, runner: UnitRunner): UnitPlacement | undefined {
    const { memory, cache } = this.#parts
    return placeCode(memory, cache, code, (delta) => this.#parts.pageAt(place, delta, runner))
  }

  #install(code: UnitCode, place: Place, record: number, runner: UnitRunner): number {
    const placed = this.#place(code, place, runner)
    if (placed === undefined) return 0
    const { page, offset } = place
    const at = this.#parts.cache.addUnit(placed.parts, offset, record, code.entry, placed.words)
    if (at === 0) return 0
    const pages = placed.pages.map((each) => each.page)
    this.codes.take(code)
    this.#units.add({ record: at, page, offset, pages, code, idle: 0, ...describe(code, placed) })
    this.#learn(code, placed)
    return at
  }

  /** Makes a unit execute other code. @returns false if currently impossible */
  #change(unit: LiveUnit, code: UnitCode, place: Place, runner: UnitRunner): boolean {
    const placed = this.#place(code, place, runner)
    const { cache } = this.#parts
    if (placed === undefined || !cache.changeUnit(unit.record, code.entry, placed.words)) return false
    cache.extendUnit(unit.record, placed.parts)
    const further = placed.pages.map(({ page }) => page).filter((page) => !unit.pages.includes(page))
    this.codes.take(code)
    this.codes.release(unit.code, true)
    Object.assign(unit, { code, pages: [...unit.pages, ...further], ...describe(code, placed) })
    this.#learn(code, placed)
    return true
  }

  /** Learns of a unit's instructions the facts that were known when the code was compiled. */
  #learn(code: UnitCode, { firsts, owns }: UnitPlacement): void {
    const { targets, sites } = this.#parts
    const { recordPositions, branches, actions } = code
    for (const { at, targets: known } of branches) targets.adopt(owns[recordPositions.indexOf(at)]!, known)
    for (const [at, action] of actions) {
      const record = firsts[recordPositions.indexOf(at)]
      if (record !== undefined) sites.adopt(record, action)
    }
    this.#count()
  }

  #count(): void {
    const { own } = this.#parts.statistics
    own.live = this.live.size
    own.liveBytes = this.codes.bytes - this.codes.keptBytes
    own.keptBytes = this.codes.keptBytes
  }

  /** Removes units whose code was overwritten. @returns the written frames */
  sweep(): ReadonlySet<number> {
    const { memory, cache } = this.#parts
    // There are hundreds of units, and hardly ever has one ended since the last time.
    const swept = cache.unitCount === this.live.size ? [] : this.#units.sweep()
    this.#release(swept)
    return new Set(swept.map(({ record }) => memory.u32[(record + R_WRITTEN) >>> 2]!))
  }

  /** Removes all units, because their records are gone. Their code is kept. */
  clear(): void {
    this.#release(this.#units.clear())
    this.#compiling.clear()
    this.#awaited.clear()
  }

  #release(units: readonly LiveUnit[]): void {
    for (const { code } of units) this.codes.release(code, true)
    this.#count()
  }

  /** Drops unused code, then cold units, until there is room. @returns false if all are in use */
  makeRoom(time: number): boolean {
    const { codeBytes, cache, statistics } = this.#parts
    this.#time = time
    // Age units even while there is room, so that idle ones are known when room runs out.
    this.#units.age(time)
    while (this.codes.bytes >= codeBytes || this.codes.isFull()) {
      if (this.codes.dropOldest()) continue
      const unit = this.#units.evict()
      if (unit === undefined) return false
      cache.removeUnit(unit.record)
      this.codes.release(unit.code, false)
      statistics.own.evictions++
    }
    return true
  }
}

type UnitDetails = Pick<LiveUnit, 'branches' | 'deltas' | 'records'>

/** Returns the details of a unit. */
function describe({ branches, recordPositions }: UnitCode, { pages, firsts, owns }: UnitPlacement): UnitDetails {
  return {
    branches: new Map(branches.map((branch) => [owns[recordPositions.indexOf(branch.at)]!, branch])),
    deltas: new Map(pages.map(({ page, delta }) => [page.slots, delta])),
    records: firsts,
  }
}
