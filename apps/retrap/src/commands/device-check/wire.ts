import { setTimeout } from 'node:timers/promises'
import { describeThrown } from '@retrap/device/host'
import {
  decodeProtocolFrame,
  encodeProtocolFrame,
  FRAME_TABLE,
  type FrameKind,
  type FrameWord,
  type MachineFrame,
  PROTOCOL_VERSION,
  type ProtocolFrame,
  ProtocolReader,
  type FrameRow,
} from '@retrap/device-hosting/protocol'
import { fieldsText, frameText, hexOf, wordOf } from './frame-text.ts'
import type { Link } from './link.ts'
import type { Report } from './report.ts'
import { RULES } from './rules.ts'

/** Frames that belong to a connection, and are not counted. */
const UNCOUNTED: ReadonlySet<FrameKind> = new Set(['ack', 'hello', 'welcome', 'bye'] as const)
const ACK_FRAMES = 64
const ACK_BYTES = 1 << 16
const MOST_KEPT = 32_767
/** Time between pieces, so that the server probably reads each separately. */
const PIECE_MS = 5

/** The parts of a {@link Wire}. */
export interface WireOptions {
  readonly report: Report
  /** Takes each frame as a line. */
  readonly trace: ((line: string) => void) | null
  readonly session: bigint
  /** The guest's clock. */
  now(): bigint
  /** Receives a server's frame. @param seen - how many of our frames the server has acknowledged; undefined without a count */
  onFrame(frame: ProtocolFrame, bytes: Uint8Array, seen: number | undefined): void
  /** The server has sent bytes that are no frame. */
  onBroken(why: string): void
  /** The connection has ended. */
  onClosed(why: string): void
}

/** The frames of one session over successive connections: their counts, and copies of frames for resending. */
export class Wire {
  readonly #options: WireOptions
  /** Frames of ours that the server may lack. */
  #unacked: Uint8Array[] = []
  /** Bytes that come are lost. */
  #loses = false
  #held: Uint8Array[] | null = null
  #unseenFrames = 0
  #unseenBytes = 0
  #welcomed = false
  /** The connection. */
  link: Link | null = null
  /** Number of counted frames sent. */
  sent = 0
  /** Counted frames that came. */
  received = 0
  /** The server's count of our frames, as far as known. */
  seen = 0
  /** Whether the server counts. */
  counts = false

  constructor(options: WireOptions) {
    this.#options = options
  }

  /** Opens or resumes the session over a connection. */
  connect(link: Link, hello: Partial<ProtocolFrame<'hello'>> = {}): void {
    this.link = link
    this.#welcomed = false
    this.#loses = false
    this.#unseenFrames = this.#unseenBytes = 0
    const reader = new ProtocolReader()
    link.onData((chunk) => {
      if (this.link !== link || this.#loses) return
      try {
        reader.cut(chunk, (bytes) => {
          if (this.link === link && !this.#loses) this.#take(bytes)
        })
      } catch {
        this.#broken(chunk)
      }
      if (this.link === link && this.#welcomed && (this.#unseenFrames >= ACK_FRAMES || this.#unseenBytes >= ACK_BYTES))
        this.send({ kind: 'ack' })
    })
    void link.closed.then((why) => {
      if (this.link !== link) return
      this.link = null
      this.#options.onClosed(why)
    })
    const session: FrameWord = wordOf(this.#options.session)
    const fields = { version: PROTOCOL_VERSION, flags: 0, session, received: this.received }
    this.send({ kind: 'hello', ...fields, now: wordOf(this.#options.now()), ...hello })
  }

  /** Drops further bytes from the server. @returns resolves when some were dropped */
  lose(): Promise<void> {
    this.#loses = true
    const link = this.link
    return new Promise((resolve) => (link === null ? resolve() : link.onData(() => resolve())))
  }

  /** The connection breaks. */
  drop(): void {
    const link = this.link
    this.link = null
    link?.destroy()
  }

  #broken(chunk: Uint8Array): void {
    const seen = `bytes that begin no frame, in what came last:\n${hexOf(chunk)}`
    this.#options.report.fail(RULES.length, seen, 'a length that is a multiple of 8, from 8 to 1048576')
    this.#options.onBroken('it sent bytes that are no frame')
  }

  #take(bytes: Uint8Array): void {
    const { report } = this.#options
    let decoded
    try {
      decoded = decodeProtocolFrame(bytes)
    } catch (error) {
      this.#trace('←', bytes)
      const why = describeThrown(error)
      const [rule, expected] = why.includes('expected zeros')
        ? [RULES.padding, 'zeros behind text and bytes']
        : [RULES.layout, 'the fields of its kind, one after another']
      report.fail(rule, `${why}\n${hexOf(bytes)}`, expected)
      return this.#options.onBroken(`it sent a frame that cannot be read: ${why}`)
    }
    this.#trace('←', bytes)
    const { frame } = decoded
    const row: FrameRow = FRAME_TABLE[frame.kind]
    if (row.from === 'machine') return report.fail(RULES.kinds, frameText(bytes), 'a frame that is a server’s')
    if (frame.kind === 'welcome') this.#welcome(frame)
    if (!UNCOUNTED.has(frame.kind)) {
      this.received++
      this.#unseenFrames++
      this.#unseenBytes += bytes.length
    }
    // The field of welcome holds the complete count.
    const seen = frame.kind === 'welcome' ? undefined : this.#count(decoded.seen, bytes)
    this.#options.onFrame(frame, bytes, seen)
  }

  #welcome({ flags, received }: ProtocolFrame<'welcome'>): void {
    this.#welcomed = true
    this.counts = (flags & 1) !== 0
    if (!this.counts) return
    this.#acknowledge(received)
    for (const bytes of this.#unacked) this.#write(bytes)
  }

  #acknowledge(seen: number): void {
    if (seen < this.seen || seen > this.sent) return
    this.#unacked = this.#unacked.slice(Math.max(0, this.#unacked.length - (this.sent - seen)))
    this.seen = seen
  }

  #count(seen: number, bytes: Uint8Array): number | undefined {
    if (!this.counts) return undefined
    const full = this.seen + ((seen - this.seen) & 0xffff)
    if (full > this.sent) {
      const expected = `a count from ${this.seen & 0xffff} to ${this.sent & 0xffff}: so many frames have been sent to it`
      this.#options.report.fail(RULES.counts, `count ${seen} in: ${frameText(bytes)}`, expected)
      return undefined
    }
    this.#acknowledge(full)
    return full
  }

  /** Sends a frame. @returns the frame's bytes */
  send(frame: MachineFrame): Uint8Array {
    const bytes = encodeProtocolFrame(frame as ProtocolFrame, this.received)
    if (!UNCOUNTED.has(frame.kind)) {
      this.sent++
      if (this.counts) this.#unacked.push(bytes)
      if (this.#unacked.length > MOST_KEPT) this.#unacked.shift()
    }
    this.#write(bytes)
    return bytes
  }

  #write(bytes: Uint8Array): void {
    bytes[6] = this.received & 0xff
    bytes[7] = (this.received >>> 8) & 0xff
    this.raw(bytes)
  }

  /** Sends arbitrary bytes. */
  raw(bytes: Uint8Array): void {
    this.#unseenFrames = this.#unseenBytes = 0
    this.#trace('→', bytes)
    if (this.#held !== null) this.#held.push(bytes)
    else this.link?.write(bytes)
  }

  /** From now on frames wait for {@link release}. */
  hold(): void {
    this.#held = []
  }

  /** Sends the first bytes of the held frames, and then the connection breaks. */
  tear(count: number): void {
    const bytes = Buffer.concat(this.#held ?? [])
    this.#held = null
    this.link?.write(bytes.subarray(0, count))
    this.link?.end()
    this.link = null
  }

  /** Sends the waiting bytes in one piece or several. @param ends - offsets at which pieces end */
  async release(ends: readonly number[] = []): Promise<void> {
    const bytes = Buffer.concat(this.#held ?? [])
    this.#held = null
    let at = 0
    for (const end of [...ends, bytes.length]) {
      this.link?.write(bytes.subarray(at, end))
      at = end
      if (at < bytes.length) await setTimeout(PIECE_MS)
    }
  }

  #trace(way: string, bytes: Uint8Array): void {
    const { trace } = this.#options
    if (trace === null) return
    let text
    try {
      text = fieldsText(bytes)
    } catch {
      text = hexOf(bytes)
    }
    trace(`      ${way} ${text}`)
  }
}
