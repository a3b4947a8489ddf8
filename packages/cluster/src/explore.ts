import { type ClusterOptions, STOPPED } from './cluster.ts'
import type { ClusterDescription } from './description.ts'
import { drawStretch, faultsOf, type Stretch } from './draw-faults.ts'
import { derivedSeed, Draws } from './draws.ts'
import type { Fault } from './faults.ts'
import type { Lane, StretchRun } from './lanes/lane.ts'
import { kindOf, needed } from './reduce.ts'
import { Properties, type Property } from './reports.ts'
import type { ClusterResult } from './result.ts'

/** A path that fails. */
export interface Finding {
  /** The number of the state: how many were reached until then, this one included. */
  readonly state: number
  /** The stretches, with the faults without which the run does not fail so. */
  readonly path: readonly Stretch[]
  /** All is mended at the end of the path, and the check fails then; or the path itself fails. */
  readonly mended: boolean
  /** The end of the path, with all of its faults. */
  readonly result: ClusterResult
  /** The failure that comes by the path: the same property or program as that of the result, maybe with other details. */
  readonly failure: string
}

/** A state that was reached. */
export interface StateTold {
  /** From 1. */
  readonly state: number
  /** The number of the state that it was reached from; 0: the one at which all is ready. */
  readonly from: number
  /** The path to it. */
  readonly path: readonly Stretch[]
  /** The end of the path. */
  readonly result: ClusterResult
  /** The count of all that only this state has reached. */
  readonly news: number
  /** The count of stretches that have reached the rarest feature of this one. */
  readonly rarest: number
}

/** Options of {@link explore}. */
export interface ExploreOptions extends Pick<ClusterOptions, 'signal'> {
  /** Asked before each stretch whether there is to be another one; a failure is reduced in any case. */
  readonly goesOn: () => boolean
  /** The most stretches; default any number. */
  readonly states?: number
  /** Whether to go on after a failure. Of failures of a kind the first one is a finding. */
  readonly keepsGoing?: boolean
  /** Called with each state, in their order. */
  readonly onState?: (state: StateTold) => void
  /** Called with the end of each state that was mended. */
  readonly onMended?: (state: number, result: ClusterResult) => void
  /** Called with each try to fail by a shorter path, or with fewer faults. @param isSame - it fails as the finding did */
  readonly onTry?: (path: readonly Stretch[], result: ClusterResult, isSame: boolean) => void
}

/** The trees that are grown, on however many lanes. */
export const TREES = 4
/** The stretches of a tree in a round, whose features all trees know in the next round. The first rounds have one and two. */
const OF_ROUND = 4
/** The length of a stretch. */
const LEAST_NS = 1e9
const MOST_NS = 4e9

/** A state that may be gone on from. */
interface Known {
  readonly state: number
  readonly tree: number
  readonly path: readonly Stretch[]
  /** From the instant at which faults begin. */
  readonly ns: number
  /** All that its last stretch has reached. */
  readonly reached: readonly string[]
  chosen: number
}

interface Planned {
  readonly tree: number
  readonly from: Known
  readonly path: readonly Stretch[]
}

/** A path that has failed. */
interface Failed {
  readonly state: number
  readonly tree: number
  readonly path: readonly Stretch[]
  readonly mended: boolean
  readonly result: ClusterResult
}

/**
 * Grows trees of states from the instant at which all is ready. A state is chosen, and gone on from in a stretch of 1 to 4 s, with faults of
 * its own. Its end is kept if something new has come: a line's shape, an edge between two, a property, a number, code of programs; or
 * if its tree would keep none of a round. After each round every tree has one of its states mended and checked in a fork, and after the last round all of them. States with rare
 * features, deep states and seldom chosen ones are chosen more often. All follows from the seed, and neither from the lanes nor from their
 * memory. The first failure is reduced: to a shorter path, then to fewer faults.
 *
 * Source: Ecoffet and others, "First return, then explore" (2021), the choice by counts; Böhme, Pham and Roychoudhury, "Coverage-based
 * Greybox Fuzzing as Markov Chain" (2016), the rarity.
 *
 * @param lanes - of this description and seed, at least one; they are closed at the end
 * @returns the failures, the count of different states, and the properties that programs have reported in all of them
 * @throws errors of a lane
 */
export async function explore(
  description: ClusterDescription,
  seed: number,
  lanes: readonly Lane[],
  options: ExploreOptions,
): Promise<{
  readonly findings: readonly Finding[]
  readonly states: number
  readonly properties: readonly Property[]
}> {
  try {
    return await new Explorer(description, seed, lanes, options).run()
  } finally {
    for (const lane of lanes) lane.close()
  }
}

class Explorer {
  readonly #description: ClusterDescription
  readonly #seed: number
  readonly #lanes: readonly Lane[]
  readonly #options: ExploreOptions
  readonly #trees: Known[][]
  /** How many stretches have reached a feature. */
  readonly #seen = new Map<string, number>()
  readonly #marks = new Set<string>()
  readonly #properties = new Properties()
  readonly #findings: Finding[] = []
  #unmended: Known[] = []
  #stretches = 0
  #states = 0

  constructor(description: ClusterDescription, seed: number, lanes: readonly Lane[], options: ExploreOptions) {
    this.#description = description
    this.#seed = seed
    this.#lanes = lanes
    this.#options = options
    this.#trees = Array.from({ length: TREES }, (_, tree) => [
      { state: 0, tree, path: [], ns: 0, reached: [], chosen: 0 },
    ])
  }

  async run() {
    const { keepsGoing = false, states = Infinity } = this.#options
    for (
      let each = 1;
      this.#goesOn && this.#stretches < states && (keepsGoing || this.#findings.length === 0);
      each = Math.min(2 * each, OF_ROUND)
    ) {
      const planned = this.#plan(Math.min(TREES * each, states - this.#stretches))
      const runs = await this.#inLanes(planned, (lane, { path }) => lane.stretch(path))
      const failed: Failed[] = []
      const kept = new Set<number>()
      for (const [i, run] of runs.entries()) {
        const one = planned[i]!
        // A tree goes on in time even where nothing is new: what a fault leads to may be seen later than in its stretch.
        const isWanted = i >= planned.length - TREES && !kept.has(one.tree)
        if (run !== undefined && this.#note(one, run, isWanted, failed)) kept.add(one.tree)
      }
      const rest = this.#stretches < states ? this.#rarestUnmended() : this.#unmended
      const chosen = keepsGoing || failed.length === 0 ? rest : []
      this.#unmended = this.#unmended.filter((one) => !chosen.includes(one))
      const ends = await this.#inLanes(chosen, (lane, { path }) => lane.mend(path))
      for (const [i, run] of ends.entries()) if (run !== undefined) this.#noteMended(chosen[i]!, run, failed)
      for (const one of failed) await this.#find(one)
    }
    return { findings: this.#findings, states: this.#states, properties: this.#properties.all }
  }

  get #isStopped(): boolean {
    return this.#options.signal?.aborted === true
  }

  get #goesOn(): boolean {
    return !this.#isStopped && this.#options.goesOn()
  }

  /** Decides on a round. */
  #plan(count: number): Planned[] {
    const { faults } = this.#description
    return Array.from({ length: count }, (_, i) => {
      const number = ++this.#stretches
      const tree = i % TREES
      const draws = new Draws(derivedSeed(this.#seed, `tree ${tree}`), `choice ${number}`)
      const from = this.#choose(this.#trees[tree]!, draws)
      from.chosen++
      const left = faults.for - from.ns
      const length = Math.round(LEAST_NS + draws.fraction() * (MOST_NS - LEAST_NS))
      const lasts = left - length < LEAST_NS ? left : length
      return {
        tree,
        from,
        path: [...from.path, drawStretch(this.#description, this.#seed, { number, for: lasts }, from.ns)],
      }
    })
  }

  #choose(tree: readonly Known[], draws: Draws): Known {
    const weights = tree.map(({ path, ns, reached, chosen }) =>
      ns < this.#description.faults.for ? (1 + path.length) / Math.sqrt((1 + chosen) * this.#rarestOf(reached)) : 0,
    )
    let at = draws.fraction() * weights.reduce((sum, weight) => sum + weight)
    return tree[weights.findIndex((weight) => (at -= weight) < 0)] ?? tree[0]!
  }

  /** How many stretches have reached the rarest of some features. */
  #rarestOf(reached: readonly string[]): number {
    return reached.reduce((least, what) => Math.min(least, this.#seen.get(what)!), this.#stretches || 1)
  }

  /** Does something for each plan, in the lane of its tree: a lane has whole trees. @returns undefined for each one that time was lacking for; none after the first failure that ends all */
  async #inLanes<T extends { readonly tree: number }>(
    all: readonly T[],
    act: (lane: Lane, one: T) => Promise<StretchRun>,
  ): Promise<(StretchRun | undefined)[]> {
    const runs: (StretchRun | undefined)[] = all.map(() => undefined)
    let last = all.length
    const inLane = async (lane: Lane, number: number): Promise<void> => {
      for (const [i, one] of all.entries()) {
        if (one.tree % this.#lanes.length !== number || !this.#goesOn || i > last) continue
        const run = await act(lane, one)
        // A stretch that was stopped has no end. Others may have failed before.
        if (run.result.failure === STOPPED) continue
        runs[i] = run
        // The first failure ends the round, whatever other lanes have done since.
        if (run.result.failure !== undefined && this.#options.keepsGoing !== true) last = Math.min(last, i)
      }
    }
    await Promise.all(this.#lanes.map(inLane))
    return runs.slice(0, last + 1)
  }

  /** Takes note of a stretch. @param isWanted - its end is kept though nothing is new @returns whether its end is kept */
  #note(
    { tree, from, path }: Planned,
    { result, properties, reached, mark }: StretchRun,
    isWanted: boolean,
    failed: Failed[],
  ): boolean {
    const isKnown = this.#marks.has(mark)
    this.#marks.add(mark)
    if (!isKnown) this.#states++
    const news = reached.filter((what) => !this.#seen.has(what)).length
    for (const what of reached) this.#seen.set(what, (this.#seen.get(what) ?? 0) + 1)
    this.#properties.add(properties)
    const state = this.#states
    const rarest = this.#rarestOf(reached)
    this.#options.onState?.({ state, from: from.state, path, result, news, rarest })
    const ns = from.ns + path.at(-1)!.for
    if (result.failure !== undefined) failed.push({ state, tree, path, mended: false, result })
    else if (!isKnown && (isWanted || news > 0 || ns >= this.#description.faults.for)) {
      const known: Known = { state, tree, path, ns, reached, chosen: 0 }
      this.#trees[tree]!.push(known)
      this.#unmended.push(known)
      return true
    }
    this.#lanes[tree % this.#lanes.length]!.release(path)
    return false
  }

  /** Of each tree the unmended state with the rarest feature: to mend one costs as much as some stretches. */
  #rarestUnmended(): readonly Known[] {
    const first = new Map<number, Known>()
    for (const one of this.#unmended) {
      const best = first.get(one.tree) ?? one
      first.set(one.tree, this.#rarestOf(one.reached) <= this.#rarestOf(best.reached) ? one : best)
    }
    return [...first.values()]
  }

  /** Takes note of a state that was mended. */
  #noteMended({ state, tree, path, ns }: Known, { result, properties }: StretchRun, failed: Failed[]): void {
    this.#properties.add(properties)
    const whole = { ...result, faults: faultsOf(path) }
    this.#options.onMended?.(state, whole)
    if (result.failure !== undefined) failed.push({ state, tree, path, mended: true, result: whole })
    else if (ns < this.#description.faults.for) return
    this.#trees[tree] = this.#trees[tree]!.filter((one) => one.path !== path)
    this.#lanes[tree % this.#lanes.length]!.release(path)
  }

  /** Reduces a failure, unless one of its kind was found before. */
  async #find({ state, tree, path, mended, result }: Failed): Promise<void> {
    const { keepsGoing = false, onTry } = this.#options
    const kind = kindOf(result.failure)
    if (this.#findings.some((one) => kindOf(one.failure) === kind) || (this.#findings.length > 0 && !keepsGoing)) return
    let failure = result.failure!
    const runs = new Map<string, Promise<StretchRun>>()
    const attempt = (some: readonly Stretch[], away: number): Promise<StretchRun> => {
      const key = JSON.stringify(some)
      const lane = this.#lanes[(tree + away) % this.#lanes.length]!
      const run = runs.get(key) ?? (mended || some.length === 0 ? lane.mend(some) : lane.stretch(some))
      run.catch(() => undefined)
      runs.set(key, run)
      return run
    }
    const fails = async (some: readonly Stretch[], next: readonly Stretch[] | undefined): Promise<boolean> => {
      if (this.#isStopped) return false
      const run = attempt(some, 0)
      // Another lane tries the list that follows if this one does not fail so.
      if (next !== undefined && this.#lanes.length > 1) void attempt(next, 1)
      const { result: again } = await run
      if (this.#isStopped) return false
      const isSame = kindOf(again.failure) === kind
      onTry?.(some, again, isSame)
      if (isSame) failure = again.failure!
      return isSame
    }
    const shorter = await needed(path, fails)
    const all = shorter.flatMap(({ faults }, at) => faults.map((fault) => ({ at, fault })))
    const withFaults = (some: readonly { readonly at: number; readonly fault: Fault }[]): readonly Stretch[] =>
      shorter.map((stretch, i) => ({ ...stretch, faults: some.flatMap(({ at, fault }) => (at === i ? [fault] : [])) }))
    const some = await needed(all, (fewer, next) => fails(withFaults(fewer), next && withFaults(next)))
    this.#findings.push({ state, path: withFaults(some), mended, result, failure })
  }
}
