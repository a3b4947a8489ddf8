import { IoreqError } from './errors.ts'
import { copyOf, decodeFrame } from './frame-coding.ts'
import { MAX_FRAME_BYTES, type Frame } from './frames.ts'

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  readonly #onFrame: (frame: Frame) => void
  #rest = new Uint8Array(0)

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame
  }

  /**
   * Takes the next bytes and hands over the frames that they complete.
   *
   * @throws IoreqError `ERR_PROTOCOL` for what is no frame
   */
  push(chunk: Uint8Array): void {
    let bytes = chunk
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length)
      bytes.set(this.#rest)
      bytes.set(chunk, this.#rest.length)
      this.#rest = new Uint8Array(0)
    }
    let at = 0
    while (bytes.length - at >= 4) {
      const length = new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true)
      if (length > MAX_FRAME_BYTES) {
        throw new IoreqError('ERR_PROTOCOL', `a frame of ${length} bytes: expected at most ${MAX_FRAME_BYTES}`)
      }
      if (bytes.length - at - 4 < length) break
      const frame = decodeFrame(bytes.subarray(at + 4, at + 4 + length))
      at += 4 + length
      this.#onFrame(frame)
    }
    // A copy: what the caller gave is the caller's.
    this.#rest = copyOf(bytes, at, bytes.length - at)
  }
}
