/** The question to an Arm walk, and its answer. */
import { PagingError } from '../errors.ts'

// The kind of an access, as bits.
/** Access bits of a read: no bits. */
export const ARM_READ = 0
/** Access bit: a write. */
export const ARM_WRITE = 1
/** Access bit: an instruction fetch. */
export const ARM_FETCH = 2
/** Access with the rights of EL0. */
export const ARM_UNPRIVILEGED = 4
/** PSTATE.PAN: EL1's data accesses to pages that EL0 may access fail. */
export const ARM_PAN = 8

/** The access may be made; the result says where. */
export const ARM_WALK_OK = 0
/** A fault of stage 1; `result.status` is its fault status code. */
export const ARM_WALK_FAULT = 1
/** A table is in no memory, or stage 2 hides it: `result.tableIpa`. */
export const ARM_WALK_TABLE = 2

/** The result of a walk. Made once and filled in by each walk. */
export class ArmWalkResult {
  /** Intermediate physical address of the access. */
  ipa: number = 0
  /** Bytes of the page or block. */
  pageBytes: number = 0
  /** Fault status code in the long format (as in ESR_ELx), whatever the tables' format. */
  status: number = 0
  /** Short descriptors: the domain forbids the access; `status` says permission. */
  domain: boolean = false
  /** Level of the descriptor that decided. */
  level: number = 0
  /** Memory is of a Device type: accesses must be aligned. */
  device: boolean = false
  /** Attributes of the memory, as in MAIR; for long formats, and without stage 1. */
  attributes: number = 0
  /** The translation is that of all ASIDs; for long formats, and without stage 1. */
  global: boolean = false
  /** The page is guarded: a branch to a computed address must lead to an instruction that allows it (BTI). For AArch64's formats. */
  guarded: boolean = false
  /** IPA of the descriptor that decided, or that could not be read. */
  tableIpa: number = 0
  /** Words of the descriptor read last. */
  readonly entry: Uint32Array = new Uint32Array(2)
}

/** Another party changes an entry more often than this only in a broken reader. */
export const MOST_RESTARTS = 100_000

/** The reader is at fault. */
export function keepsChanging(address: number): PagingError {
  return new PagingError('ERR_READER', `exchanges of the entry at 0x${address.toString(16)} keep failing`, { address })
}

/** Notes a fault of stage 1. */
export function fault(result: ArmWalkResult, status: number, level: number): number {
  result.status = status + level
  result.level = level
  return ARM_WALK_FAULT
}

/**
 * The fault status of a walk in the short format, which DFSR and IFSR have without TTBCR.EAE.
 *
 * Source: Arm ARM (DDI 0487), part G, "Short-descriptor format FSR encodings".
 */
export function shortFaultStatus(result: ArmWalkResult): number {
  const second = result.level === 2
  if (result.domain) return second ? 0x0b : 0x09
  switch (result.status >> 2) {
    case 1:
      return second ? 0x07 : 0x05
    case 2:
      return second ? 0x06 : 0x03
    default:
      return second ? 0x0f : 0x0d
  }
}
