import { IoreqError } from '@retrap/ioreq'
import { encodeProtocolFrame, type DecodedFrame, ProtocolReader, stampSeen } from './coding.ts'
import {
  type FrameKind,
  type FrameWord,
  PROTOCOL_VERSION,
  type ProtocolFrame,
  SERVER_HOSTS_MODELS,
  SERVER_RESUMES,
} from './frame-table.ts'
import { checkLimits } from './limits.ts'

/** A connection, with the methods that a link uses. */
export interface ProtocolStream {
  /** Bytes that the other end has not taken yet. */
  readonly backlog: number
  /** Sends bytes after all before. */
  write(bytes: Uint8Array): void
  /** Ends the connection; bytes already written are still sent. */
  close(): void
  /** Whether received frames are to wait; asked after each frame. Absent: no. */
  holds?(): boolean
}

/** The parts that a {@link FrameLink} acts on. */
export interface LinkOptions<Taken extends ProtocolFrame = ProtocolFrame> {
  /** Takes a frame that is counted. It may throw: the link then fails with the error. */
  onFrame(frame: Taken): void
  /** The link has failed, or the other end has ended it. */
  onFailed(error: IoreqError): void
}

/** Frames, and their bytes, that may come before they are acknowledged; fewer than half the range of the 16-bit count. */
const ACK_FRAMES = 64
const ACK_BYTES = 1 << 16
/** Bytes that the other end may leave waiting. */
const MOST_WAITING = 1 << 26
/** Unacknowledged bytes above which a sender that can wait does. */
const HIGH_WATER = 1 << 20
/** Frames that the other end may leave unacknowledged: counts of 16 bits could not distinguish more. */
const MOST_UNACKED = 0x7fff
/** Bytes on their way to a peer, above which its `ping` has no reply: the peer does not read, or asks too often. */
const MOST_BEFORE_REPLY = 1 << 16
/** Frames that are not counted, as they belong to a connection. */
const UNCOUNTED: ReadonlySet<FrameKind> = new Set([
  ...(['ack', 'hello', 'welcome', 'bye', 'introduce', 'ping'] as const),
])
const SEEN_MASK = 0xffff
const NO_SESSION: FrameWord = { lo: 0, hi: 0 }

/**
 * One end of a session, which outlives its connections. Frames are counted, kept until the other end has them, and sent again over
 * the next connection: each frame arrives once and in order.
 */
export abstract class FrameLink<Taken extends ProtocolFrame = ProtocolFrame> {
  readonly #options: LinkOptions<Taken>
  #stream: ProtocolStream | null = null
  #reader = new ProtocolReader()
  /** Encoded frames that the other end has not acknowledged. */
  readonly #unacked: Uint8Array[] = []
  #unackedBytes = 0
  #sent = 0
  #received = 0
  #unseenFrames = 0
  #unseenBytes = 0
  /** Whether the ends have exchanged their counts on this connection. */
  #isAgreed = false
  /** Whether the session can go on over another connection; null: unknown yet. */
  #resumes: boolean | null = null
  #isOver = false
  #saidBye = false
  #drained: (() => void)[] = []

  constructor(options: LinkOptions<Taken>) {
    this.#options = options
  }

  /** Number of frames that have arrived. */
  get received(): number {
    return this.#received
  }

  /** Number of frames that the other end is known to have. */
  get acknowledged(): number {
    return this.#sent - this.#unacked.length
  }

  /** Whether the session has ended. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Whether the other end has ended the session, or refused it, by `bye`. */
  get hasSaidBye(): boolean {
    return this.#saidBye
  }

  /** Whether there is a connection over which frames go. */
  get isConnected(): boolean {
    return this.#stream !== null && this.#isAgreed
  }

  /** Whether the other end keeps up with the bytes sent; if false, wait for `drained`. */
  get writable(): boolean {
    return this.#unackedBytes < HIGH_WATER
  }

  /** Settles when `writable`, or when the session has ended. */
  drained(): Promise<void> {
    if (this.writable || this.#isOver) return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  /** Whether a connection that is lost may be made again: before the other end has sent anything, nothing is lost. */
  get resumable(): boolean {
    return this.#resumes !== false && !this.#isOver
  }

  /** Begins on a connection, in place of the one before. */
  protected begin(stream: ProtocolStream, greeting: readonly ProtocolFrame[]): void {
    this.#stream = stream
    this.#reader = new ProtocolReader()
    this.#isAgreed = false
    for (const frame of greeting) stream.write(encodeProtocolFrame(frame, this.#received))
  }

  /** Resumes: the other end has received this many frames. `resumes`: whether the session may go on over another connection. */
  protected agree(peerReceived: number, resumes: boolean): void {
    this.#isAgreed = true
    this.#resumes = resumes
    this.#drop(peerReceived - this.acknowledged)
    for (const bytes of this.#unacked) this.#send(bytes)
    if (!resumes) this.#drop(this.#unacked.length)
  }

  /** The connection is gone: frames wait for another one. @returns false for one in whose place there is another already */
  disconnected(stream: ProtocolStream | null = this.#stream): boolean {
    if (this.#stream !== stream) return false
    this.#stream = null
    return !this.#isOver
  }

  /** Takes bytes of the connection. Bytes that are no frame end the session. @returns whether some of them wait: see `holds` */
  receive(chunk: Uint8Array): boolean {
    try {
      const waits = this.#reader.push(chunk, (decoded) => {
        if (!this.#isOver) this.#take(decoded)
        return !this.#isOver && this.#stream?.holds?.() === true
      })
      if (this.#isOver) return false
      if (this.#unseenFrames >= ACK_FRAMES || this.#unseenBytes >= ACK_BYTES) this.#write({ kind: 'ack' })
      return waits
    } catch (error) {
      this.fail(asError(error))
      return false
    }
  }

  /** Takes the first frame of a connection, and agrees. */
  protected abstract greeted(frame: ProtocolFrame): void

  #take({ frame, seen, length }: DecodedFrame): void {
    if (frame.kind === 'bye') {
      this.#saidBye = true
      throw new IoreqError('ERR_DEVICE', frame.why || (this.#isAgreed ? 'it has ended' : 'it refuses the machine'))
    }
    if (!this.#isAgreed) return this.greeted(frame)
    checkLimits(frame)
    if (this.#resumes === true) this.#drop((seen - this.acknowledged) & SEEN_MASK)
    if (UNCOUNTED.has(frame.kind)) {
      if (frame.kind === 'ping') {
        if ((this.#stream?.backlog ?? 0) <= MOST_BEFORE_REPLY) this.#write({ kind: 'ack' })
      } else if (frame.kind !== 'ack')
        throw new IoreqError('ERR_PROTOCOL', `it sent a ${frame.kind} frame, which opens a connection`)
      return
    }
    this.#received++
    this.#unseenFrames++
    this.#unseenBytes += length
    this.counted(frame as Taken)
  }

  protected counted(frame: Taken): void {
    this.#options.onFrame(frame)
  }

  /** Drops frames that the other end has acknowledged. */
  #drop(count: number): void {
    const { acknowledged: first } = this
    if (!(count >= 0 && count <= this.#unacked.length))
      throw new IoreqError(
        'ERR_PROTOCOL',
        `it counts ${first + count} frames of this end: expected ${first} to ${this.#sent}, as so many can have come`,
      )
    for (const { length } of this.#unacked.splice(0, count)) this.#unackedBytes -= length
    if (this.writable) this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  /** Asks for a sign of life: an `ack` is the reply. */
  ping(): void {
    if (this.#isAgreed) this.#write({ kind: 'ping' })
  }

  /** Sends a frame after all before; it goes out when there is a connection. */
  send(frame: ProtocolFrame): void {
    if (!this.#isOver) this.#write(frame)
  }

  #write(frame: ProtocolFrame): void {
    const bytes = encodeProtocolFrame(frame, this.#received)
    if (!UNCOUNTED.has(frame.kind)) {
      this.#sent++
      // Before the server has said whether it can resume, it is unknown.
      if (this.#resumes === true || !this.#isAgreed) {
        this.#unacked.push(bytes)
        this.#unackedBytes += bytes.length
      }
    }
    if (this.#isAgreed) this.#send(bytes)
    if (this.#unacked.length > MOST_UNACKED)
      this.fail(new IoreqError('ERR_DEVICE', `it has not acknowledged the last ${this.#unacked.length} frames`))
    const waiting = Math.max(this.#unackedBytes, this.#stream?.backlog ?? 0)
    if (waiting > MOST_WAITING)
      this.fail(new IoreqError('ERR_DEVICE', `it has not taken the last ${waiting} bytes that were sent to it`))
  }

  #send(bytes: Uint8Array): void {
    stampSeen(bytes, this.#received)
    this.#unseenFrames = 0
    this.#unseenBytes = 0
    this.#stream?.write(bytes)
  }

  /** The other end does not keep to the protocol, or is gone permanently. */
  fail(error: IoreqError): void {
    if (this.#isOver) return
    this.end(error.message, error)
    this.#options.onFailed(error)
  }

  /** Ends the session. @param why - the reason, for the other end's users */
  close(why = ''): void {
    if (!this.#isOver) this.end(why, new IoreqError('ERR_DEVICE', 'it has ended'))
  }

  /** @param _error - a derived class rejects its waiting calls with it */
  protected end(why: string, _error: IoreqError): void {
    this.#isOver = true
    this.#stream?.write(encodeProtocolFrame({ kind: 'bye', why: why.slice(0, MOST_REASON) }, this.#received))
    this.#stream?.close()
    this.#stream = null
    this.#unacked.length = 0
    this.#wake()
  }
}

/** Characters of a reason for people. */
const MOST_REASON = 1000

/** The parts that a {@link MachineLink} acts on. */
export interface MachineLinkOptions<Taken extends ProtocolFrame = ProtocolFrame> extends LinkOptions<Taken> {
  /** Names this run of a machine, for a connection that is made again; not 0. */
  readonly session: FrameWord
  /** Whether the guest's clock runs on by itself. */
  readonly realTime: boolean
  /** Whether the server has models for `@retrap/device`; else it declares devices. Default false. */
  readonly hostsModels?: boolean
  /** The guest's clock in nanoseconds. */
  now(): FrameWord
  /** The server has said `welcome` on a connection. An error of this callback fails the link. */
  onOpen?(): void
}

/** The machine's end of a session with a device server. */
export class MachineLink<Taken extends ProtocolFrame = ProtocolFrame> extends FrameLink<Taken> {
  readonly #options: MachineLinkOptions<Taken>
  #isOpen = false
  /** Name of the server, as it gives it. */
  name = ''

  constructor(options: MachineLinkOptions<Taken>) {
    super(options)
    this.#options = options
  }

  /** Whether the server has said `welcome` on a connection. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Goes on over a connection, the first or another one. @param introduction - for a server that asks who its machines are */
  connect(stream: ProtocolStream, introduction?: ProtocolFrame<'introduce'>): void {
    const { session, realTime } = this.#options
    const flags = realTime ? 1 : 0
    const hello = { kind: 'hello', version: PROTOCOL_VERSION, flags, session, received: this.received } as const
    this.begin(stream, [...(introduction === undefined ? [] : [introduction]), { ...hello, now: this.#options.now() }])
  }

  protected greeted(frame: ProtocolFrame): void {
    if (frame.kind !== 'welcome')
      throw new IoreqError('ERR_PROTOCOL', `its first frame is ${frame.kind}: expected welcome`)
    checkVersion(frame)
    checkLimits(frame)
    const { session, hostsModels = false } = this.#options
    const { flags } = frame
    if (((flags & SERVER_HOSTS_MODELS) !== 0) !== hostsModels)
      throw new IoreqError(
        'ERR_PROTOCOL',
        hostsModels
          ? 'it declares its devices, as a program does: give its address to --device'
          : 'it has models for @retrap/device: give its address to --device-server',
      )
    const goesOn = frame.session.lo === session.lo && frame.session.hi === session.hi
    // A server may have opened it over a connection whose welcome was lost.
    if (this.#isOpen && !goesOn) throw new IoreqError('ERR_DEVICE', 'it has been started anew, and has lost its state')
    this.#isOpen = true
    this.name = frame.name
    this.agree(frame.received, (flags & SERVER_RESUMES) !== 0)
    this.#options.onOpen?.()
  }
}

/** A server's end of a session with a machine, whose models are written for `@retrap/device`. */
export class ServerLink extends FrameLink {
  readonly #name: string
  #isKnown = false

  /** @param name - names the server for people */
  constructor(name: string, options: LinkOptions) {
    super(options)
    this.#name = name
  }

  /** Goes on over a connection whose `hello` has been read. */
  connect(stream: ProtocolStream, { session, received }: ProtocolFrame<'hello'>): void {
    const flags = SERVER_RESUMES | SERVER_HOSTS_MODELS
    const welcome = { kind: 'welcome', version: PROTOCOL_VERSION, flags, received: this.received } as const
    this.begin(stream, [{ ...welcome, session: this.#isKnown ? session : NO_SESSION, name: this.#name }])
    this.#isKnown = true
    try {
      this.agree(received, true)
    } catch (error) {
      this.fail(asError(error))
    }
  }

  protected greeted({ kind }: ProtocolFrame): void {
    throw new IoreqError('ERR_PROTOCOL', `it sent a ${kind} frame before its hello was answered`)
  }
}

/** @throws IoreqError `ERR_PROTOCOL` for an end of another version */
export function checkVersion({ version }: ProtocolFrame<'hello' | 'welcome'>): void {
  if (version === PROTOCOL_VERSION) return
  throw new IoreqError(
    'ERR_PROTOCOL',
    `it speaks version ${version}: expected ${PROTOCOL_VERSION}; build it against the library of this retrap`,
  )
}

/** Chooses a name for a run of a machine; not 0. @param word - draws a u32 */
export function randomSession(word: () => number = () => Math.floor(Math.random() * 2 ** 32)): FrameWord {
  return { lo: (word() | 1) >>> 0, hi: word() }
}

const asError = (error: unknown): IoreqError =>
  error instanceof IoreqError ? error : new IoreqError('ERR_PROTOCOL', String(error), { cause: error })
