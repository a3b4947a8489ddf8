// Randomised checks that can run for long: `npm run -s soak -- NAME`. `test/soak/NAME.soak.ts` of any package exports
// `soak`, a `Soak`:
//
//     import type { Soak } from '@retrap/tooling/soak'
//     export const soak: Soak = {
//       name: 'walk',
//       step(rng) {
//         const entry = rng.u32()
//         rng.note('entry', `0x${entry.toString(16)}`)
//         if (walk(entry) !== referenceWalk(entry)) return 'the walks differ'
//       },
//     }
//
// A line `// @programs: NAME NAME` at its head says which programs of Debian it compares with: they are fetched before.
//
// Every step has its own generator, seeded by --seed and the step's index, so one step can be run alone:
// `--seed S --from I --count 1`. All that a step does must follow from its generator and its index.
// A failing step is made smaller by itself: the numbers it drew are recorded, some are removed or lowered, and the step
// is run on the rest, as long as it still fails. (A generator whose record is used up returns 0.) So draw 0 for the
// plainest choice, and note() the parts of the case: the notes of the smallest failing case are printed.
import { setImmediate, setTimeout } from 'node:timers/promises'

/** Random choices for one step, uniform unless stated otherwise. */
export interface Rng {
  /** An integer in [0, 2^32). */
  u32(): number
  /** An integer in [0, bound); bound is in [1, 2^32]. */
  below(bound: number): number
  /** An integer in [low, high], both inclusive; the range is at most 2^32 wide. */
  between(low: number, high: number): number
  /** An integer in [0, 2^64). */
  u64(): bigint
  /** True with probability 1/2, or `numerator / denominator`. */
  chance(numerator?: number, denominator?: number): boolean
  /** One of `choices`, which is not empty. Shrinks toward the first. */
  pick<T>(choices: readonly T[]): T
  /** `length` random bytes. */
  bytes(length: number): Uint8Array
  /** Describes the case for the party that reads a failure. The text may be a function, called only for a failure. */
  note(label: string, text: string | (() => string)): void
}

/** A randomised check. */
export interface Soak {
  /** Lower-case words with hyphens; the file is `NAME.soak.ts`. */
  readonly name: string
  /** Steps when --count is not given; 1000 if absent. */
  readonly count?: number
  /** Called once before the first step. */
  setup?(): Promise<void> | void
  /** Runs one random case. Throws, or returns a text, if the case violates a checked property. */
  step(rng: Rng, index: number): Promise<string | void> | string | void
  /** Called once at the end, also after violations. */
  teardown?(): Promise<void> | void
  /** Returns a summary of the steps, printed before the last line. */
  summary?(): string
  /** Returns the names of the kinds of cases that a step can draw and none has drawn yet. */
  unreached?(): readonly string[]
}

export interface SoakOptions {
  readonly count?: number
  /** Milliseconds in which steps are begun, however many they are; `count` is then ignored. */
  readonly forMs?: number
  readonly seed?: number
  /** Index of the first step. */
  readonly from?: number
  /** Milliseconds to spend on making a failing case smaller. */
  readonly shrinkMs?: number
  /** Receives progress, at most a few times a second. */
  readonly progress?: (done: number, violations: number) => void
  /** Receives each violation when found, before its reduction. */
  readonly found?: (violation: Violation) => void
  /** Ends the soak early: no step is begun or made smaller any more, and a step that waits is not waited for. */
  readonly signal?: AbortSignal
}

/** A failing step. */
export interface Violation {
  readonly index: number
  readonly message: string
  readonly notes: readonly string[]
  /** Number of random numbers drawn by the case. */
  readonly draws: number
}

export interface SoakResult {
  readonly steps: number
  readonly violations: number
  readonly smallest: Violation | undefined
}

/** The choices of a step, with all numbers drawn and the notes on the case. */
interface Choices extends Rng {
  readonly drawn: readonly number[]
  readonly notes: readonly (readonly [string, string | (() => string)])[]
}

/** splitmix32 over seed and index: neighbouring steps get unrelated states. */
function stateOf({ seed, index }: { readonly seed: number; readonly index: number }): Uint32Array {
  let x = (Math.imul(seed, 0x9e37_79b1) ^ Math.imul(index + 1, 0x85eb_ca6b)) >>> 0
  return Uint32Array.from({ length: 4 }, () => {
    x = (x + 0x9e37_79b9) >>> 0
    let z = Math.imul(x ^ (x >>> 16), 0x21f0_aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97)
    return z ^ (z >>> 15)
  })
}

/** A xoshiro128** generator. */
function generator(state: Uint32Array): () => number {
  const s = state as unknown as [number, number, number, number]
  return () => {
    const five = Math.imul(s[1], 5)
    const result = Math.imul((five << 7) | (five >>> 25), 9) >>> 0
    const shifted = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = (s[3] << 11) | (s[3] >>> 21)
    return result
  }
}

/** Draws from a generator, or from a record, and records all draws. */
function choicesOf(source: { readonly seed: number; readonly index: number } | readonly number[]): Choices {
  const drawn: number[] = []
  const notes: [string, string | (() => string)][] = []
  const record = 'seed' in source ? undefined : source
  const next = 'seed' in source ? generator(stateOf(source)) : () => 0
  /** A number in [0, bound), recorded after reduction, so that lowering the record lowers the choice. */
  const below = (bound: number): number => {
    // The bias of the product is below bound / 2^53.
    const value =
      record === undefined
        ? Math.floor((next() * 0x20_0000 + (next() >>> 11)) * (bound / 2 ** 53))
        : (record[drawn.length] ?? 0) % bound
    drawn.push(value)
    return value
  }
  const u32 = (): number => below(2 ** 32)
  return {
    drawn,
    notes,
    below,
    u32,
    between: (low, high) => low + below(high - low + 1),
    u64: () => (BigInt(u32()) << 32n) | BigInt(u32()),
    // 0, the plainest draw, is false.
    chance: (numerator = 1, denominator = 2) => below(denominator) >= denominator - numerator,
    pick: (choices) => choices[below(choices.length)]!,
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
    note: (label, text) => void notes.push([label, text]),
  }
}

/** Runs `soak` and returns its result. Also for tests, with a small count. */
export async function runSoak(soak: Soak, options: SoakOptions = {}): Promise<SoakResult> {
  const { seed = 1, from = 0, forMs, shrinkMs = 20_000, progress, found, signal } = options
  const count = forMs === undefined ? (options.count ?? soak.count ?? 1000) : Infinity
  let violations = 0
  let steps = 0
  let smallest: Violation | undefined
  let reported = performance.now()
  const stop = new Stop(signal)
  const time = { left: shrinkMs }
  await soak.setup?.()
  const begun = performance.now()
  try {
    for (let index = from; index < from + count; index++) {
      if (forMs !== undefined && performance.now() - begun >= forMs) break
      const choices = choicesOf({ seed, index })
      const message = await stop.orStopped(attempt(soak, choices, index))
      if (message === STOPPED) break
      // A signal to a process group also ends the programs that a step compares with: it is handled first.
      if (message !== undefined) await setImmediate()
      if (stop.isStopped) break
      steps++
      if (message !== undefined) {
        violations++
        found?.(describe(choices, message, index))
        // The first few failures are made smaller; a soak that fails all over would spend its time on that alone.
        const least = violations <= 5 ? await shrink(soak, choices, message, index, time, stop) : undefined
        if (least !== undefined && (smallest === undefined || least.draws < smallest.draws)) smallest = least
      }
      if (performance.now() - reported > 250) {
        progress?.(steps, violations)
        // Steps that never wait would keep the event loop from a signal.
        await setImmediate()
        reported = performance.now()
      }
      if (stop.isStopped) break
    }
  } finally {
    const teardown = Promise.resolve(soak.teardown?.())
    // A stopped step may have begun work that never ends.
    await (stop.isStopped ? Promise.race([teardown, setTimeout(TEARDOWN_MS)]) : teardown)
  }
  return { steps, violations, smallest }
}

/** Returns kinds of cases, or else the usual steps, that a run up to step `end` has not reached. */
export function unreached(soak: Soak, end: number): readonly string[] {
  const { count = 1000 } = soak
  return soak.unreached?.() ?? (end < count ? [`steps ${end} to ${count - 1} of its usual ${count}`] : [])
}

const STOPPED = Symbol('the soak is stopped')

const TEARDOWN_MS = 5000

/** Ends the wait for a step when a signal is aborted. */
class Stop {
  readonly #signal: AbortSignal | undefined
  #onAbort: (() => void) | undefined

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
    signal?.addEventListener('abort', () => this.#onAbort?.(), { once: true })
  }

  get isStopped(): boolean {
    return this.#signal?.aborted === true
  }

  /** Resolves as `promise` does, which never rejects, or to STOPPED. A race with one long-lived promise would leak. */
  orStopped<T>(promise: Promise<T>): Promise<T | typeof STOPPED> {
    if (this.#signal === undefined) return promise
    if (this.isStopped) return Promise.resolve(STOPPED)
    return new Promise((resolve) => {
      this.#onAbort = () => resolve(STOPPED)
      void promise.then(resolve)
    })
  }
}

function describe(choices: Choices, message: string, index: number): Violation {
  const notes = choices.notes.map(([label, text]) => `${label}: ${typeof text === 'string' ? text : text()}`)
  return { index, message, notes, draws: choices.drawn.length }
}

async function attempt(soak: Soak, choices: Choices, index: number): Promise<string | undefined> {
  try {
    return (await soak.step(choices, index)) ?? undefined
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

/** Removes and lowers draws while the step still fails. */
async function shrink(
  soak: Soak,
  first: Choices,
  firstMessage: string,
  index: number,
  time: { left: number },
  stop: Stop,
): Promise<Violation> {
  const started = performance.now()
  let looked = started
  const hasTime = (): boolean => !stop.isStopped && performance.now() - started <= time.left
  let best = first
  let message = firstMessage
  const keep = async (record: readonly number[]): Promise<boolean> => {
    if (!hasTime()) return false
    if (performance.now() - looked > 250) {
      await setImmediate()
      looked = performance.now()
    }
    const choices = choicesOf(record)
    const result = await stop.orStopped(attempt(soak, choices, index))
    if (result === undefined || result === STOPPED || !isSmaller(choices.drawn, best.drawn)) return false
    best = choices
    message = result
    return true
  }
  for (let improved = true; improved && hasTime();) {
    improved = false
    for (let size = best.drawn.length; size >= 1 && hasTime(); size = Math.floor(size / 2)) {
      for (let at = 0; at + size <= best.drawn.length && hasTime();) {
        const { drawn } = best
        const removed = [...drawn.slice(0, at), ...drawn.slice(at + size)]
        const zeroed = drawn.map((value, i) => (i >= at && i < at + size ? 0 : value))
        if ((await keep(removed)) || (await keep(zeroed))) improved = true
        else at += size
      }
    }
    for (let at = 0; at < best.drawn.length && hasTime(); at++) {
      const lower = (value: number): Promise<boolean> => keep(best.drawn.map((old, i) => (i === at ? value : old)))
      // Binary search for the least value that still fails, as if failing were monotonous; then nearby.
      let low = 0
      let high = best.drawn[at] ?? 0
      while (low < high && hasTime()) {
        const middle = Math.floor((low + high) / 2)
        if (await lower(middle)) {
          improved = true
          high = Math.min(middle, best.drawn[at] ?? 0)
        } else low = middle + 1
      }
    }
  }
  time.left -= performance.now() - started
  return describe(best, message, index)
}

/** Shorter first, then lower: a total order, so that shrinking ends. */
function isSmaller(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return a.length < b.length
  const at = a.findIndex((value, i) => value !== b[i])
  return at >= 0 && a[at]! < b[at]!
}
