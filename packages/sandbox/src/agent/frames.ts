import { HEADER_BYTES, LENGTH_BYTES } from './protocol.ts'

/** A decoded frame. */
export interface Frame {
  readonly type: number
  readonly id: number
  readonly payload: Uint8Array
}

/** A part of a payload: a u32, a u64, a text with its zero byte, or bytes. */
export type FramePart = number | bigint | string | Uint8Array

/** Most bytes of a frame after its length. */
const MOST_BYTES = 512 * 1024

const encoder = new TextEncoder()

function bytesOf(part: FramePart): Uint8Array {
  if (typeof part === 'string') return encoder.encode(`${part}\0`)
  if (typeof part === 'object') return part
  const bytes = new Uint8Array(typeof part === 'bigint' ? 8 : 4)
  const view = new DataView(bytes.buffer)
  if (typeof part === 'bigint') view.setBigUint64(0, part, true)
  else view.setUint32(0, part, true)
  return bytes
}

/** Encodes a frame for the agent. */
export function encodeFrame(type: number, id: number, ...parts: readonly FramePart[]): Uint8Array {
  const payload = parts.map(bytesOf)
  const frame = new Uint8Array(payload.reduce((sum, part) => sum + part.length, HEADER_BYTES))
  const view = new DataView(frame.buffer)
  view.setUint32(0, frame.length - LENGTH_BYTES, true)
  view.setUint8(4, type)
  view.setUint32(5, id, true)
  let at = HEADER_BYTES
  for (const part of payload) {
    frame.set(part, at)
    at += part.length
  }
  return frame
}

/** Decodes frames from a stream that arrives in pieces of any size. */
export class FrameDecoder {
  /** Bytes of an incomplete frame, in the first `#length` bytes. */
  #held: Uint8Array = new Uint8Array(0)
  #length = 0

  /**
   * Adds bytes of the stream. The payloads returned are copies.
   *
   * @returns the frames that the bytes complete, in order
   * @throws Error if a frame has no header or is longer than 512 KiB
   */
  push(bytes: Uint8Array): Frame[] {
    const source = this.#length === 0 ? bytes : this.#join(bytes)
    const view = new DataView(source.buffer, source.byteOffset, source.byteLength)
    const frames: Frame[] = []
    let at = 0
    while (source.length - at >= LENGTH_BYTES) {
      const length = view.getUint32(at, true)
      if (length < HEADER_BYTES - LENGTH_BYTES || length > MOST_BYTES) {
        throw new Error(`A frame from the agent has ${length} bytes; expected 5 to ${MOST_BYTES}.`)
      }
      const end = at + LENGTH_BYTES + length
      if (end > source.length) break
      frames.push({
        type: view.getUint8(at + 4),
        id: view.getUint32(at + 5, true),
        payload: source.slice(at + HEADER_BYTES, end),
      })
      at = end
    }
    // The rest is copied once, unless it is all of the bytes that are held already.
    if (at > 0 || this.#length === 0) {
      this.#held = source.slice(at)
      this.#length = this.#held.length
    }
    return frames
  }

  /** Returns a decoder with the same incomplete frame. */
  copy(): FrameDecoder {
    const copy = new FrameDecoder()
    copy.#held = this.#held.slice(0, this.#length)
    copy.#length = this.#length
    return copy
  }

  /** Appends bytes to the incomplete frame. */
  #join(bytes: Uint8Array): Uint8Array {
    const length = this.#length + bytes.length
    if (length > this.#held.length) {
      // Doubling keeps the cost of a long frame in small pieces linear.
      const larger = new Uint8Array(Math.max(length, 2 * this.#held.length))
      larger.set(this.#held.subarray(0, this.#length))
      this.#held = larger
    }
    this.#held.set(bytes, this.#length)
    this.#length = length
    return this.#held.subarray(0, length)
  }
}
