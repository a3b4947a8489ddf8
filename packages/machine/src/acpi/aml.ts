/**
 * A small writer of ACPI Machine Language. Each function returns the bytes of
 * one grammar production, so a table reads like the ASL it stands for.
 *
 * Source: ACPI Specification 6.5, chapter 20, "ACPI Machine Language (AML)".
 */
import { concatenate } from '@retrap/basics'

/** Bytes of one AML term. */
export type Aml = Uint8Array

const ZERO_OP = 0x00
const ONE_OP = 0x01
const NAME_OP = 0x08
const BYTE_PREFIX = 0x0a
const WORD_PREFIX = 0x0b
const DWORD_PREFIX = 0x0c
const STRING_PREFIX = 0x0d
const QWORD_PREFIX = 0x0e
const SCOPE_OP = 0x10
const BUFFER_OP = 0x11
const PACKAGE_OP = 0x12
const METHOD_OP = 0x14
const DUAL_NAME_PREFIX = 0x2e
const MULTI_NAME_PREFIX = 0x2f
const EXT_OP_PREFIX = 0x5b
const ROOT_CHAR = 0x5c
const PARENT_PREFIX = 0x5e
const LOCAL0_OP = 0x60
const ARG0_OP = 0x68
const STORE_OP = 0x70
const SHIFT_LEFT_OP = 0x79
const AND_OP = 0x7b
const OR_OP = 0x7d
const FIND_SET_RIGHT_BIT_OP = 0x82
const NOTIFY_OP = 0x86
const SUBTRACT_OP = 0x74
const CREATE_DWORD_FIELD_OP = 0x8a
const CREATE_WORD_FIELD_OP = 0x8b
const NOT_OP = 0x92
const LEQUAL_OP = 0x93
const IF_OP = 0xa0
const RETURN_OP = 0xa4
const EXT_OP_REGION = 0x80
const EXT_FIELD = 0x81
const EXT_DEVICE = 0x82

/** Joins AML terms and raw byte lists, in order. */
export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Aml {
  return concatenate(parts)
}

/**
 * PkgLength of `content` bytes. The encoding counts itself unless `bare`,
 * the form in which a field list gives sizes in bits.
 */
function packageLength(content: number, bare = false): number[] {
  for (let following = 0; following <= 3; following++) {
    const value = bare ? content : content + 1 + following
    if (following === 0) {
      if (value < 0x40) return [value]
    } else if (value < 2 ** (4 + 8 * following)) {
      const bytes = [(following << 6) | (value & 0x0f)]
      for (let i = 0; i < following; i++) bytes.push((value >>> (4 + 8 * i)) & 0xff)
      return bytes
    }
  }
  throw new RangeError(`AML package of ${content} bytes: the limit is 2^28 - 1`)
}

function sized(op: readonly number[], ...parts: readonly (Uint8Array | readonly number[])[]): Aml {
  const content = concat(...parts)
  return concat(op, packageLength(content.length), content)
}

function nameSegment(segment: string): number[] {
  if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment))
    throw new RangeError(`AML name segment '${segment}': expected 1 to 4 of A-Z, 0-9, _`)
  return [...segment.padEnd(4, '_')].map((c) => c.charCodeAt(0))
}

/** A NameString such as `_CRS`, `^LNKA`, `\_SB.PCI0`. */
export function path(name: string): Aml {
  const prefix: number[] = []
  let rest = name
  if (rest.startsWith('\\')) {
    prefix.push(ROOT_CHAR)
    rest = rest.slice(1)
  }
  while (rest.startsWith('^')) {
    prefix.push(PARENT_PREFIX)
    rest = rest.slice(1)
  }
  const segments = rest === '' ? [] : rest.split('.')
  if (segments.length === 0) prefix.push(0)
  else if (segments.length === 2) prefix.push(DUAL_NAME_PREFIX)
  else if (segments.length > 2) prefix.push(MULTI_NAME_PREFIX, segments.length)
  return concat(prefix, segments.flatMap(nameSegment))
}

/** An integer constant in its shortest encoding. */
export function integer(value: number | bigint): Aml {
  const n = BigInt(value)
  if (n === 0n) return Uint8Array.of(ZERO_OP)
  if (n === 1n) return Uint8Array.of(ONE_OP)
  const [prefix, bytes] =
    n <= 0xffn
      ? [BYTE_PREFIX, 1]
      : n <= 0xffffn
        ? [WORD_PREFIX, 2]
        : n <= 0xffff_ffffn
          ? [DWORD_PREFIX, 4]
          : [QWORD_PREFIX, 8]
  const out = [prefix]
  for (let i = 0; i < bytes; i++) out.push(Number((n >> BigInt(8 * i)) & 0xffn))
  return Uint8Array.from(out)
}

/** A string constant; ASCII without NUL. */
export function string(text: string): Aml {
  return concat(
    [STRING_PREFIX],
    [...text].map((c) => c.charCodeAt(0)),
    [0],
  )
}

/** A compressed EISA identifier such as `PNP0A03`. */
export function eisaId(id: string): Aml {
  const match = /^([A-Z]{3})([0-9A-F]{4})$/.exec(id)
  if (match === null) throw new RangeError(`EISA id '${id}': expected three letters and four hex digits`)
  const letters = match[1]!
  let code = 0
  for (const letter of letters) code = (code << 5) | (letter.charCodeAt(0) - 0x40)
  const product = Number.parseInt(match[2]!, 16)
  // The id is a byte string, most significant byte first; AML keeps it as a little-endian integer.
  return integer((code >>> 8) + (code & 0xff) * 0x100 + (product >>> 8) * 0x1_0000 + (product & 0xff) * 0x100_0000)
}

/** A buffer holding exactly `bytes`. */
export function buffer(bytes: Uint8Array): Aml {
  return sized([BUFFER_OP], integer(bytes.length), bytes)
}

/** The bytes of `ToUUID (text)`: the first three groups have their lowest byte first. */
export function uuid(text: string): Uint8Array {
  const groups = text.split('-').map((group) => group.match(/../g)!.map((digits) => Number.parseInt(digits, 16)))
  return Uint8Array.from(groups.flatMap((group, i) => (i < 3 ? group.toReversed() : group)))
}

/** A package of up to 255 elements. */
export function pkg(...elements: readonly Aml[]): Aml {
  if (elements.length > 0xff) throw new RangeError(`AML package of ${elements.length} elements: the limit is 255`)
  return sized([PACKAGE_OP], [elements.length], ...elements)
}

/** `Name (name, value)`. */
export function name(objectName: string, value: Aml): Aml {
  return concat([NAME_OP], path(objectName), value)
}

/** `Scope (name) { … }`. */
export function scope(scopeName: string, ...terms: readonly Aml[]): Aml {
  return sized([SCOPE_OP], path(scopeName), ...terms)
}

/** `Device (name) { … }`. */
export function device(deviceName: string, ...terms: readonly Aml[]): Aml {
  return sized([EXT_OP_PREFIX, EXT_DEVICE], path(deviceName), ...terms)
}

/** `Method (name, argumentCount, NotSerialized or Serialized) { … }`. */
export function method(methodName: string, argumentCount: number, serialized: boolean, ...terms: readonly Aml[]): Aml {
  return sized([METHOD_OP], path(methodName), [argumentCount | (serialized ? 8 : 0)], ...terms)
}

/** Operation region spaces (ACPI 6.5, 19.6.100, "OperationRegion"). */
export const RegionSpace = { systemMemory: 0, systemIo: 1, pciConfig: 2 } as const

/** `OperationRegion (name, space, offset, bytes)`. */
export function operationRegion(regionName: string, space: number, offset: number, bytes: number): Aml {
  return concat([EXT_OP_PREFIX, EXT_OP_REGION], path(regionName), [space], integer(offset), integer(bytes))
}

type Fields = readonly (readonly [name: string, bits: number])[]

function field(regionName: string, access: number, fields: Fields): Aml {
  const list = fields.map(([fieldName, bits]) => concat(nameSegment(fieldName), packageLength(bits, true)))
  return sized([EXT_OP_PREFIX, EXT_FIELD], path(regionName), [access], ...list)
}

/** `Field (region, ByteAcc, NoLock, Preserve) { NAME, bits … }`. */
export const byteField = (regionName: string, fields: Fields): Aml => field(regionName, 1, fields)
/** `Field (region, DWordAcc, NoLock, Preserve) { NAME, bits … }`. */
export const dwordField = (regionName: string, fields: Fields): Aml => field(regionName, 3, fields)

/** `Local0` … `Local7`. */
export const local = (index: number): Aml => Uint8Array.of(LOCAL0_OP + index)
/** `Arg0` … `Arg6`. */
export const arg = (index: number): Aml => Uint8Array.of(ARG0_OP + index)
/** `Store (value, target)`. */
export const store = (value: Aml, target: Aml): Aml => concat([STORE_OP], value, target)
/** `And (a, b, target)`; without a target the result is used in place. */
export const and = (a: Aml, b: Aml, target: Aml = Uint8Array.of(ZERO_OP)): Aml => concat([AND_OP], a, b, target)
/** `Or (a, b, target)`. */
export const or = (a: Aml, b: Aml, target: Aml): Aml => concat([OR_OP], a, b, target)
/** `ShiftLeft (a, count, target)`. */
export const shiftLeft = (a: Aml, count: Aml, target: Aml): Aml => concat([SHIFT_LEFT_OP], a, count, target)
/** `Subtract (a, b, target)`. */
export const subtract = (a: Aml, b: Aml, target: Aml): Aml => concat([SUBTRACT_OP], a, b, target)
/** `FindSetRightBit (a, target)`: one-based index of the lowest set bit, 0 if none. */
export const findSetRightBit = (a: Aml, target: Aml): Aml => concat([FIND_SET_RIGHT_BIT_OP], a, target)
/** `LEqual (a, b)`. */
export const equal = (a: Aml, b: Aml): Aml => concat([LEQUAL_OP], a, b)
/** `LNot (a)`. */
export const not = (a: Aml): Aml => concat([NOT_OP], a)
/** `If (predicate) { … }`. */
export const when = (predicate: Aml, ...terms: readonly Aml[]): Aml => sized([IF_OP], predicate, ...terms)
/** `Notify (object, value)`. */
export const notify = (object: string, value: number): Aml => concat([NOTIFY_OP], path(object), integer(value))
/** `Return (value)`. */
export const returns = (value: Aml): Aml => concat([RETURN_OP], value)
/** `CreateDWordField (buffer, byteIndex, name)`. */
export const createDwordField = (source: Aml, byteIndex: number, fieldName: string): Aml =>
  concat([CREATE_DWORD_FIELD_OP], source, integer(byteIndex), path(fieldName))
/** `CreateWordField (buffer, byteIndex, name)`. */
export const createWordField = (source: Aml, byteIndex: number, fieldName: string): Aml =>
  concat([CREATE_WORD_FIELD_OP], source, integer(byteIndex), path(fieldName))
