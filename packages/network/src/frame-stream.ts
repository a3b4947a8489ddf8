import type { PacketBackend, PacketClient } from '@retrap/device'
import { HOST_CLOCK, type NetworkClock } from './clock.ts'
import { FrameQueue } from './frame-queue.ts'
import { get32, put32 } from './frames/bytes.ts'
import { MAXIMUM_TAGGED_FRAME } from './hub.ts'

/** QEMU sends no longer frames; a longer one is no frame. */
const MOST_FRAME = 69_632
/** A peer that sends faster than the card takes frames waits from here on. */
const HIGH_WATER = 1 << 20

/** A byte stream to another machine: a socket or similar. */
export interface FramePipe {
  /** Sends bytes, which are the pipe's to keep. @returns false: they were taken, and `FrameStream.drained` is to be called */
  write(bytes: Uint8Array): boolean
  /** Brings no more data until `resume`. */
  pause(): void
  /** Brings data again. */
  resume(): void
  /** Breaks the connection off. */
  close(): void
}

/**
 * Frames over a stream of bytes, each behind its length in 32 bits, in network order: the protocol of QEMU's `-netdev
 * stream` and `-netdev socket` and of passt. Without a connection the cable is pulled.
 *
 * Source: QEMU, "System Emulation, Invocation", `-netdev stream`; passt(1), `--socket`.
 */
export class FrameStream implements PacketBackend {
  /** A frame with a VLAN tag. */
  readonly maximumBytes: number = MAXIMUM_TAGGED_FRAME
  readonly #queue: FrameQueue
  #pipe: FramePipe | null = null
  /** An incomplete frame: its length, then its bytes. */
  #partial = new Uint8Array(4)
  #partialBytes = 0
  #full = false
  #refused = false
  #paused = false

  constructor(clock: NetworkClock = HOST_CLOCK) {
    this.#queue = new FrameQueue(clock, () => {
      if (this.#paused) this.#pipe?.resume()
      this.#paused = false
    })
  }

  /** Whether a connection exists. */
  get linkUp(): boolean {
    return this.#pipe !== null
  }

  /** Names the card. @throws NetworkError `ERR_CONNECTED` */
  connect(client: PacketClient): void {
    this.#queue.connect(client)
  }

  /** The card has room again. */
  ready(): void {
    this.#queue.ready()
  }

  /** Sends a frame. @returns false where the peer takes no more for now */
  send(frame: Uint8Array): boolean {
    if (this.#pipe === null || frame.length > this.maximumBytes) return true
    if (this.#full) {
      this.#refused = true
      return false
    }
    const bytes = new Uint8Array(4 + frame.length)
    put32(bytes, 0, frame.length)
    bytes.set(frame, 4)
    this.#full = !this.#pipe.write(bytes)
    return true
  }

  /** Sets the connection, and closes a previous one. */
  attach(pipe: FramePipe): void {
    const wasUp = this.linkUp
    this.#pipe?.close()
    this.#pipe = pipe
    this.#begin()
    if (!wasUp) this.#queue.client?.linkChanged(true)
  }

  /** Called when the connection is closed: the link goes down. */
  detach(): void {
    if (this.#pipe === null) return
    this.#pipe = null
    this.#begin()
    this.#queue.client?.linkChanged(false)
  }

  /** The pipe takes bytes again. */
  drained(): void {
    this.#full = false
    const refused = this.#refused
    this.#refused = false
    if (refused) this.#queue.client?.drained()
  }

  /** Takes bytes of the peer's. */
  data(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#partialBytes > 0 || bytes.length - at < 4) {
        at += this.#complete(bytes, at)
        if (this.#pipe === null) return
        continue
      }
      const length = get32(bytes, at)
      if (!this.#accepts(length)) return
      if (at + 4 + length > bytes.length) {
        at += this.#complete(bytes, at)
        continue
      }
      this.#deliver(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)))
      at += 4 + length
    }
    if (this.#queue.bytes > HIGH_WATER && !this.#paused) {
      this.#paused = true
      this.#pipe?.pause()
    }
  }

  /** Adds bytes to a frame that comes in pieces. @returns how many were used */
  #complete(bytes: Uint8Array, at: number): number {
    const wanted = this.#partial.length - this.#partialBytes
    const part = bytes.subarray(at, at + wanted)
    this.#partial.set(part, this.#partialBytes)
    this.#partialBytes += part.length
    if (this.#partialBytes < this.#partial.length) return part.length
    if (this.#partial.length === 4) {
      const length = get32(this.#partial, 0)
      if (!this.#accepts(length)) return part.length
      const frame = new Uint8Array(4 + length)
      frame.set(this.#partial)
      this.#partial = frame
      if (length > 0) return part.length
    }
    this.#deliver(this.#partial.subarray(4))
    this.#partial = new Uint8Array(4)
    this.#partialBytes = 0
    return part.length
  }

  /** A longer frame is no Ethernet frame: the connection ends. */
  #accepts(length: number): boolean {
    if (length <= MOST_FRAME) return true
    const pipe = this.#pipe
    this.detach()
    pipe?.close()
    return false
  }

  #deliver(frame: Uint8Array): void {
    if (frame.length <= this.maximumBytes) this.#queue.push(frame)
  }

  #begin(): void {
    this.#partial = new Uint8Array(4)
    this.#partialBytes = 0
    this.#paused = false
    this.drained()
  }
}
