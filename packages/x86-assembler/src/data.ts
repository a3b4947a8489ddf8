/** The bytes of data directives. */
import { describeArgument } from '@retrap/basics'
import { AssemblerError } from './checks.ts'
import { fitsEither, pushValue, type Encoding, type Fixup } from './fixups.ts'
import { asExpression, Label, LabelExpression } from './labels.ts'
import { formatOperand } from './operands.ts'
import { asValue, type Value } from './values.ts'

/** The arguments of a data directive. */
export type DataItem = Value | string | Uint8Array

const utf8 = new TextEncoder()

/** Encodes the items of a data directive, numbers and labels in `size` bytes each. */
export function dataOf(items: readonly DataItem[], size: 1 | 2 | 4 | 8): Encoding {
  const [only] = items
  // An image that is included is copied once and not taken apart.
  if (only instanceof Uint8Array && items.length === 1) return { bytes: only.slice(), fixups: [] }
  const bytes: number[] = []
  const fixups: Fixup[] = []
  for (const item of items) {
    if (typeof item === 'string' || item instanceof Uint8Array) {
      for (const value of typeof item === 'string' ? utf8.encode(item) : item) bytes.push(value)
    } else if (item instanceof Label || item instanceof LabelExpression) {
      fixups.push(absoluteFixup(bytes.length, size, asExpression(item)))
      pushValue(bytes, 0n, size)
    } else {
      const value = asValue(item) as bigint
      if (!fitsEither(value, size * 8)) {
        throw new AssemblerError('ERR_RANGE', `${describeArgument(item)} does not fit in ${size * 8} bits`)
      }
      pushValue(bytes, value, size)
    }
  }
  return { bytes, fixups }
}

/** Floating-point numbers of 4 or 8 bytes, least significant byte first. */
export function floats(values: readonly number[], size: 4 | 8): Uint8Array {
  for (const value of values) {
    if (typeof value !== 'number') throw new AssemblerError('ERR_OPERAND', `${describeArgument(value)} is no number`)
  }
  const view = new DataView(new ArrayBuffer(values.length * size))
  for (const [index, value] of values.entries()) {
    if (size === 4) view.setFloat32(index * 4, value, true)
    else view.setFloat64(index * 8, value, true)
  }
  return new Uint8Array(view.buffer)
}

/** Returns the value of one byte. Throws `ERR_RANGE` for other values. */
export function asByte(value: number): number {
  if (Number.isInteger(value) && fitsEither(BigInt(value), 8)) return value & 0xff
  throw new AssemblerError('ERR_RANGE', `${describeArgument(value)} is not a byte to fill with`)
}

function absoluteFixup(offset: number, size: 1 | 2 | 4 | 8, value: LabelExpression): Fixup {
  return { kind: 'absolute', offset, size, value, origin: 0, scale: 1, addressBits: 64 }
}

/** Formats a data item for listings. */
export function formatItem(item: DataItem): string {
  if (typeof item === 'string') return JSON.stringify(item)
  if (item instanceof Uint8Array) return `(${item.length} bytes)`
  // Numbers of floats are shown as given; other numbers have no fraction.
  return typeof item === 'number' && !Number.isInteger(item) ? String(item) : formatOperand(item)
}
