// What units cost before they execute: processor time of all threads, and the machine code that V8 makes of them.
import { type Run, WHOLE } from '../marked-guest.ts'
import { EMISSION } from '../where/classes.ts'
import type { UnitBytes } from '../where/code-map.ts'
import { type Profile, profileByPerf, runWithMap } from '../where/profile.ts'
import { countsOf } from './counts.ts'

type Command = readonly [string, readonly string[]]

/** Samples a second of runs that are measured for emission alone. */
const RATE = 499
const V8_THREADS = /V8Worker/
/** The names of what emission consists of, in the order in which they are printed. */
const PARTS: readonly (readonly [title: string, class_: string])[] = [
  ['our compiler', EMISSION.compiler],
  ['TurboFan', EMISSION.turbofan],
  ['Liftoff', EMISSION.liftoff],
  ['modules and instances', EMISSION.instances],
  ['collection', EMISSION.collection],
]

/** Seconds of what emission consists of, by their names. */
type Parts = ReadonlyMap<string, number>

/** Calls a function with the command that boots a guest with `--jit off`. */
export type WithInterpreter = (use: (command: Command) => Promise<Parts>) => Promise<Parts>

/** What the units of a run have cost. */
export interface Emission {
  /** Guest instructions that were compiled, and those of them that were compiled for the first time. */
  readonly emitted: number
  readonly distinct: number
  readonly parts: Parts
  readonly bytes: UnitBytes
}

/** Measures emission, in runs of its own: a profiler makes them slower. */
export class EmissionMeter {
  readonly #isPerf: boolean
  readonly #withInterpreter: WithInterpreter
  #base: Parts | undefined

  /**
   * @param isPerf - whether perf may run
   * @param withInterpreter - builds a guest that only boots: what V8 spends there on the same things is left out
   */
  constructor(isPerf: boolean, withInterpreter: WithInterpreter) {
    this.#isPerf = isPerf
    this.#withInterpreter = withInterpreter
  }

  /** Measures a run. */
  async measure(command: Command): Promise<Emission> {
    this.#base ??= await this.#withInterpreter(async (boot) => this.#partsOf(await this.#profile(boot)))
    const profile = await this.#profile(command)
    const { compiled: emitted, distinct } = countsOf(profile.run.stderr)
    const base = this.#base
    const parts = [...this.#partsOf(profile)].map(
      ([title, seconds]) => [title, Math.max(0, seconds - (base.get(title) ?? 0))] as const,
    )
    return {
      emitted,
      distinct,
      parts: new Map(parts),
      bytes: profile.unitBytes ?? { liftoff: 0, turbofan: 0, optimized: 0 },
    }
  }

  #profile(command: Command): Promise<Profile> {
    return this.#isPerf ? profileByPerf({ command, rate: RATE }) : runWithMap(command)
  }

  #partsOf({ run, classes }: Profile): Parts {
    if (this.#isPerf) return new Map(PARTS.map(([title, name]) => [title, classes.of(name)]))
    return new Map([
      ['our compiler, modules and instances', countsOf(run.stderr).milliseconds / 1000],
      [`V8's threads`, threadsOfV8(run)],
    ])
  }
}

/** Seconds of processor time of V8's own threads, which optimise code and collect garbage. */
const threadsOfV8 = ({ spans }: Run): number =>
  [...(spans.get(WHOLE)?.threads ?? [])].reduce((sum, [name, time]) => sum + (V8_THREADS.test(name) ? time : 0), 0)

/** The lines of one run's emission, or of several together. */
export function describeEmission(title: string, all: readonly Emission[]): readonly string[] {
  const sum = (of: (emission: Emission) => number): number => all.reduce((n, emission) => n + of(emission), 0)
  const [emitted, distinct] = [sum((one) => one.emitted), sum((one) => one.distinct)]
  if (emitted === 0) return []
  const each = (seconds: number): string => ((1e6 * seconds) / emitted).toFixed(1)
  const parts = [...(all[0]?.parts.keys() ?? [])].map((name) => [name, sum((one) => one.parts.get(name) ?? 0)] as const)
  const seconds = parts.reduce((n, [, time]) => n + time, 0)
  const optimized = sum((one) => one.emitted * one.bytes.optimized)
  const bytes = (count: number, of: number): string => (of === 0 ? 'none' : `${(count / of).toFixed(0)} bytes`)
  return [
    `${title}: ${each(seconds)} us an instruction (${parts.map(([name, time]) => `${name} ${each(time)}`).join(', ')}; ` +
      `${emitted} emitted, ${distinct} distinct, in ${seconds.toFixed(2)} s)`,
    `${title}, machine code: ${bytes(
      sum((one) => one.bytes.liftoff),
      emitted,
    )} an instruction of Liftoff's, ${bytes(
      sum((one) => one.bytes.turbofan),
      optimized,
    )} of TurboFan's, which has compiled ${((100 * optimized) / emitted).toFixed(0)} % of them`,
  ]
}
