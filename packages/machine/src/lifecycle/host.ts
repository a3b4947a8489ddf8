import type { HostClock, Sleeper } from '@retrap/hvm'

/** Globals of Node and browsers that their common type declarations lack. */
interface Host {
  readonly performance: { now(): number }
  readonly crypto: { getRandomValues<T extends Uint32Array>(array: T): T }
  setTimeout(callback: () => void, ms: number): unknown
  clearTimeout(handle: unknown): void
  /** Node: after pending I/O, without the millisecond that a timer takes. */
  readonly setImmediate?: (callback: () => void) => unknown
  readonly MessageChannel?: new () => {
    readonly port1: { onmessage: (() => void) | null; close(): void }
    readonly port2: { postMessage(message: unknown): void; close(): void }
  }
}

const host = globalThis as unknown as Host

// Read once: in Node the global is an accessor, and a guest may read its time-stamp counter millions of times a second.
const { performance } = host

/** Nanoseconds from the host's monotonic clock. */
export const hostClock: HostClock = () => performance.now() * 1e6

/** Longest wait that `setTimeout` takes. */
const LONGEST_MS = 0x7fff_ffff
/** Shorter waits go through the event loop, again and again: timers are no finer. */
const SHORTEST_MS = 1
/** Most consecutive short waits that still use a timer, up to a millisecond late: a guest that rarely wakes is idle. */
const FEW_SHORT = 4

/** Makes a domain wait on the host's event loop. */
export class HostSleeper implements Sleeper {
  /** Ends the current wait; null while no wait is in progress. */
  #resolve: (() => void) | null = null
  /** The host's timer of the wait. */
  #timer: unknown = undefined
  /** The end of the wait, in the host's milliseconds. */
  #until = 0
  /** Short waits since the last longer one. */
  #short = 0
  readonly #yield: (callback: () => void) => void

  constructor() {
    this.#yield = makeYield()
  }

  sleep(ms: number): Promise<void> {
    if (ms >= SHORTEST_MS) this.#short = 0
    else if (ms <= 0 || this.#short++ >= FEW_SHORT) return new Promise((resolve) => this.#yield(resolve))
    return new Promise((resolve) => {
      this.#resolve = resolve
      this.#until = performance.now() + ms
      this.#arm(ms)
    })
  }

  wake(): void {
    const resolve = this.#resolve
    if (resolve === null) return
    this.#resolve = null
    if (this.#timer !== undefined) host.clearTimeout(this.#timer)
    this.#timer = undefined
    resolve()
  }

  #arm(ms: number): void {
    // Without a timer another handle has to keep a Node process alive, such as waiting for input.
    this.#timer = ms === Infinity ? undefined : host.setTimeout(this.#fired, Math.min(Math.ceil(ms), LONGEST_MS))
  }

  /**
   * Waits again if the timer fired early. Node counts whole milliseconds, so a timer may be up to 1 ms early if another event
   * has woken the process. Without the second wait, the domain would spin through the event loop until its deadline.
   */
  readonly #fired = (): void => {
    const left = this.#until - performance.now()
    if (this.#resolve !== null && left > 0) this.#arm(left)
    else this.wake()
  }
}

/** Calls back in later turns of the event loop, each call in its order. */
export function laterTurn(): (callback: () => void) => void {
  const yielded = makeYield()
  const waiting: (() => void)[] = []
  // Resumes one waiter a turn.
  const next = (): void => {
    const callback = waiting.shift()
    if (waiting.length > 0) yielded(next)
    callback?.()
  }
  return (callback) => {
    waiting.push(callback)
    if (waiting.length === 1) yielded(next)
  }
}

/** Returns a function that yields one turn of the event loop, by the fastest means of the host. */
function makeYield(): (callback: () => void) => void {
  const { setImmediate, MessageChannel } = host
  if (setImmediate !== undefined) return (callback) => void setImmediate(callback)
  if (MessageChannel === undefined) return (callback) => void host.setTimeout(callback, 0)
  const channel = new MessageChannel()
  const waiting: (() => void)[] = []
  channel.port1.onmessage = () => waiting.shift()?.()
  return (callback) => {
    waiting.push(callback)
    channel.port2.postMessage(null)
  }
}

/** 2026-01-01 as a Unix time, for machines with reproducible runs. */
const DETERMINISTIC_EPOCH = 1_767_225_600

/** The facts that a machine takes from its surroundings at power-on. */
export interface PowerOnOptions {
  readonly clock?: 'real' | 'deterministic' | undefined
  readonly epochSeconds?: number | undefined
  readonly entropySeed?: number | undefined
}

/** The wall clock's time at power-on, seconds from 1970: the one given, else the host's, or a fixed one. */
export function epochOf({ clock, epochSeconds }: PowerOnOptions): number {
  return epochSeconds ?? (clock === 'deterministic' ? DETERMINISTIC_EPOCH : Math.floor(wallSeconds()))
}

/** The host's wall clock: seconds from 1970. */
export const wallSeconds = (): number => Date.now() / 1000

/** A machine's source of random numbers. */
export interface RandomSource {
  /** Returns 32 random bits. */
  readonly next: () => number
  /** The last number of a sequence that `restore` can continue; null for the host's numbers. */
  save(): number | null
  /** Continues after a saved number. With null, and for the host's numbers, the next one is arbitrary. */
  restore(last: number | null): void
}

/** A machine's source of 32 random bits a call: the host's, or the sequence of a seed. */
export function randomOf({ clock, entropySeed }: PowerOnOptions): RandomSource {
  return clock === 'deterministic' ? fixedRandom(firstOf(entropySeed)) : hostRandom()
}

const FIXED_SEED = 0x7265_7473
/** A multiplier that spreads a number's bits over a word, each number's over another one (Knuth, TAOCP 6.4, multiplicative hashing). */
export const SPREAD: number = 0x9e37_79b1

/** The number before the first one of a seed's sequence, as `RandomSource.save` returns it. */
export const firstOf = (entropySeed: number | undefined): number =>
  entropySeed === undefined ? FIXED_SEED : Math.imul(entropySeed, SPREAD) || FIXED_SEED

/** 32 random bits from the host's generator, drawn in batches. */
function hostRandom(): RandomSource {
  const batch = new Uint32Array(256)
  let at = batch.length
  const next = (): number => {
    if (at === batch.length) {
      host.crypto.getRandomValues(batch)
      at = 0
    }
    return batch[at++]!
  }
  return { next, save: () => null, restore: () => undefined }
}

/** 32 bits from a fixed sequence (xorshift, Marsaglia 2003), so that deterministic machines agree. */
function fixedRandom(first: number): RandomSource {
  let x = first
  const next = (): number => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return x >>> 0
  }
  return {
    next,
    save: () => x,
    restore: (last) => {
      // A generator whose state is 0 would keep the state 0.
      if (last !== null && last !== 0) x = last | 0
    },
  }
}
