import { STATUS_RESTART, STATUS_DONE, STATUS_RETRY } from './status.ts'

/** The kind of an access. The address of FETCH is linear, of ports a port number, of all others guest-physical. */
export const AccessKind = {
  /** Instruction bytes; later passes decode the bytes that the first one fetched. */
  FETCH: 0,
  /** A page-table entry read by a walk. Found by address, not by order. */
  WALK_READ: 1,
  /** The exchange that set A or D bits in a page-table entry. Not repeated, not ordered. */
  WALK_AD_WRITE: 2,
  /** RAM read. */
  READ: 3,
  /** RAM write, held until the instruction retires. */
  WRITE: 4,
  PORT_READ: 5,
  PORT_WRITE: 6,
  MMIO_READ: 7,
  MMIO_WRITE: 8,
  /** A store to memory that cannot be written: held like one to RAM, but nothing reads it back. */
  ROM_WRITE: 9,
} as const

/** A value of `AccessKind`. */
export type AccessKind = (typeof AccessKind)[keyof typeof AccessKind]

/** Names by `AccessKind`, for messages and saved data. */
export const KIND_NAMES: readonly AccessKindName[] = [
  'fetch',
  'walk-read',
  'walk-ad-write',
  'read',
  'write',
  'port-read',
  'port-write',
  'mmio-read',
  'mmio-write',
  'rom-write',
]

/** Statuses of recorded accesses, in messages and saved data. */
export const STATE_NAMES: ReadonlyMap<number, AccessStateName> = new Map([
  [STATUS_RESTART, 'new'],
  [STATUS_RETRY, 'pending'],
  [STATUS_DONE, 'complete'],
])

export type AccessKindName =
  | 'fetch'
  | 'walk-read'
  | 'walk-ad-write'
  | 'read'
  | 'write'
  | 'port-read'
  | 'port-write'
  | 'mmio-read'
  | 'mmio-write'
  | 'rom-write'

/** Names an access state. */
export type AccessStateName = 'new' | 'pending' | 'complete'

/**
 * Tells apart accesses of one instruction that would otherwise look alike.
 *
 * @param operand - which operand (0–255)
 * @param element - element of a gather, part of a split access, nesting level (0–65535)
 */
export function accessTag(operand: number, element: number = 0): number {
  return ((operand & 0xff) << 16) | (element & 0xffff)
}
