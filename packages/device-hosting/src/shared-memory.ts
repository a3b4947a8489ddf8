import type { Word64 } from '@retrap/device'
import { IOREQ_PAGE_BYTES, IoreqError } from '@retrap/ioreq'
import { Doorbell } from './doorbell.ts'
import { encodeFrame, FrameReader } from './frame-coding.ts'
import type { Frame } from './frames.ts'

/*
 * Words of the header, in front of the data. The counters run modulo 2^32; the bytes between them have been written and
 * not read. Each is stored by one side only, after the bytes that it stands for.
 */
const WRITTEN = 0
const READ = 1
/** The writer has more than there was room for: the reader rings when it has made some. */
const STARVED = 2
const HEADER_BYTES = 64

/** A pipe of bytes from one thread to another, in shared memory: one writer, one reader, no copies in between. */
class SharedStream {
  readonly #words: Int32Array
  readonly #data: Uint8Array
  readonly #capacity: number

  /** @param capacity - bytes, a power of two */
  constructor(buffer: SharedArrayBuffer, byteOffset: number, capacity: number) {
    this.#words = new Int32Array(buffer, byteOffset, HEADER_BYTES / 4)
    this.#data = new Uint8Array(buffer, byteOffset + HEADER_BYTES, capacity)
    this.#capacity = capacity
  }

  /** Writes as much as there is room for; returns how much. If that is not all, the reader will ring. */
  write(bytes: Uint8Array): number {
    let done = this.#put(bytes)
    if (done < bytes.length) {
      Atomics.store(this.#words, STARVED, 1)
      // The reader may have made room before it could see that we want it.
      done += this.#put(bytes.subarray(done))
    }
    return done
  }

  #put(bytes: Uint8Array): number {
    const written = Atomics.load(this.#words, WRITTEN)
    const used = (written - Atomics.load(this.#words, READ)) >>> 0
    // The other side may have corrupted the counters: never write over bytes that it has not read.
    const count = Math.min(bytes.length, Math.max(0, this.#capacity - used))
    const at = written & (this.#capacity - 1)
    const first = Math.min(count, this.#capacity - at)
    this.#data.set(bytes.subarray(0, first), at)
    this.#data.set(bytes.subarray(first, count), 0)
    Atomics.store(this.#words, WRITTEN, (written + count) | 0)
    return count
  }

  /** Takes all unread bytes; null if there are none. */
  read(): Uint8Array | null {
    const read = Atomics.load(this.#words, READ)
    const count = Math.min((Atomics.load(this.#words, WRITTEN) - read) >>> 0, this.#capacity)
    if (count === 0) return null
    const bytes = new Uint8Array(count)
    const at = read & (this.#capacity - 1)
    const first = Math.min(count, this.#capacity - at)
    bytes.set(this.#data.subarray(at, at + first))
    bytes.set(this.#data.subarray(0, count - first), first)
    Atomics.store(this.#words, READ, (read + count) | 0)
    return bytes
  }

  /** After reading: whether the writer waits for room. Asking clears it. */
  takeStarved(): boolean {
    return Atomics.exchange(this.#words, STARVED, 0) !== 0
  }
}

/*
 * The memory that a hypervisor and a device Worker share: a page of words, the request page, the ring, and a stream of frames
 * each way.
 */
const MAGIC = 0x7265_7471
/** Words of the first page. */
const WORD_MAGIC = 0
const WORD_DEVICE_BELL = 1
const WORD_CLOSED = 2
/** 1: the hypervisor has put buffered requests into the ring since the Worker last looked. */
const WORD_BUFFERED = 3
/**
 * The machine's clock when the last request was published: a count of how often it was written, and two places of two
 * words for it. The count says which place is valid; the next time goes into the other. So a reader looks again only where
 * two times were written meanwhile, and never waits for a writer that does not run.
 */
const WORD_TIMES = 16
const WORD_TIME = 18
const PAGE_AT = IOREQ_PAGE_BYTES
const RING_AT = 2 * IOREQ_PAGE_BYTES
const COMMANDS_AT = 3 * IOREQ_PAGE_BYTES
const STREAM_BYTES = 1 << 16
const EVENTS_AT = COMMANDS_AT + 2 * STREAM_BYTES
const BYTES = EVENTS_AT + HEADER_BYTES + STREAM_BYTES

/** The message to a device Worker; see `serveSharedDevices`. */
export interface SharedDeviceMemory {
  /** Page, ring, streams and bells. */
  readonly buffer: SharedArrayBuffer
  /** Memory of the bell that wakes the hypervisor; several servers may share it. */
  readonly doorbell: Int32Array
  /** Index of the word of the hypervisor's bell. */
  readonly doorbellIndex: number
}

/** Makes the memory that one device server in a Worker shares with its hypervisor. */
export function createSharedDeviceMemory(doorbell: Doorbell): SharedDeviceMemory {
  const buffer = new SharedArrayBuffer(BYTES)
  new Int32Array(buffer)[WORD_MAGIC] = MAGIC
  return { buffer, doorbell: doorbell.words, doorbellIndex: doorbell.index }
}

/** One side's view of the shared memory: its words, and frames from and to the other side. */
export class SharedEnd {
  readonly page: { readonly buffer: SharedArrayBuffer; readonly byteOffset: number }
  readonly ringPage: { readonly buffer: SharedArrayBuffer; readonly byteOffset: number }
  /** The other side rings it to wake this side. */
  readonly ownBell: Doorbell
  /** This side rings it to wake the other. */
  readonly otherBell: Doorbell
  readonly #words: Int32Array
  readonly #out: SharedStream
  readonly #in: SharedStream
  readonly #reader: FrameReader
  /** Frames for which there was no room. */
  #queue: Uint8Array[] = []

  /** @throws IoreqError `ERR_INVALID` for memory that `createSharedDeviceMemory` has not made */
  constructor(memory: SharedDeviceMemory, side: 'hypervisor' | 'devices', onFrame: (frame: Frame) => void) {
    const { buffer } = memory
    const words = new Int32Array(buffer, 0, IOREQ_PAGE_BYTES / 4)
    if (buffer.byteLength !== BYTES || words[WORD_MAGIC] !== MAGIC) {
      throw new IoreqError(
        'ERR_INVALID',
        `${buffer.byteLength} bytes are not the memory of a device server; expected ${BYTES}, made by the other side`,
      )
    }
    this.#words = words
    this.page = { buffer, byteOffset: PAGE_AT }
    this.ringPage = { buffer, byteOffset: RING_AT }
    const hypervisorBell = new Doorbell(memory.doorbell, memory.doorbellIndex)
    const deviceBell = new Doorbell(words, WORD_DEVICE_BELL)
    const commands = new SharedStream(buffer, COMMANDS_AT, STREAM_BYTES)
    const events = new SharedStream(buffer, EVENTS_AT, STREAM_BYTES)
    const hypervisor = side === 'hypervisor'
    this.ownBell = hypervisor ? hypervisorBell : deviceBell
    this.otherBell = hypervisor ? deviceBell : hypervisorBell
    this.#out = hypervisor ? commands : events
    this.#in = hypervisor ? events : commands
    this.#reader = new FrameReader(onFrame)
  }

  /** The hypervisor's side: publishes the machine's clock. */
  setTime({ lo, hi }: Readonly<Word64>): void {
    const words = this.#words
    const times = (words[WORD_TIMES]! + 1) | 0
    const at = WORD_TIME + 2 * (times & 1)
    Atomics.store(words, at, lo | 0)
    Atomics.store(words, at + 1, hi | 0)
    Atomics.store(words, WORD_TIMES, times)
  }

  /** The devices' side: reads the clock that was published last. */
  readTime(into: Word64): void {
    const words = this.#words
    let times
    do {
      times = Atomics.load(words, WORD_TIMES)
      const at = WORD_TIME + 2 * (times & 1)
      into.lo = Atomics.load(words, at) >>> 0
      into.hi = Atomics.load(words, at + 1) >>> 0
      // If the clock was written twice meanwhile, the two words may belong to different times.
    } while (Atomics.load(words, WORD_TIMES) !== times)
  }

  /** The hypervisor's side: marks that the ring holds requests, and rings the device's bell. */
  ringBuffered(): void {
    Atomics.store(this.#words, WORD_BUFFERED, 1)
    this.otherBell.ring()
  }

  /** The devices' side: whether requests were put into the ring since the last call, which has cleared the mark. */
  takeBuffered(): boolean {
    return Atomics.load(this.#words, WORD_BUFFERED) !== 0 && Atomics.exchange(this.#words, WORD_BUFFERED, 0) !== 0
  }

  get closed(): boolean {
    return Atomics.load(this.#words, WORD_CLOSED) !== 0
  }

  /** Notifies the other side by a word, since it might not read a frame. */
  close(): void {
    Atomics.store(this.#words, WORD_CLOSED, 1)
    this.otherBell.ring()
  }

  /** Sends a frame and rings. */
  send(frame: Frame): void {
    this.write(frame)
    this.otherBell.ring()
  }

  /** Puts a frame into the stream, or behind the frames that wait for room in the stream. */
  write(frame: Frame): void {
    this.#queue.push(encodeFrame(frame))
    this.flush()
  }

  /** Sends waiting frames, as far as the stream has room. @returns whether none is left */
  flush(): boolean {
    this.#sendQueue()
    return this.#queue.length === 0
  }

  /** @returns whether frames were sent */
  #sendQueue(): boolean {
    let any = false
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const done = this.#out.write(next)
      any ||= done > 0
      if (done < next.length) {
        this.#queue[0] = next.subarray(done)
        break
      }
      this.#queue.shift()
    }
    return any
  }

  /** Hands over the frames that have arrived. @returns whether there were any */
  receive(): boolean {
    let any = false
    for (let bytes = this.#in.read(); bytes !== null; bytes = this.#in.read()) {
      any = true
      if (this.#in.takeStarved()) this.otherBell.ring()
      this.#reader.push(bytes)
    }
    // A frame that was sent in part needs a reader too: the stream has room for its rest only then.
    if (this.#sendQueue()) this.otherBell.ring()
    return any
  }
}
