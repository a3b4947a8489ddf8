import { crc32 } from '@retrap/basics'
import { type CrashInterval, crashIntervals, type CrashState, crashStates } from './crash-states.ts'
import { type DiskPages, pagesAfter } from './disk.ts'
import { type CheckRun, type CrashLane, type DiskCheck, LanePool, type WorkRun } from './lanes/lane.ts'
import { kindOf, needed } from './reduce.ts'
import { Properties, readReport } from './reports.ts'

/** A state that the check does not stand, with as few lost writes as were found. */
export interface CrashLoss extends CrashState {
  /** A sentence. */
  readonly failure: string
  /** See `CheckRun`. */
  readonly output: readonly string[]
}

/** An interval between two flushes after a crash test. */
export interface CrashedInterval extends CrashInterval {
  /** The number of its states that were looked at. */
  readonly states: number
  /** Absent: all of them held. */
  readonly loss?: CrashLoss
}

/** Options of {@link exploreCrashes}. */
export interface CrashesOptions {
  /** The check, and its machine. */
  readonly check: DiskCheck
  /** Decides which states are drawn. */
  readonly seed: number
  /** The bytes that the disk writes as a whole: 512, or 4,096. */
  readonly tearBytes: number
  /** Asked before each state whether there is to be another one. */
  readonly goesOn: () => boolean
  /** Ends the test. */
  readonly signal: AbortSignal
  /** Called once the work has ended. @param states - how many states there are */
  readonly onWork: (work: WorkRun, states: number) => void
  /** Called with each state that was looked at. @param failure - undefined: it held */
  readonly onState: (state: CrashState, failure: string | undefined) => void
}

/** The result of a crash test. */
export interface CrashesReport {
  /** The work, without a crash. */
  readonly work: WorkRun
  /** In their order. */
  readonly intervals: readonly CrashedInterval[]
  /** The states that were looked at, and different disks among them. */
  readonly states: number
  /** See `states`. */
  readonly disks: number
  /** The states for which no time was left. */
  readonly leftOut: number
}

/**
 * Runs the drivers of a machine once, and checks its disk as crashes would have left it. Equal disks are checked once.
 *
 * @param lanes - of this machine, at least one; they are closed at the end
 * @throws errors of a lane
 */
export async function exploreCrashes(lanes: readonly CrashLane[], options: CrashesOptions): Promise<CrashesReport> {
  try {
    const work = await lanes[0]!.work()
    return await new CrashSearch(work, new LanePool(lanes), options).run(lanes.length)
  } finally {
    for (const lane of lanes) lane.close()
  }
}

class CrashSearch {
  readonly #work: WorkRun
  readonly #pool: LanePool<CrashLane>
  readonly #options: CrashesOptions
  readonly #intervals: readonly CrashInterval[]
  readonly #keyOf = diskKeys()
  readonly #known = new Map<string, Promise<CheckRun>>()
  readonly #losses = new Map<CrashInterval, CrashLoss>()
  readonly #states = new Map<CrashInterval, number>()
  #leftOut = 0

  constructor(work: WorkRun, pool: LanePool<CrashLane>, options: CrashesOptions) {
    this.#work = work
    this.#pool = pool
    this.#options = options
    this.#intervals = crashIntervals(work.log, work.result.ns)
  }

  async run(workers: number): Promise<CrashesReport> {
    const { onWork } = this.#options
    const all = (): Generator<CrashState> => {
      const { seed, tearBytes } = this.#options
      return crashStates(this.#work.log, this.#intervals, seed, tearBytes)
    }
    onWork(this.#work, [...all()].length)
    if (this.#work.result.failure === undefined) {
      const states = all()
      await Promise.all(Array.from({ length: workers }, () => this.#look(states)))
      await this.#reduce()
    }
    return {
      work: this.#work,
      intervals: this.#intervals.map((interval) => {
        const loss = this.#losses.get(interval)
        return { ...interval, states: this.#states.get(interval) ?? 0, ...(loss && { loss }) }
      }),
      states: [...this.#states.values()].reduce((sum, count) => sum + count, 0),
      disks: this.#known.size,
      leftOut: this.#leftOut,
    }
  }

  /** Looks at one state after another, which others take from, too. */
  async #look(states: Iterable<CrashState>): Promise<void> {
    const { goesOn, signal, onState } = this.#options
    for (const state of states) {
      const { interval, lost } = state
      const least = this.#losses.get(interval)?.lost.length ?? Infinity
      // Fewer writes than these are to be found.
      if (least <= lost.length) continue
      if (signal.aborted || !goesOn()) this.#leftOut++
      else {
        const loss = await this.#lossOf(state)
        if (signal.aborted) continue
        this.#states.set(interval, (this.#states.get(interval) ?? 0) + 1)
        onState(state, loss?.failure)
        if (loss !== undefined && lost.length < (this.#losses.get(interval)?.lost.length ?? Infinity))
          this.#losses.set(interval, loss)
      }
    }
  }

  /** Has losses need as few writes as possible: the first one of each kind, and the others as long as there is time. */
  async #reduce(): Promise<void> {
    const { goesOn, signal } = this.#options
    const kinds = new Set<string | undefined>()
    for (const [interval, loss] of this.#losses) {
      const kind = kindOf(loss.failure)
      if (signal.aborted || (kinds.has(kind) && !goesOn())) continue
      kinds.add(kind)
      await needed(loss.lost, async (lost) => {
        const less = signal.aborted ? undefined : await this.#lossOf({ interval, lost })
        if (kindOf(less?.failure) !== kind || signal.aborted) return false
        this.#losses.set(interval, less!)
        return true
      })
    }
  }

  async #lossOf(state: CrashState): Promise<CrashLoss | undefined> {
    const { from, until, ns } = state.interval
    const pages = pagesAfter(this.#work.log, from, until, state.lost)
    const key = this.#keyOf(pages)
    const run = this.#known.get(key) ?? this.#pool.use((lane) => lane.check(pages, this.#options.check))
    this.#known.set(key, run)
    const found = await run
    const failure = this.#judge(found, ns)
    return failure === undefined ? undefined : { ...state, failure, output: found.output }
  }

  /** @param ns - the instant of the crash, until which promises were made @returns a sentence; undefined: all holds */
  #judge({ code, reports }: CheckRun, ns: number): string | undefined {
    const { machine } = this.#options.check
    const properties = new Properties()
    const promised = this.#work.reports.filter((one) => one.ns <= ns).map(({ text }) => readReport(text))
    for (const report of promised) if (report?.kind === 'promised') properties.note(report, machine)
    let failure: string | undefined
    for (const text of reports) {
      const report = readReport(text)
      if (report !== undefined) failure ??= properties.note(report, machine)
    }
    return failure ?? (code === undefined ? 'check did not end' : code === 0 ? undefined : `check ended with ${code}`)
  }
}

/** Returns a function that identifies a disk by its contents: equal pages have equal numbers in its result. */
function diskKeys(): (pages: DiskPages) => string {
  const known = new WeakMap<Uint8Array, number>()
  const byChecksum = new Map<number, { readonly page: Uint8Array; readonly number: number }[]>()
  let count = 0
  const numberOf = (page: Uint8Array): number => {
    const before = known.get(page)
    if (before !== undefined) return before
    const sum = crc32(page)
    const alike = byChecksum.get(sum) ?? []
    const same = alike.find((one) => one.page.every((byte, i) => byte === page[i]))
    const number = same?.number ?? count++
    if (same === undefined) byChecksum.set(sum, [...alike, { page, number }])
    known.set(page, number)
    return number
  }
  return (pages) => {
    const sorted = [...pages].toSorted(([one], [other]) => one - other)
    return sorted.map(([at, page]) => `${at}:${numberOf(page)}`).join()
  }
}
