import { IoreqError } from '../../errors.ts'
import { beyondLimits } from './limits.ts'
import { encodeProtocolFrame, type DecodedFrame, ProtocolReader, stampSeen } from './coding.ts'
import {
  type FrameKind,
  type FrameWord,
  type MachineFrame,
  PROTOCOL_VERSION,
  type ProtocolFrame,
  type ServerFrame,
} from './frame-table.ts'

/** A connection to a device server, as the session uses it. */
export interface ProtocolStream {
  /** Bytes that the other end has not taken yet. */
  readonly backlog: number
  /** Sends bytes after all before. */
  write(bytes: Uint8Array): void
  /** Ends the connection; what has been written still goes out. */
  close(): void
  /** Whether all that has come is to wait; asked after each frame. Absent: no. */
  holds?(): boolean
}

/** The parts that a {@link ProtocolSession} acts on. */
export interface ProtocolSessionOptions {
  /** Names this run of a machine, for a connection that is made again; not 0. */
  readonly session: FrameWord
  /** Whether the guest's clock runs on by itself. */
  readonly realTime: boolean
  /** The guest's clock in nanoseconds. */
  now(): FrameWord
  /** Takes the frames that no call waits for. It may throw: the session then ends with the error. */
  onFrame(frame: ServerFrame): void
  /** The session is over, and not by `close`. */
  onFailed(error: IoreqError): void
}

/** Frames, and their bytes, that may come before they are acknowledged; fewer than half of what 16 bits count. */
const ACK_FRAMES = 64
const ACK_BYTES = 1 << 16
/** Bytes that a server may leave waiting. */
const MOST_WAITING = 1 << 26
/** Frames that it may leave unacknowledged: more could not be told apart by 16 bits. */
const MOST_UNACKED = 0x7fff
/** Frames that are not counted, as they belong to a connection. */
const UNCOUNTED: ReadonlySet<FrameKind> = new Set(['ack', 'hello', 'welcome', 'bye'] as const)
const SEEN_MASK = 0xffff
/** Calls that fail their device where they fail; of the others, what has asked for them fails. */
const FAILING: ReadonlySet<FrameKind> = new Set(['read', 'write', 'timer', 'reset'] as const)

interface Call {
  readonly kind: FrameKind
  /** The server's number of the device that it is about. */
  readonly device: number
  readonly answer: 'answer' | 'done'
  resolve(frame: ProtocolFrame<'answer'> | ProtocolFrame<'done'>): void
  reject(error: IoreqError): void
}

type Calling = Extract<MachineFrame, { readonly call: number }>
/** A call without its number. */
export type CallFields<Kind extends Calling['kind']> = Kind extends FrameKind
  ? Omit<ProtocolFrame<Kind>, 'call'>
  : never

/** The machine's end of the device protocol: frames, calls, and the connections that carry them one after another. */
export class ProtocolSession {
  readonly #options: ProtocolSessionOptions
  readonly #calls = new Map<number, Call>()
  #lastCall = 0
  #stream: ProtocolStream | null = null
  #reader = new ProtocolReader()
  /** Encoded frames that the server has not acknowledged; kept where it can go on over another connection. */
  readonly #unacked: Uint8Array[] = []
  #unackedBytes = 0
  #sent = 0
  #received = 0
  #unseenFrames = 0
  #unseenBytes = 0
  #welcomed = false
  #opened = false
  #resumable = false
  #over = false
  /** Names the server, as it calls itself. */
  name = ''

  constructor(options: ProtocolSessionOptions) {
    this.#options = options
  }

  /** Whether a connection that is lost may be made again: before the server has said anything, nothing is lost. */
  get resumable(): boolean {
    return (this.#resumable || !this.#opened) && !this.#over
  }

  /** Whether the session has ended. */
  get isOver(): boolean {
    return this.#over
  }

  /** Whether the server has said `welcome` on a connection. */
  get isOpen(): boolean {
    return this.#opened
  }

  /** Goes on over a connection, the first or another one. */
  connect(stream: ProtocolStream): void {
    this.#stream = stream
    this.#reader = new ProtocolReader()
    this.#welcomed = false
    const { session, realTime } = this.#options
    const flags = realTime ? 1 : 0
    const hello = { kind: 'hello', version: PROTOCOL_VERSION, flags, session, received: this.#received } as const
    stream.write(encodeProtocolFrame({ ...hello, now: this.#options.now() }, this.#received))
  }

  /** The connection is gone: frames wait for another one. */
  disconnected(): void {
    this.#stream = null
  }

  /** Takes bytes of the connection. Bytes that are no frame end the session. @returns whether some of them wait: see `holds` */
  receive(chunk: Uint8Array): boolean {
    try {
      const waits = this.#reader.push(chunk, (decoded) => {
        if (!this.#over) this.#take(decoded)
        return !this.#over && this.#stream?.holds?.() === true
      })
      if (this.#over) return false
      if (this.#unseenFrames >= ACK_FRAMES || this.#unseenBytes >= ACK_BYTES) this.#write({ kind: 'ack' })
      return waits
    } catch (error) {
      this.fail(asError(error))
      return false
    }
  }

  #take({ frame, seen, length }: DecodedFrame): void {
    if (!this.#welcomed) return this.#welcome(frame)
    checkLimits(frame)
    this.#acknowledge(seen)
    if (frame.kind === 'bye') throw new IoreqError('ERR_DEVICE', frame.why === '' ? 'it has ended' : frame.why)
    if (UNCOUNTED.has(frame.kind)) {
      if (frame.kind === 'ack') return
      throw new IoreqError('ERR_PROTOCOL', `it sent a ${frame.kind} frame, which opens a connection`)
    }
    this.#received++
    this.#unseenFrames++
    this.#unseenBytes += length
    if (frame.kind === 'answer' || frame.kind === 'done') this.#answered(frame)
    else this.#options.onFrame(frame as ServerFrame)
  }

  #welcome(frame: ProtocolFrame): void {
    if (frame.kind === 'bye')
      throw new IoreqError('ERR_DEVICE', frame.why === '' ? 'it refuses the machine' : frame.why)
    if (frame.kind !== 'welcome')
      throw new IoreqError('ERR_PROTOCOL', `its first frame is ${frame.kind}: expected welcome`)
    if (frame.version !== PROTOCOL_VERSION)
      throw new IoreqError(
        'ERR_PROTOCOL',
        `it speaks version ${frame.version}: expected ${PROTOCOL_VERSION}; build it against the library of this retrap`,
      )
    checkLimits(frame)
    const { session } = this.#options
    const goesOn = frame.session.lo === session.lo && frame.session.hi === session.hi
    // A server may have opened it over a connection whose welcome was lost.
    if (this.#opened && !goesOn) throw new IoreqError('ERR_DEVICE', 'it has been started anew, and has lost its state')
    this.#welcomed = true
    this.#opened = true
    this.name = frame.name
    this.#resumable = (frame.flags & 1) !== 0
    this.#drop(frame.received - (this.#sent - this.#unacked.length))
    for (const bytes of this.#unacked) this.#send(bytes)
    if (!this.#resumable) this.#drop(this.#unacked.length)
  }

  #acknowledge(seen: number): void {
    if (!this.#resumable) return
    this.#drop((seen - (this.#sent - this.#unacked.length)) & SEEN_MASK)
  }

  /** The server has so many frames more. */
  #drop(count: number): void {
    if (!(count >= 0 && count <= this.#unacked.length)) {
      const first = this.#sent - this.#unacked.length
      throw new IoreqError(
        'ERR_PROTOCOL',
        `it counts ${first + count} frames of this end: expected ${first} to ${this.#sent}, as so many can have come`,
      )
    }
    for (const { length } of this.#unacked.splice(0, count)) this.#unackedBytes -= length
  }

  #answered(frame: ProtocolFrame<'answer'> | ProtocolFrame<'done'>): void {
    const call = this.#calls.get(frame.call)
    if (call === undefined)
      throw new IoreqError('ERR_PROTOCOL', `it answered call ${frame.call}, which is not open: each is answered once`)
    if (call.answer !== frame.kind)
      throw new IoreqError(
        'ERR_PROTOCOL',
        `it answered call ${frame.call}, a ${call.kind}, with ${frame.kind}: expected ${call.answer}`,
      )
    this.#calls.delete(frame.call)
    call.resolve(frame)
  }

  /** Sends a frame that has no answer. */
  send(frame: MachineFrame): void {
    if (!this.#over) this.#write(frame)
  }

  #write(frame: MachineFrame): void {
    const bytes = encodeProtocolFrame(frame as ProtocolFrame, this.#received)
    if (!UNCOUNTED.has(frame.kind)) {
      this.#sent++
      // Before the server has said whether it can go on, nobody knows.
      if (this.#resumable || !this.#welcomed) {
        this.#unacked.push(bytes)
        this.#unackedBytes += bytes.length
      }
    }
    if (this.#welcomed) this.#send(bytes)
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

  /**
   * Makes a `read` or `write` that the server answers.
   *
   * @param device - the server's number of the device whose region it is; `failCalls` names it
   * @returns what was read; with `onCall` the call's number, for `cancel`
   */
  async access(
    fields: CallFields<'read'> | CallFields<'write'>,
    device = 0,
    onCall?: (call: number) => void,
  ): Promise<FrameWord> {
    const { value } = (await this.#call(fields, device, 'answer', onCall)) as ProtocolFrame<'answer'>
    return value
  }

  /**
   * Makes any other call.
   *
   * @param device - as for an access, where the frame does not name it
   * @returns its result
   * @throws IoreqError `ERR_DEVICE` with the server's error
   */
  async call(
    fields: CallFields<Exclude<Calling['kind'], 'read' | 'write' | 'cancel' | 'dmaDone'>>,
    device?: number,
  ): Promise<Uint8Array> {
    const of = device ?? ('device' in fields ? fields.device : 0)
    const { error, result } = (await this.#call(fields, of, 'done')) as ProtocolFrame<'done'>
    if (error !== '') throw new IoreqError('ERR_DEVICE', error)
    return result
  }

  #call(
    fields: CallFields<Calling['kind']>,
    device: number,
    answer: Call['answer'],
    onCall?: (call: number) => void,
  ): Promise<ProtocolFrame<'answer'> | ProtocolFrame<'done'>> {
    if (this.#over) return Promise.reject(new IoreqError('ERR_DEVICE', 'it has ended'))
    const call = ++this.#lastCall
    onCall?.(call)
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { kind: fields.kind, device, answer, resolve, reject })
      this.#write({ ...fields, call } as Calling)
    })
  }

  /**
   * A device cannot go on: its open calls fail.
   *
   * @returns whether one of them was for the guest, or a timer's: its failure is then the device's
   */
  failCalls(device: number, error: IoreqError): boolean {
    let isTold = false
    for (const call of this.#calls.values()) {
      if (call.device !== device) continue
      isTold ||= FAILING.has(call.kind)
      // The answer may still come, and is dropped.
      call.reject(error)
    }
    return isTold
  }

  /** The server does not keep to the protocol, or is gone permanently. */
  fail(error: IoreqError): void {
    if (this.#over) return
    this.#end(error.message, error)
    this.#options.onFailed(error)
  }

  /** Ends the session. @param why - for the server's people */
  close(why = ''): void {
    if (!this.#over) this.#end(why, new IoreqError('ERR_DEVICE', 'it has ended'))
  }

  #end(why: string, error: IoreqError): void {
    this.#over = true
    this.#stream?.write(encodeProtocolFrame({ kind: 'bye', why }, this.#received))
    this.#stream?.close()
    this.#stream = null
    this.#unacked.length = 0
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    for (const call of calls) call.reject(error)
  }
}

/** @throws IoreqError `ERR_PROTOCOL` */
function checkLimits(frame: ProtocolFrame): void {
  const [beyond] = beyondLimits(frame)
  if (beyond === undefined) return
  const { field, expected } = beyond
  const value = (frame as unknown as Readonly<Record<string, number | Uint8Array>>)[field]
  const found = value instanceof Uint8Array ? `${value.length} bytes` : value
  throw new IoreqError('ERR_PROTOCOL', `${field} of its ${frame.kind} frame is ${found}: expected ${expected}`)
}

const asError = (error: unknown): IoreqError =>
  error instanceof IoreqError ? error : new IoreqError('ERR_PROTOCOL', String(error), { cause: error })
