/** Limits of the fields of a server's frames, beyond the limits of their types. */
import { IoreqError } from '@retrap/ioreq'
import { type FrameKind, MAX_TRANSFER_BYTES, type ProtocolFrame } from './frame-table.ts'

type Numbers = Readonly<Record<string, number>>

interface Limit {
  readonly kind: FrameKind
  readonly field: string
  readonly expected: string
  readonly holds: (value: number, frame: Numbers) => boolean
}

const limit = (kind: FrameKind, field: string, expected: string, holds: Limit['holds']): Limit => ({
  ...{ kind, field, expected, holds },
})
const among = (kind: FrameKind, field: string, ...values: readonly number[]): Limit =>
  limit(kind, field, values.length === 2 ? values.join(' or ') : `one of ${values.join(', ')}`, (value) =>
    values.includes(value),
  )
const atMost = (kind: FrameKind, field: string, most: number): Limit =>
  limit(kind, field, `at most ${most}`, (value) => value <= most)
const multiple = (kind: FrameKind, field: string, of: number): Limit =>
  limit(kind, field, `a multiple of ${of}, and not 0`, (value) => value % of === 0 && value > 0)

const ACCESS = (kind: 'range' | 'bar'): readonly Limit[] => [
  among(kind, 'maximum', 0, 1, 2, 4, 8),
  among(kind, 'minimum', 0, 1, 2, 4),
  limit(kind, 'minimum', 'at most the maximum', (value, { maximum = 0 }) => value <= (maximum === 0 ? 4 : maximum)),
]

const LIMITS: readonly Limit[] = [
  atMost('welcome', 'flags', 3),
  atMost('device', 'flags', 3),
  among('range', 'space', 0, 1),
  limit('range', 'bytes', 'at least 1', (value) => value > 0),
  limit('range', 'base', 'a range that ends at port 65535 or before', (base, { space, bytes = 0 }) =>
    space === 0 ? base + bytes <= 0x1_0000 : true,
  ),
  limit('range', 'base', 'a range that ends below 2^52', (base, { bytes = 0 }) => base + bytes <= 2 ** 52),
  ...ACCESS('range'),
  atMost('range', 'flags', 1),
  atMost('function', 'address', 263),
  limit('function', 'vendor', '1 to 0xfffe', (value) => value > 0 && value < 0xffff),
  atMost('function', 'id', 0xffff),
  atMost('function', 'revision', 0xff),
  atMost('function', 'class', 0xff_ffff),
  atMost('function', 'subsystemVendor', 0xffff),
  atMost('function', 'subsystem', 0xffff),
  atMost('function', 'pin', 4),
  atMost('function', 'flags', 3),
  atMost('bar', 'index', 5),
  among('bar', 'type', 0, 1, 2),
  limit('bar', 'bytes', 'a power of two', (value) => value > 0 && 2 ** Math.round(Math.log2(value)) === value),
  ...ACCESS('bar'),
  atMost('bar', 'flags', 3),
  among('msi', 'vectors', 1, 2, 4, 8, 16, 32),
  limit('msix', 'vectors', '1 to 2048', (value) => value >= 1 && value <= 2048),
  atMost('msix', 'bar', 5),
  limit('msix', 'offset', 'a multiple of 8', (value) => value % 8 === 0),
  limit('msix', 'pending', 'a multiple of 8', (value) => value % 8 === 0),
  limit('memory', 'memory', 'a number but 0', (value) => value !== 0),
  multiple('memory', 'bytes', 4096),
  atMost('memory', 'flags', 7),
  limit('window', 'base', 'a multiple of 4096', (value) => value % 4096 === 0),
  atMost('line', 'irq', 1019),
  among('interrupt', 'level', 0, 1),
  among('setLine', 'level', 0, 1),
  atMost('dmaRead', 'length', MAX_TRANSFER_BYTES),
  atMost('memoryRead', 'length', MAX_TRANSFER_BYTES),
  ...(['dmaWrite', 'memoryWrite'] as const).map((kind) =>
    limit(
      kind,
      'bytes',
      `at most ${MAX_TRANSFER_BYTES} bytes`,
      (_, { bytes }) => (bytes as unknown as Uint8Array).length <= MAX_TRANSFER_BYTES,
    ),
  ),
  atMost('exit', 'status', 2 ** 32 - 1),
]

const BY_KIND: ReadonlyMap<FrameKind, readonly Limit[]> = Map.groupBy(LIMITS, ({ kind }) => kind)
const NOTHING: readonly BeyondLimit[] = []

/** A field with a value that the field cannot hold. */
export interface BeyondLimit {
  /** Name of the field. */
  readonly field: string
  /** The values that the field can hold, in words. */
  readonly expected: string
}

/** Returns the fields of a server's frame with values beyond their limits. */
export function beyondLimits(frame: ProtocolFrame): readonly BeyondLimit[] {
  const limits = BY_KIND.get(frame.kind)
  if (limits === undefined) return NOTHING
  const numbers = frame as unknown as Numbers
  const found: BeyondLimit[] = limits.filter(({ field, holds }) => !holds(numbers[field] ?? 0, numbers))
  return found
}

/** @throws IoreqError `ERR_PROTOCOL` for a frame with a field beyond its limits */
export function checkLimits(frame: ProtocolFrame): void {
  const [beyond] = beyondLimits(frame)
  if (beyond === undefined) return
  const { field, expected } = beyond
  const value = (frame as unknown as Readonly<Record<string, number | Uint8Array>>)[field]
  const found = value instanceof Uint8Array ? `${value.length} bytes` : value
  throw new IoreqError('ERR_PROTOCOL', `${field} of its ${frame.kind} frame is ${found}: expected ${expected}`)
}
