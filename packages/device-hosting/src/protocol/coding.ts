import { plainLine } from '@retrap/device/host'
import { IoreqError } from '@retrap/ioreq'
import { FrameCutter } from '../frame-cutter.ts'
import {
  type FieldType,
  FRAME_TABLE,
  type FrameKind,
  type FrameRow,
  type FrameWord,
  HEADER_BYTES,
  MAX_PROTOCOL_FRAME,
  type ProtocolFrame,
} from './frame-table.ts'

const WORD_BYTES = 8
const TWO_32 = 2 ** 32
/** Bits 63:32 of the largest exact integer. */
const MOST_HI = 0x1f_ffff

type FieldValue = number | string | FrameWord | Uint8Array

interface Layout {
  readonly kind: FrameKind
  readonly code: number
  readonly fields: readonly (readonly [name: string, type: FieldType])[]
}

const LAYOUTS = Object.fromEntries(
  Object.entries(FRAME_TABLE).map(([kind, { code, fields }]: readonly [string, FrameRow]) => [
    kind,
    { kind: kind as FrameKind, code, fields: fields.map(([name, type]) => [name, type] as const) },
  ]),
) as unknown as Readonly<Record<FrameKind, Layout>>

const BY_CODE: (Layout | undefined)[] = []
for (const layout of Object.values(LAYOUTS)) BY_CODE[layout.code] = layout

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

const padded = (length: number): number => WORD_BYTES + Math.ceil(length / WORD_BYTES) * WORD_BYTES

/**
 * A frame's bytes.
 *
 * @param seen - the count of frames that have arrived
 * @throws IoreqError `ERR_INVALID` for one longer than `MAX_PROTOCOL_FRAME`, or a number that no u64 holds exactly
 */
export function encodeProtocolFrame(frame: ProtocolFrame, seen = 0): Uint8Array<ArrayBuffer> {
  const { code, fields, kind } = LAYOUTS[frame.kind]
  const given = frame as unknown as Readonly<Record<string, FieldValue>>
  const values: FieldValue[] = []
  let length = HEADER_BYTES
  for (const [name, type] of fields) {
    const value = type === 'text' ? encoder.encode(given[name] as string) : given[name]!
    values.push(value)
    length += value instanceof Uint8Array ? padded(value.length) : WORD_BYTES
  }
  if (length > MAX_PROTOCOL_FRAME)
    throw new IoreqError('ERR_INVALID', `a ${kind} frame of ${length} bytes: expected at most ${MAX_PROTOCOL_FRAME}`)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, length, true)
  view.setUint16(4, code, true)
  stampSeen(bytes, seen)
  let at = HEADER_BYTES
  for (const value of values) {
    if (typeof value === 'number') {
      if (!Number.isSafeInteger(value) || value < 0)
        throw new IoreqError('ERR_INVALID', `${value} in a ${kind} frame: expected an integer from 0 to 2^53 - 1`)
      view.setUint32(at, value % TWO_32, true)
      view.setUint32(at + 4, value / TWO_32, true)
      at += WORD_BYTES
    } else if (value instanceof Uint8Array) {
      view.setUint32(at, value.length, true)
      bytes.set(value, at + WORD_BYTES)
      at += padded(value.length)
    } else {
      const { lo, hi } = value as FrameWord
      view.setUint32(at, lo, true)
      view.setUint32(at + 4, hi, true)
      at += WORD_BYTES
    }
  }
  return bytes
}

/** Writes into an encoded frame how many frames have arrived by now. */
export function stampSeen(bytes: Uint8Array, seen: number): void {
  bytes[6] = seen & 0xff
  bytes[7] = (seen >>> 8) & 0xff
}

/** A frame, and the fields of its header. */
export interface DecodedFrame {
  /** The frame. The `bytes` of the frame are a view of the decoded bytes. */
  readonly frame: ProtocolFrame
  /** The low 16 bits of the count of frames that the sender has got. */
  readonly seen: number
  /** Bytes of the frame. */
  readonly length: number
}

/**
 * Reads one whole frame.
 *
 * @throws IoreqError `ERR_PROTOCOL` for bytes that are no frame
 */
export function decodeProtocolFrame(bytes: Uint8Array): DecodedFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const code = view.getUint16(4, true)
  const layout = BY_CODE[code]
  if (layout === undefined) throw new IoreqError('ERR_PROTOCOL', `a frame of kind ${code}, which there is not`)
  const { kind, fields } = layout
  const frame: Record<string, FieldValue> = { kind }
  let at = HEADER_BYTES
  for (const [name, type] of fields) {
    if (at + WORD_BYTES > bytes.length) throw tooShort(kind, name, bytes.length)
    const lo = view.getUint32(at, true)
    const hi = view.getUint32(at + 4, true)
    at += WORD_BYTES
    if (type === 'word') frame[name] = { lo, hi }
    else if (hi > MOST_HI) throw new IoreqError('ERR_PROTOCOL', `${name} of a ${kind} frame: expected at most 2^53 - 1`)
    else if (type === 'number') frame[name] = hi * TWO_32 + lo
    else {
      const end = at + lo
      if (hi !== 0 || end > bytes.length) throw tooShort(kind, name, bytes.length)
      const part = bytes.subarray(at, end)
      for (let i = end; i < at + padded(lo) - WORD_BYTES; i++)
        if (bytes[i] !== 0)
          throw new IoreqError(
            'ERR_PROTOCOL',
            `${name} of a ${kind} frame: expected zeros up to a multiple of 8 behind it`,
          )
      frame[name] = type === 'text' ? textOf(part, kind, name) : part
      at += padded(lo) - WORD_BYTES
    }
  }
  if (at !== bytes.length)
    throw new IoreqError('ERR_PROTOCOL', `a ${kind} frame of ${bytes.length} bytes: its fields take ${at}`)
  return { frame: frame as unknown as ProtocolFrame, seen: view.getUint16(6, true), length: at }
}

function tooShort(kind: string, name: string, length: number): IoreqError {
  return new IoreqError('ERR_PROTOCOL', `a ${kind} frame of ${length} bytes ends within ${name}`)
}

function textOf(bytes: Uint8Array, kind: string, name: string): string {
  try {
    // A peer's text is shown to people: control characters are replaced, at any length.
    return plainLine(decoder.decode(bytes), Infinity)
  } catch {
    throw new IoreqError('ERR_PROTOCOL', `${name} of a ${kind} frame is no UTF-8`)
  }
}

/** Cuts a stream of bytes into frames of the device protocol, and reads them. */
export class ProtocolReader extends FrameCutter {
  /** @param longest - a longer frame is refused before it is received */
  constructor(longest: number = MAX_PROTOCOL_FRAME) {
    super(HEADER_BYTES, (bytes) => lengthOf(bytes, longest))
  }

  /**
   * Takes the next bytes, and hands over the frames that they complete, as `cut` does.
   *
   * @param onFrame - the `bytes` of a frame are views of the bytes taken
   * @throws IoreqError `ERR_PROTOCOL` for bytes that are not a frame
   */
  push(chunk: Uint8Array, onFrame: (decoded: DecodedFrame) => unknown): boolean {
    return this.cut(chunk, (bytes) => onFrame(decodeProtocolFrame(bytes)))
  }
}

function lengthOf(bytes: Uint8Array, longest: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES).getUint32(0, true)
  if (length < HEADER_BYTES || length > longest || length % WORD_BYTES !== 0)
    throw new IoreqError(
      'ERR_PROTOCOL',
      `a frame of ${length} bytes: expected a multiple of 8, from ${HEADER_BYTES} to ${longest}`,
    )
  return length
}
