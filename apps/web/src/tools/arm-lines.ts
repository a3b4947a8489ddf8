import {
  extract,
  findA32,
  findA64,
  findThumb,
  type Field,
  type Form,
  formatA32,
  formatA64,
  formatThumb,
  isWideThumb,
} from '@retrap/arm-decoder'
import { type Line, type Part, readField } from './code.ts'

/** Takes Arm code apart: little-endian words, as they lie in memory. */
export function armLines(bytes: Uint8Array, mode: 'a64' | 'a32' | 't32', address: bigint): Line[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const lines: Line[] = []
  for (let at = 0; at < bytes.length;) {
    const here = address + BigInt(at)
    const length = mode === 't32' ? thumbLength(view, at) : 4
    const taken = bytes.subarray(at, at + length)
    if (taken.length < length) {
      lines.push({ address: here, bytes: taken, text: '(truncated)', parts: [] })
      break
    }
    const { text, form, word } = mode === 't32' ? thumb(view, at, length, here) : wide(view, at, mode, here)
    lines.push({
      address: here,
      bytes: taken,
      text: text ?? '(unallocated)',
      parts: form === undefined ? [] : partsOf(form, word, length, mode === 't32'),
    })
    at += length
  }
  return lines
}

interface Found {
  readonly text: string | undefined
  readonly form: Form | undefined
  readonly word: number
}

const thumbLength = (view: DataView, at: number): number =>
  at + 2 <= view.byteLength && isWideThumb(view.getUint16(at, true)) ? 4 : 2

function thumb(view: DataView, at: number, length: number, address: bigint): Found {
  const first = view.getUint16(at, true)
  const second = length === 4 ? view.getUint16(at + 2, true) : 0
  const word = length === 4 ? ((first << 16) | second) >>> 0 : first
  return { text: formatThumb(first, second, { address }), form: findThumb(first, second), word }
}

function wide(view: DataView, at: number, mode: 'a64' | 'a32', address: bigint): Found {
  const word = view.getUint32(at, true)
  const [format, find] = mode === 'a64' ? [formatA64, findA64] : [formatA32, findA32]
  return { text: format(word, { address }), form: find(word), word }
}

/** Returns a word with another value in one field. */
function inserted({ pieces }: Field, word: number, value: number): number {
  let [result, rest] = [word, value]
  for (const piece of pieces.toReversed()) {
    const [shift, width] = [piece & 255, piece >> 8]
    const mask = 2 ** width - 1
    result = (result & ~(mask << shift)) | ((rest & mask) << shift)
    rest >>>= width
  }
  return result >>> 0
}

/** The bytes of a word, as they lie in memory: of a wide Thumb instruction the first half lies first. */
function bytesOf(word: number, length: number, isThumb: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(length))
  if (length === 2) view.setUint16(0, word, true)
  else view.setUint32(0, isThumb ? ((word >>> 16) | (word << 16)) >>> 0 : word, true)
  return new Uint8Array(view.buffer)
}

/** Splits a word into its fixed bits and its fields. */
function partsOf(form: Form, word: number, length: number, isThumb: boolean): Part[] {
  const digits = 2 * length
  const changes = (width: number, into: (value: number) => number) => (text: string) => {
    const value = readField(text, width)
    return value === null ? null : bytesOf(into(value), length, isThumb)
  }
  const hex = (value: number): string => (value >>> 0).toString(16).padStart(digits, '0')
  return [
    {
      name: 'word',
      value: hex(word),
      text: form.feature === '' ? form.mnemonic : `${form.mnemonic}, ${form.feature}`,
      change: changes(8 * length, (value) => value),
    },
    { name: 'fixed bits', value: hex(form.value), text: `under the mask ${hex(form.mask)}` },
    ...Array.from(form.fields, ([name, field]): Part => {
      const value = extract(field, word) >>> 0
      const bits = value.toString(2).padStart(field.width, '0')
      return {
        name,
        value: value.toString(16),
        text: field.width === 1 ? '1 bit' : `${field.width} bits: ${bits}`,
        change: changes(field.width, (given) => inserted(field, word, given)),
      }
    }),
  ]
}
