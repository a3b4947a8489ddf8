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

function bytesOf(part: FramePart): Uint8Array {
  if (typeof part === 'number') return new Uint8Array(Uint32Array.of(part).buffer)
  if (typeof part === 'bigint') return new Uint8Array(BigUint64Array.of(part).buffer)
  return typeof part === 'string' ? Buffer.from(`${part}\0`) : part
}

/** Encodes a frame for the agent. */
export function encodeFrame(type: number, id: number, ...parts: readonly FramePart[]): Uint8Array {
  const frame = Buffer.concat([new Uint8Array(HEADER_BYTES), ...parts.map(bytesOf)])
  frame.writeUInt32LE(frame.length - LENGTH_BYTES)
  frame[LENGTH_BYTES] = type
  frame.writeUInt32LE(id, LENGTH_BYTES + 1)
  return frame
}

/** Decodes frames from a stream that arrives in pieces of any size. */
export class FrameDecoder {
  /** Bytes of an incomplete frame. */
  #held: Uint8Array

  /** @param held - begins the stream */
  constructor(held: Uint8Array = new Uint8Array(0)) {
    this.#held = held
  }

  /**
   * Adds bytes of the stream. The payloads returned are copies.
   *
   * @returns the frames that the bytes complete, in order
   * @throws Error if a frame has no header or is longer than 512 KiB
   */
  push(bytes: Uint8Array): Frame[] {
    const source = Buffer.concat([this.#held, bytes])
    const frames: Frame[] = []
    let at = 0
    while (source.length - at >= LENGTH_BYTES) {
      const length = source.readUInt32LE(at)
      if (length < HEADER_BYTES - LENGTH_BYTES || length > MOST_BYTES)
        throw new Error(`A frame from the agent has ${length} bytes; expected 5 to ${MOST_BYTES}.`)
      const end = at + LENGTH_BYTES + length
      if (end > source.length) break
      const id = source.readUInt32LE(at + LENGTH_BYTES + 1)
      frames.push({
        type: source[at + LENGTH_BYTES]!,
        id,
        payload: new Uint8Array(source.subarray(at + HEADER_BYTES, end)),
      })
      at = end
    }
    this.#held = source.subarray(at)
    return frames
  }

  /** Returns a decoder with the same incomplete frame. */
  copy(): FrameDecoder {
    return new FrameDecoder(this.#held)
  }
}
