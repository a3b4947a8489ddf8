import type { Word64 } from '@retrap/device'
import { type Frame, type FrameRange, MAX_FRAME_BYTES } from './frames.ts'
import { IoreqError } from '../errors.ts'
import { IOREQ_BYTES, STATE_IOREQ_READY } from '../layout.ts'
import { createIoRequest, type IoRequest } from '../request.ts'
import { IoreqSlot } from '../slot.ts'

type FieldType = 'u32' | 'f64' | 'u64' | 'flag' | 'text' | 'bytes' | 'ranges' | 'ioreq'
type Layout = readonly [code: number, ...fields: (readonly [name: string, type: FieldType])[]]

const LAYOUTS: Readonly<Record<Frame['kind'], Layout>> = {
  hello: [1, ['version', 'u32'], ['vcpus', 'u32'], ['realTime', 'flag'], ['now', 'u64']],
  request: [2, ['vcpu', 'u32'], ['sequence', 'u32'], ['now', 'u64'], ['request', 'ioreq']],
  buffered: [3, ['now', 'u64'], ['request', 'ioreq']],
  cancel: [4, ['vcpu', 'u32']],
  timer: [5, ['timer', 'u32'], ['deadline', 'u64'], ['now', 'u64']],
  reset: [6, ['now', 'u64']],
  settle: [7, ['call', 'u32']],
  save: [8, ['call', 'u32']],
  restore: [9, ['call', 'u32'], ['now', 'u64'], ['state', 'text']],
  dmaDone: [10, ['call', 'u32'], ['ok', 'flag'], ['bytes', 'bytes']],
  detach: [11, ['device', 'text']],
  invalidate: [12, ['vcpu', 'u32'], ['all', 'flag'], ['gone', 'ranges'], ['readOnly', 'ranges']],
  drop: [13, ['call', 'u32']],
  quiesce: [14, ['call', 'u32'], ['deadline', 'f64']],
  resume: [15, ['now', 'u64']],
  message: [16, ['now', 'u64'], ['bytes', 'bytes']],
  plug: [17, ['call', 'u32'], ['now', 'u64'], ['device', 'text']],
  unplug: [18, ['call', 'u32'], ['now', 'u64'], ['bus', 'text'], ['force', 'flag'], ['deadline', 'f64']],
  ready: [32, ['name', 'text']],
  claim: [33, ['type', 'u32'], ['ranges', 'ranges'], ['buffered', 'ranges']],
  answer: [34, ['vcpu', 'u32'], ['sequence', 'u32'], ['lo', 'u32'], ['hi', 'u32']],
  fault: [35, ['vcpu', 'u32'], ['device', 'text'], ['what', 'text'], ['message', 'text']],
  openLine: [36, ['line', 'u32'], ['irq', 'u32']],
  openPin: [37, ['line', 'u32'], ['device', 'u32'], ['pin', 'u32']],
  setLine: [38, ['line', 'u32'], ['level', 'flag']],
  pulseLine: [39, ['line', 'u32']],
  msi: [40, ['address', 'f64'], ['data', 'u32'], ['requester', 'u32']],
  armTimer: [41, ['timer', 'u32'], ['deadline', 'u64']],
  dmaRead: [42, ['call', 'u32'], ['gpa', 'f64'], ['length', 'u32']],
  dmaWrite: [43, ['call', 'u32'], ['gpa', 'f64'], ['bytes', 'bytes']],
  powerOff: [44],
  resetMachine: [45],
  exit: [46, ['code', 'u32']],
  called: [47, ['call', 'u32'], ['error', 'text'], ['result', 'text']],
  wantFrames: [48],
  modified: [49, ['gfn', 'f64'], ['count', 'f64']],
  ownMemory: [
    50,
    ['call', 'u32'],
    ['memory', 'u32'],
    ['device', 'text'],
    ['name', 'text'],
    ['length', 'f64'],
    ['flags', 'u32'],
  ],
  placeMemory: [51, ['placement', 'u32'], ['memory', 'u32'], ['gpa', 'f64'], ['offset', 'f64'], ['length', 'f64']],
  removePlacement: [52, ['placement', 'u32']],
  memoryMode: [53, ['memory', 'u32'], ['trapped', 'flag']],
  memoryModified: [54, ['memory', 'u32'], ['offset', 'f64'], ['length', 'f64']],
  memoryRead: [55, ['call', 'u32'], ['memory', 'u32'], ['offset', 'f64'], ['length', 'u32']],
  memoryWrite: [56, ['call', 'u32'], ['memory', 'u32'], ['offset', 'f64'], ['bytes', 'bytes']],
  memoryDirty: [57, ['call', 'u32'], ['memory', 'u32'], ['offset', 'f64'], ['length', 'f64']],
  memoryLog: [58, ['memory', 'u32'], ['on', 'flag']],
  freeMemory: [59, ['memory', 'u32']],
}

const BY_CODE: ReadonlyMap<number, { readonly kind: Frame['kind']; readonly layout: Layout }> = new Map(
  Object.entries(LAYOUTS).map(([kind, layout]) => [layout[0], { kind: kind as Frame['kind'], layout }]),
)

const encoder = new TextEncoder()
const decoder = new TextDecoder()

type FieldValue = number | boolean | string | Word64 | Uint8Array | readonly FrameRange[] | IoRequest

function fieldBytes(type: FieldType, value: FieldValue): number {
  switch (type) {
    case 'u32':
      return 4
    case 'f64':
    case 'u64':
      return 8
    case 'flag':
      return 1
    case 'ioreq':
      return IOREQ_BYTES
    case 'ranges':
      return 4 + 16 * (value as readonly FrameRange[]).length
    case 'bytes':
    case 'text':
      return 4 + (value as Uint8Array).length
  }
}

/**
 * A frame's bytes, its length in front.
 *
 * @throws IoreqError `ERR_INVALID` for one longer than {@link MAX_FRAME_BYTES}
 */
export function encodeFrame(frame: Frame): Uint8Array {
  const [code, ...fields] = LAYOUTS[frame.kind]
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
      `unknown kind of frame ${bytes[0]}: both sides need one version of @retrap/ioreq/host`,
    )
  const [, ...fields] = known.layout
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
  for (const [name, type] of fields) frame[name] = readField(view, bytes, type, take)
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
