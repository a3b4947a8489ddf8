import type { Domain, FrameSet, GuestPages } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import { writeSnapshot } from '@retrap/snapshot'
import { type Channel, FrameStream, within } from './frames.ts'
import { MigrationError } from './errors.ts'
import { encodePages, PAGES_A_FRAME, SentMemory, setOf } from './pages.ts'

/** A machine that can be slowed down. */
interface Held {
  stop(): Promise<void>
  resume(): void
}

/** Period of the throttle: one interval of running and one of standing still. */
const PERIOD_MS = 50

/** Stops a machine for a part of the time, so that it writes less memory. */
export class Throttle {
  readonly #machine: Held
  #running: Promise<void> | null = null
  #ended = false
  /** The part of the time that the guest stands still, from 0 to below 1. */
  part = 0

  constructor(machine: Held) {
    this.#machine = machine
  }

  /** Changes the part. */
  set(part: number): void {
    this.part = part
    // An error that ends the machine is reported by the call that runs it, not by the throttling.
    if (!this.#ended) this.#running ??= this.#run().catch(() => undefined)
  }

  /** Ends the throttling. Resolves when the machine runs freely. */
  async end(): Promise<void> {
    this.#ended = true
    await this.#running
    this.#running = null
  }

  async #run(): Promise<void> {
    while (!this.#ended) {
      await this.#machine.stop()
      try {
        await pause(PERIOD_MS * this.part)
      } finally {
        this.#machine.resume()
      }
      await pause(PERIOD_MS * (1 - this.part))
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** Version of the protocol. */
export const PROTOCOL = 2

/** The machine to migrate. */
export interface MigrationSource {
  /** The machine's domain, whose memory is read while it runs. */
  readonly domain: Domain
  /** Stops the machine between two instructions. Resolves when it has stopped; rejects if the machine has ended. */
  stop(): Promise<void>
  /** Lets the machine run again after `stop`. */
  resume(): void
  /** Saves the stopped machine, as `Pc.save` does with these options, after flushing its disks. */
  save(options: { readonly frames: () => FrameSet }): Promise<{ readonly state: unknown; readonly pages: GuestPages }>
  /** Gives up rights that one side alone may have, as the right to write its disks, right before the hand-over record. */
  release?(): Promise<void>
  /** Whether the machine's user has paused it: the destination gets it paused, too. Asked at the last moment. */
  isPaused?(): boolean
  /** Takes released rights back before `resume`, if the destination does not have the machine. Rejects if another party has them. */
  reclaim?(): Promise<void>
}

/** Options for migrating a machine. */
export interface MigrateOptions {
  /** The description for the destination: plain data; the destination may refuse. */
  readonly description?: unknown
  /** Longest pause of the guest for its memory, in milliseconds; default 300. */
  readonly downtimeMs?: number
  /** Most bytes a second; default as fast as they go. */
  readonly bytesPerSecond?: number
  /** Times that memory is gone through before it is given up; default 30. */
  readonly mostRounds?: number
  /** Time limit for the other side's answers, and for its reading of a MiB, in milliseconds; default 60,000. */
  readonly answerMs?: number
  /** Called for each round. */
  readonly onRound?: (round: MigrationRound) => void
}

/** One pass through memory. */
export interface MigrationRound {
  /** Number of the round, from 1. */
  readonly round: number
  /** Number of pages sent. */
  readonly pages: number
  /** Pages that the guest has written meanwhile. */
  readonly written: number
  /** The part of time that the guest is held back from then on, from 0. */
  readonly throttle: number
}

/** The end of a migration. */
export interface MigrationReport {
  /**
   * `moved`: the guest runs at the destination, and never again here. `unknown`: the connection has ended after the hand-over
   * record was begun, or `reclaim` has failed. The guest may run at the destination, and is stopped here.
   */
  readonly outcome: 'moved' | 'unknown'
  /** The error that has made the outcome unknown. */
  readonly error?: unknown
  /** Milliseconds that the guest was stopped, as measured by the source. */
  readonly downtimeMs: number
  /** Total duration, in milliseconds. */
  readonly totalMs: number
  /** Times that memory was gone through while the guest ran. */
  readonly rounds: number
  /** Number of bytes sent. */
  readonly bytes: number
}

/** Content of the hand-over record of a machine that its user has paused; that of any other is empty. */
export const PAUSED: Uint8Array = Uint8Array.of(1)
const NO_PAGES: GuestPages = { gfns: new Uint32Array(), bytes: new Uint8Array() }
/** Bytes in a millisecond, before the first measurement. */
const USUAL_PACE = 100_000
/** Least bytes of a round that gives a reliable estimate of the link's speed. */
const TELLING_BYTES = 1 << 20
/** Where a round leaves more than this part of the previous rest, the guest is slowed down further. */
const TOO_LITTLE = 0.6
const THROTTLE_STEP = 0.2
const MOST_THROTTLE = 0.9

/**
 * Moves a machine to the other end of a channel, while it runs.
 *
 * Its memory is sent, then frames written meanwhile, again and again, until the rest can be sent within the limit on
 * downtime. Then it stops; state and rest are sent; when the destination is ready, the hand-over record makes the machine
 * the destination's. Whatever fails before that record: the machine runs on here. The channel is closed in the end.
 *
 * @throws MigrationError if the machine was not migrated and continues here; errors of `stop` and `save`
 */
export async function migrate(
  channel: Channel,
  source: MigrationSource,
  options: MigrateOptions = {},
): Promise<MigrationReport> {
  const migration = new Migration(channel, source, options)
  try {
    return await migration.run()
  } finally {
    channel.close()
  }
}

class Migration {
  readonly #frames: FrameStream
  readonly #source: MigrationSource
  readonly #options: MigrateOptions
  readonly #answerMs: number
  readonly #begun = performance.now()
  readonly #throttle: Throttle
  #rounds = 0
  /** Bytes of contents that went in a millisecond of the last round. */
  #pace: number

  constructor(channel: Channel, source: MigrationSource, options: MigrateOptions) {
    this.#source = source
    this.#options = options
    this.#answerMs = options.answerMs ?? 60_000
    this.#frames = new FrameStream(channel, this.#answerMs)
    this.#throttle = new Throttle(source)
    this.#pace = Math.min(USUAL_PACE, (options.bytesPerSecond ?? Infinity) / 1000)
  }

  async run(): Promise<MigrationReport> {
    const memory = new SentMemory(this.#source.domain)
    try {
      await this.#greet(memory)
      const rest = await this.#sendWhileRunning(memory)
      await this.#throttle.end()
      await this.#source.stop()
      return await this.#handOver(memory, rest, performance.now())
    } finally {
      await this.#throttle.end()
      memory.written.close()
    }
  }

  async #greet(memory: SentMemory): Promise<void> {
    const about = { protocol: PROTOCOL, frames: memory.frames, description: this.#options.description ?? null }
    await this.#frames.send('HELO', new TextEncoder().encode(JSON.stringify(about)))
    await this.#answer('the answer of the destination', 'TAKE')
  }

  async #answer(what: string, type: 'TAKE' | 'REDY' | 'RUNS'): Promise<Uint8Array> {
    const { payload } = await within(this.#answerMs, what, this.#frames.receive(type))
    return payload
  }

  /** @returns frames to send after the guest has stopped */
  async #sendWhileRunning(memory: SentMemory): Promise<number[]> {
    const { downtimeMs = 300, mostRounds = 30, onRound } = this.#options
    let next = memory.all()
    for (;;) {
      const sent = next.length
      await this.#sendPages(memory, next)
      this.#rounds++
      next = memory.written.take()
      const fits = (next.length * PAGE_BYTES) / this.#pace <= downtimeMs
      if (!fits && next.length > sent * TOO_LITTLE)
        this.#throttle.set(Math.min(MOST_THROTTLE, this.#throttle.part + THROTTLE_STEP))
      onRound?.({ round: this.#rounds, pages: sent, written: next.length, throttle: this.#throttle.part })
      if (fits) return next
      if (this.#rounds >= mostRounds) {
        const rate = Math.round((this.#pace * 1000) / 2 ** 20)
        const what = `after ${mostRounds} rounds ${next.length} pages are left, which take longer than ${downtimeMs} ms`
        const why = `${what} at ${rate} MiB a second; allow more downtime, or give it more bandwidth`
        await this.#frames.send('NOTE', new TextEncoder().encode('the source gives up')).catch(() => undefined)
        throw new MigrationError('ERR_DOWNTIME', why)
      }
    }
  }

  /** Sends pages while the guest runs, and notes how fast that goes. */
  async #sendPages(memory: SentMemory, gfns: readonly number[]): Promise<void> {
    const begun = performance.now()
    const before = this.#frames.sent
    const { bytesPerSecond = Infinity } = this.#options
    let contentBytes = 0
    for (let at = 0; at < gfns.length; at += PAGES_A_FRAME) {
      const some = gfns.slice(at, at + PAGES_A_FRAME)
      const contents = new Uint8Array(some.length * PAGE_BYTES)
      let length = 0
      const zeros = some.map((gfn) => {
        const isZero = memory.read(gfn, contents.subarray(length, length + PAGE_BYTES))
        if (!isZero) length += PAGE_BYTES
        return isZero
      })
      await this.#frames.send('PAGE', ...encodePages(some, zeros, contents.subarray(0, length)))
      contentBytes += length
      const dueMs = ((this.#frames.sent - before) / bytesPerSecond) * 1000
      // Yield to the guest and its devices.
      await new Promise<void>((resolve) => void setTimeout(resolve, Math.max(0, begun + dueMs - performance.now())))
    }
    // A few pages say little of the pace.
    if (contentBytes >= TELLING_BYTES) this.#pace = contentBytes / (performance.now() - begun)
  }

  /** The guest has stopped. @param stopped - since when */
  async #handOver(memory: SentMemory, rest: readonly number[], stopped: number): Promise<MigrationReport> {
    try {
      memory.checkFrames()
      const last = new Set(rest)
      const frames = (): FrameSet => {
        for (const gfn of [...memory.written.take(), ...memory.rom()]) last.add(gfn)
        return setOf(memory.frames, last)
      }
      const { state, pages } = await this.#source.save({ frames })
      frames()
      const there = new Set(pages.gfns)
      const zeros = Uint32Array.from([...last].filter((gfn) => !there.has(gfn)))
      const pieces: Uint8Array[] = []
      // Uncompressed, because compression would take longer than sending.
      for (let at = 0; at < pages.gfns.length; at += PAGES_A_FRAME) {
        const some = Array.from(pages.gfns.subarray(at, at + PAGES_A_FRAME))
        const contents = pages.bytes.subarray(at * PAGE_BYTES, (at + some.length) * PAGE_BYTES)
        const frame = encodePages(
          some,
          some.map(() => false),
          contents,
        )
        await this.#frames.send('PAGE', ...frame)
      }
      const file = { description: null, state: { state, zeros }, pages: NO_PAGES }
      await writeSnapshot(file, (bytes) => void pieces.push(bytes.slice()))
      await this.#frames.send('STAT', ...pieces)
      await this.#answer('word that the destination is ready', 'REDY')
      await this.#source.release?.()
    } catch (error) {
      // The destination cannot have the hand-over record.
      return this.#takeBack(error, stopped)
    }
    try {
      await this.#frames.send('HAND', ...(this.#source.isPaused?.() === true ? [PAUSED] : []))
      await this.#answer('word that the guest runs', 'RUNS')
      return this.#report('moved', stopped)
    } catch (error) {
      // The destination has the record, and says that it does not run the machine.
      if (error instanceof MigrationError && error.code === 'ERR_REFUSED') return this.#takeBack(error, stopped)
      // The record may have arrived, whatever became of the answer.
      return { ...this.#report('unknown', stopped), error }
    }
  }

  /** Takes the machine back to this side. @throws `error`, when the machine runs again */
  async #takeBack(error: unknown, stopped: number): Promise<MigrationReport> {
    this.#frames.close()
    try {
      await this.#source.reclaim?.()
    } catch (held) {
      return { ...this.#report('unknown', stopped), error: held }
    }
    this.#source.resume()
    throw error
  }

  #report(outcome: 'moved' | 'unknown', stopped: number): MigrationReport {
    const now = performance.now()
    const [downtimeMs, totalMs] = [now - stopped, now - this.#begun]
    return { outcome, downtimeMs, totalMs, rounds: this.#rounds, bytes: this.#frames.sent }
  }
}
