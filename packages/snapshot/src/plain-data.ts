import { SnapshotError } from './errors.ts'

/** A state as text, and the bytes that it refers to. */
export interface EncodedState {
  /** JSON. */
  readonly text: string
  /** Contents of the typed arrays. */
  readonly bytes: Uint8Array
}

/** Typed arrays that a state may have, by name. */
const ARRAYS = {
  Uint8Array,
  Uint16Array,
  Uint32Array,
  Int8Array,
  Int16Array,
  Int32Array,
  Float32Array,
  Float64Array,
} as const
type ArrayName = keyof typeof ARRAYS
type TypedArray = InstanceType<(typeof ARRAYS)[ArrayName]>

/** No state has objects in objects to such a depth. */
const DEEPEST = 100

/** Bytes of an array are aligned so that an element never is not. */
const ALIGN = 8

/**
 * Writes a state as JSON. Values without a JSON form become an object with one field whose name begins with `$`: `$array` (the
 * type of elements, the place and the number of bytes), `$bigint`, `$number`. Fields whose value is undefined are left out.
 *
 * @throws SnapshotError `ERR_STATE`, naming the field, for a value that is not plain data
 */
export function encodeState(state: unknown): EncodedState {
  const arrays: TypedArray[] = []
  let length = 0
  const encode = (value: unknown, path: string, depth = 0): unknown => {
    if (depth > DEEPEST) throw new SnapshotError('ERR_STATE', `${path} is too deep: expected at most ${DEEPEST} levels`)
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value
      case 'number':
        return Number.isFinite(value) && !Object.is(value, -0)
          ? value
          : { $number: Object.is(value, -0) ? '-0' : String(value) }
      case 'bigint':
        return { $bigint: String(value) }
      case 'object':
        break
      default:
        throw new SnapshotError('ERR_STATE', `${path} is a ${typeof value}: expected plain data`)
    }
    if (value === null) return null
    if (Array.isArray(value))
      return value.map((each, i) =>
        each === undefined ? { $number: 'undefined' } : encode(each, `${path}[${i}]`, depth + 1),
      )
    // A subclass, such as Node's `Buffer`, has the name of its built-in class.
    const name = (Object.keys(ARRAYS) as ArrayName[]).find((one) => value instanceof ARRAYS[one])
    if (name !== undefined) {
      const array = value as TypedArray
      const at = length
      arrays.push(array)
      length += Math.ceil(array.byteLength / ALIGN) * ALIGN
      return { $array: [name, at, array.byteLength] }
    }
    const prototype = Object.getPrototypeOf(value) as unknown
    if (prototype !== Object.prototype && prototype !== null) {
      const kind = (value as { constructor?: { name?: string } }).constructor?.name ?? 'object'
      throw new SnapshotError('ERR_STATE', `${path} is a ${kind}: expected plain data`)
    }
    const fields = Object.entries(value).filter(([, each]) => each !== undefined)
    const special = fields.find(([key]) => key.startsWith('$'))
    if (special !== undefined)
      throw new SnapshotError('ERR_STATE', `${path}.${special[0]}: expected names that do not begin with $`)
    return Object.fromEntries(
      fields.map(([key, each]) => [key, encode(each, path === '' ? key : `${path}.${key}`, depth + 1)]),
    )
  }
  const text = JSON.stringify(encode(state, ''))
  const bytes = new Uint8Array(length)
  let at = 0
  for (const array of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at)
    at += Math.ceil(array.byteLength / ALIGN) * ALIGN
  }
  return { text, bytes }
}

/**
 * Reads a state that {@link encodeState} has written. Arrays are copies.
 *
 * @throws SnapshotError `ERR_DAMAGED` for data that `encodeState` cannot have written
 */
export function decodeState({ text, bytes }: EncodedState): unknown {
  /** Bytes not used by any array: each byte belongs to one. */
  let left = bytes.length
  const decode = (value: unknown, depth: number): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (depth > DEEPEST) throw new SnapshotError('ERR_DAMAGED', `the state in the snapshot has over ${DEEPEST} levels`)
    if (Array.isArray(value)) return value.map((each) => decode(each, depth + 1))
    const entries = Object.entries(value)
    const [first] = entries
    if (first !== undefined && first[0].startsWith('$')) {
      const special = decodeSpecial(first[0], first[1], bytes, left)
      if (ArrayBuffer.isView(special)) left -= special.byteLength
      return special
    }
    // Not by assignment: `__proto__` is a name like others.
    return Object.fromEntries(entries.map(([key, each]) => [key, decode(each, depth + 1)]))
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw new SnapshotError('ERR_DAMAGED', 'the state in the snapshot is not JSON', { cause: error })
  }
  return decode(parsed, 0)
}

const SPECIAL_NUMBERS: ReadonlyMap<unknown, number | undefined> = new Map<unknown, number | undefined>([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
  ['-0', -0],
  ['undefined', undefined],
])

/** @param most - bytes that an array may have */
function decodeSpecial(kind: string, value: unknown, bytes: Uint8Array, most: number): unknown {
  if (kind === '$bigint' && typeof value === 'string' && /^-?\d+$/.test(value)) return BigInt(value)
  if (kind === '$number' && SPECIAL_NUMBERS.has(value)) return SPECIAL_NUMBERS.get(value)
  if (kind === '$array' && Array.isArray(value)) {
    const [name, at, length] = value as [ArrayName, number, number]
    if (Object.hasOwn(ARRAYS, name) && Number.isInteger(at) && Number.isInteger(length)) {
      const from = ARRAYS[name]
      const fits =
        at >= 0 && length >= 0 && length <= most && at + length <= bytes.length && length % from.BYTES_PER_ELEMENT === 0
      if (fits) return new from(bytes.slice(at, at + length).buffer)
    }
  }
  throw new SnapshotError('ERR_DAMAGED', `the state in the snapshot has a ${kind} that was not written`)
}
