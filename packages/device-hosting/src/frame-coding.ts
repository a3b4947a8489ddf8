import type { Word64 } from '@retrap/device'
import { type FieldType, type Frame, FRAMES, type FrameRange, MAX_FRAME_BYTES } from './frames.ts'
import { createIoRequest, IOREQ_BYTES, IoreqError, IoreqSlot, type IoRequest, STATE_IOREQ_READY } from '@retrap/ioreq'
import { FrameCutter } from './frame-cutter.ts'

interface Layout {
  readonly kind: Frame['kind']
  readonly code: number
  readonly fields: readonly (readonly [name: string, type: FieldType])[]
}

const LAYOUTS: ReadonlyMap<Frame['kind'], Layout> = new Map(
  Object.entries(FRAMES).map(([name, [code, fields]]) => {
    const kind = name as Frame['kind']
    return [kind, { kind, code, fields: Object.entries(fields) as [string, FieldType][] }]
  }),
)
const BY_CODE: ReadonlyMap<number, Layout> = new Map([...LAYOUTS.values()].map((layout) => [layout.code, layout]))

/** Bytes in front of a frame that say how long it is. */
const LENGTH_BYTES = 4
const encoder = new TextEncoder()
const decoder = new TextDecoder()

type FieldValue = number | boolean | string | Word64 | Uint8Array | readonly FrameRange[] | IoRequest

const FIXED_BYTES: { readonly [Type in FieldType]?: number } = { u32: 4, f64: 8, u64: 8, flag: 1, ioreq: IOREQ_BYTES }

function fieldBytes(type: FieldType, value: FieldValue): number {
  const { length } = value as Uint8Array | readonly FrameRange[]
  return FIXED_BYTES[type] ?? 4 + (type === 'ranges' ? 16 * length : length)
}

/**
 * A frame's bytes, its length in front.
 *
 * @throws IoreqError `ERR_INVALID` for one longer than {@link MAX_FRAME_BYTES}
 */
export function encodeFrame(frame: Frame): Uint8Array {
  const { code, fields } = LAYOUTS.get(frame.kind)!
  const values = fields.map(([name, type]): FieldValue => {
    const value = (frame as unknown as Record<string, FieldValue>)[name] as FieldValue
    return type === 'text' ? encoder.encode(value as string) : value
  })
  let length = 1
  for (const [i, [, type]] of fields.entries()) length += fieldBytes(type, values[i]!)
  if (length > MAX_FRAME_BYTES) {
    throw new IoreqError('ERR_INVALID', `a ${frame.kind} frame of ${length} bytes: expected at most ${MAX_FRAME_BYTES}`)
  }
  const bytes = new Uint8Array(4 + length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, length, true)
  bytes[4] = code
  let at = 5
  for (const [i, [, type]] of fields.entries()) {
    const value = values[i]!
    putField(view, bytes, at, type, value)
    at += fieldBytes(type, value)
  }
  return bytes
}

function putField(view: DataView, bytes: Uint8Array, at: number, type: FieldType, value: FieldValue): void {
  switch (type) {
    case 'u32':
      view.setUint32(at, value as number, true)
      return
    case 'f64':
      view.setFloat64(at, value as number, true)
      return
    case 'u64':
      view.setUint32(at, (value as Word64).lo, true)
      view.setUint32(at + 4, (value as Word64).hi, true)
      return
    case 'flag':
      bytes[at] = value === true ? 1 : 0
      return
    case 'bytes':
    case 'text':
      view.setUint32(at, (value as Uint8Array).length, true)
      bytes.set(value as Uint8Array, at + 4)
      return
    case 'ranges':
      view.setUint32(at, (value as readonly FrameRange[]).length, true)
      for (const [i, [first, last]] of (value as readonly FrameRange[]).entries()) {
        view.setFloat64(at + 4 + 16 * i, first, true)
        view.setFloat64(at + 12 + 16 * i, last, true)
      }
      return
    case 'ioreq': {
      const words = new Int32Array(IOREQ_BYTES / 4)
      new IoreqSlot(words, 0).publish(value as IoRequest)
      bytes.set(new Uint8Array(words.buffer), at)
    }
  }
}

/**
 * Reads one frame, without its length.
 *
 * @throws IoreqError `ERR_PROTOCOL` for bytes that are no frame
 */
export function decodeFrame(bytes: Uint8Array): Frame {
  const known = BY_CODE.get(bytes[0] ?? -1)
  if (known === undefined)
    throw new IoreqError(
      'ERR_PROTOCOL',
      `unknown kind of frame ${bytes[0]}: both sides need one version of @retrap/device-hosting`,
    )
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const frame: Record<string, FieldValue> = { kind: known.kind }
  let at = 1
  const take = (length: number): number => {
    if (length > bytes.length - at) {
      throw new IoreqError('ERR_PROTOCOL', `a ${known.kind} frame of ${bytes.length} bytes ends too early`)
    }
    const from = at
    at += length
    return from
  }
  for (const [name, type] of known.fields) frame[name] = readField(view, bytes, type, take)
  if (at !== bytes.length) {
    throw new IoreqError('ERR_PROTOCOL', `a ${known.kind} frame of ${bytes.length} bytes: expected ${at}`)
  }
  return frame as unknown as Frame
}

function readField(view: DataView, bytes: Uint8Array, type: FieldType, take: (length: number) => number): FieldValue {
  switch (type) {
    case 'u32':
      return view.getUint32(take(4), true)
    case 'f64':
      return view.getFloat64(take(8), true)
    case 'u64': {
      const from = take(8)
      return { lo: view.getUint32(from, true), hi: view.getUint32(from + 4, true) }
    }
    case 'flag':
      return bytes[take(1)] !== 0
    case 'bytes':
    case 'text': {
      const length = view.getUint32(take(4), true)
      const from = take(length)
      return type === 'text' ? decoder.decode(bytes.subarray(from, from + length)) : copyOf(bytes, from, length)
    }
    case 'ranges': {
      const count = view.getUint32(take(4), true)
      const from = take(16 * count)
      return Array.from({ length: count }, (_, i): FrameRange => [
        view.getFloat64(from + 16 * i, true),
        view.getFloat64(from + 16 * i + 8, true),
      ])
    }
    case 'ioreq': {
      const from = take(IOREQ_BYTES)
      const words = new Int32Array(copyOf(bytes, from, IOREQ_BYTES).buffer)
      const slot = new IoreqSlot(words, 0)
      if (slot.state !== STATE_IOREQ_READY) {
        throw new IoreqError('ERR_PROTOCOL', `a request in state ${slot.state}: expected READY`)
      }
      const request = createIoRequest()
      slot.readInto(request)
      return request
    }
  }
}

/** A copy with a buffer of its own; the `slice` of Node's `Buffer` is none. */
export function copyOf(bytes: Uint8Array, from: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes.subarray(from, from + length))
}

/** Cuts a stream of bytes into frames, and reads them. */
export class FrameReader {
  readonly #cutter = new FrameCutter(LENGTH_BYTES, lengthOf)
  readonly #onFrame: (frame: Frame) => void

  constructor(onFrame: (frame: Frame) => void) {
    this.#onFrame = onFrame
  }

  /**
   * Takes the next bytes, without changing them, and hands over the frames that they complete.
   *
   * @throws IoreqError `ERR_PROTOCOL` for bytes that are not a frame
   */
  push(chunk: Uint8Array): void {
    this.#cutter.cut(chunk, (bytes) => this.#onFrame(decodeFrame(bytes.subarray(LENGTH_BYTES))))
  }
}

function lengthOf(bytes: Uint8Array): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getUint32(0, true)
  if (length <= MAX_FRAME_BYTES) return LENGTH_BYTES + length
  throw new IoreqError('ERR_PROTOCOL', `a frame of ${length} bytes: expected at most ${MAX_FRAME_BYTES}`)
}
