/** Types of fields in hypercall arguments. `ulong` and `pointer` are as wide as the caller: 8 bytes, or 4. */
export type FieldType = 'u8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'ulong' | 'pointer'

type Wide = 'u64' | 'ulong' | 'pointer'

/** A structure's fields; 64-bit fields are bigints. */
export type Values<F extends Readonly<Record<string, FieldType>>> = {
  -readonly [K in keyof F]: F[K] extends Wide ? bigint : number
}

const BYTES = { u8: 1, u16: 2, i16: 2, u32: 4, i32: 4, u64: 8, ulong: 8, pointer: 8 } as const

/** Offsets of fields for one kind of caller. */
interface Shape {
  readonly size: number
  readonly offsets: Readonly<Record<string, number>>
}

function shape(fields: Readonly<Record<string, FieldType>>, compat: boolean): Shape {
  const offsets: Record<string, number> = {}
  let at = 0
  let largest = 1
  for (const [name, type] of Object.entries(fields)) {
    const bytes = bytesOf(type, compat)
    // The i386 ABI aligns 64-bit integers in structures to 4.
    const align = compat ? Math.min(bytes, 4) : bytes
    at = Math.ceil(at / align) * align
    offsets[name] = at
    at += bytes
    largest = Math.max(largest, align)
  }
  return { size: Math.ceil(at / largest) * largest, offsets }
}

export function bytesOf(type: FieldType, compat: boolean): number {
  return compat && (type === 'ulong' || type === 'pointer') ? 4 : BYTES[type]
}

/** A structure of Xen's public headers, as C compilers lay it out for 64-bit and for 32-bit callers. */
export class Layout<const F extends Readonly<Record<string, FieldType>>> {
  readonly fields: F
  readonly #native: Shape
  readonly #compat: Shape

  /** @param fields - in order, padding that the compiler adds left out */
  constructor(fields: F) {
    this.fields = fields
    this.#native = shape(fields, false)
    this.#compat = shape(fields, true)
  }

  /** Bytes. */
  size(compat: boolean): number {
    return (compat ? this.#compat : this.#native).size
  }

  /** Where a field begins. */
  offset(field: keyof F & string, compat: boolean): number {
    return (compat ? this.#compat : this.#native).offsets[field]!
  }

  /** The fields' values. */
  decode(view: DataView, compat: boolean): Values<F> {
    const values: Record<string, number | bigint> = {}
    for (const name in this.fields) {
      values[name] = get(view, this.offset(name, compat), this.fields[name]!, compat)
    }
    return values as Values<F>
  }

  /** Stores the given fields, and leaves the bytes between them unchanged. */
  encode(view: DataView, values: Partial<Values<F>>, compat: boolean): void {
    for (const name in values) {
      const value = values[name] as number | bigint
      put(view, this.offset(name, compat), this.fields[name]!, value, compat)
    }
  }
}

/** Reads one little-endian field; as a bigint if it has 8 bytes. */
export function get(view: DataView, at: number, type: FieldType, compat: boolean): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at)
    case 'u16':
      return view.getUint16(at, true)
    case 'i16':
      return view.getInt16(at, true)
    case 'u32':
      return view.getUint32(at, true)
    case 'i32':
      return view.getInt32(at, true)
    default:
      return bytesOf(type, compat) === 4 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true)
  }
}

/** Stores one field; a value that is too wide is truncated. */
export function put(view: DataView, at: number, type: FieldType, value: number | bigint, compat: boolean): void {
  switch (bytesOf(type, compat)) {
    case 1:
      view.setUint8(at, Number(value))
      break
    case 2:
      view.setUint16(at, Number(value), true)
      break
    case 4:
      view.setUint32(at, typeof value === 'bigint' ? Number(value & 0xffff_ffffn) : value, true)
      break
    default:
      view.setBigUint64(at, BigInt(value), true)
  }
}
