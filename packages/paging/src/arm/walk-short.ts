/**
 * Walks of VMSAv8-32 short descriptors.
 *
 * Source: Arm ARM (DDI 0487), part G, "The VMSAv8-32 Short-descriptor translation table format".
 */
import { PAGE_BYTES } from '@retrap/memory'
import type { TableReader } from '../table-reader.ts'
import type { ArmPagingContext } from './context.ts'
import {
  ARM_FETCH,
  ARM_PAN,
  ARM_UNPRIVILEGED,
  ARM_WALK_OK,
  ARM_WALK_TABLE,
  ARM_WRITE,
  type ArmWalkResult,
  fault,
} from './walk-result.ts'

const TRANSLATION = 0x04
const ACCESS_FLAG = 0x08
const PERMISSION = 0x0c

/** The fields of a leaf, in the places of one format. */
class Leaf {
  domain = 0
  /** AP[2:0]. */
  ap = 0
  executeNever = false
  privilegedExecuteNever = false
  /** TEX, C, B. */
  type = 0
  pageBytes = 0
}

/** Walks are not reentrant, and a reader calls none. */
const leaf: Leaf = /*#__PURE__*/ new Leaf()

const SUPERSECTION = 1 << 18

/** Walks short-descriptor tables for one address. */
export function walkShort(
  context: ArmPagingContext,
  reader: TableReader,
  va: number,
  access: number,
  result: ArmWalkResult,
): number {
  const { split } = context
  const { entry } = result
  const upper = split !== 0 && va >>> (32 - split) !== 0
  const half = upper ? context.upper : context.lower
  if (half.disabled) return fault(result, TRANSLATION, 1)
  // A table of TTBR0 may be smaller: the bits above its index are 0.
  result.tableIpa = half.table + (va >>> 20) * 4
  result.level = 1
  if (reader.read32(result.tableIpa, entry) !== true) return ARM_WALK_TABLE
  const l1 = entry[0]!
  let upperBits = 0
  if ((l1 & 3) === 0) return fault(result, TRANSLATION, 1)
  if ((l1 & 3) === 1) {
    result.tableIpa = ((l1 & ~0x3ff) >>> 0) + ((va >>> 12) & 0xff) * 4
    result.level = 2
    if (reader.read32(result.tableIpa, entry) !== true) return ARM_WALK_TABLE
    const l2 = entry[0]!
    if ((l2 & 3) === 0) return fault(result, TRANSLATION, 2)
    readPage(l1, l2)
  } else upperBits = readSection(l1)
  const outcome = finish(context, va, access, result)
  result.ipa += upperBits
  return outcome
}

function readPage(l1: number, l2: number): void {
  const small = (l2 & 2) !== 0
  leaf.domain = (l1 >>> 5) & 15
  leaf.ap = ((l2 >>> 4) & 3) | ((l2 >>> 7) & 4)
  leaf.executeNever = (l2 & (small ? 1 : 1 << 15)) !== 0
  leaf.privilegedExecuteNever = (l1 & 4) !== 0
  leaf.type = (((l2 >>> (small ? 6 : 12)) & 7) << 2) | ((l2 >>> 2) & 3)
  leaf.pageBytes = small ? PAGE_BYTES : 0x1_0000
}

/** @returns bits 39:32 of addresses in a supersection */
function readSection(l1: number): number {
  const supersection = (l1 & SUPERSECTION) !== 0
  leaf.domain = supersection ? 0 : (l1 >>> 5) & 15
  leaf.ap = ((l1 >>> 10) & 3) | ((l1 >>> 13) & 4)
  leaf.executeNever = (l1 & 0x10) !== 0
  leaf.privilegedExecuteNever = (l1 & 1) !== 0
  leaf.type = (((l1 >>> 12) & 7) << 2) | ((l1 >>> 2) & 3)
  leaf.pageBytes = supersection ? 0x100_0000 : 0x10_0000
  // Bits 35:32 are in bits 23:20, bits 39:36 in bits 8:5.
  return supersection ? ((l1 >>> 20) & 15) * 2 ** 32 + ((l1 >>> 5) & 15) * 2 ** 36 : 0
}

/** Access flag, domain, rights and address. */
function finish(context: ArmPagingContext, va: number, access: number, result: ArmWalkResult): number {
  const word = result.entry[0]!
  const { level } = result
  // SCTLR.AFE: AP[0] is the access flag. Hardware management of the flag is not supported for short descriptors.
  if (context.accessFlagEnable && (leaf.ap & 1) === 0) return fault(result, ACCESS_FLAG, level)
  const domain = (context.dacr >>> (leaf.domain * 2)) & 3
  // 00 and the reserved 10: no access. 11, manager: no checks.
  if ((domain & 1) === 0) {
    result.domain = true
    return fault(result, PERMISSION, level)
  }
  if (domain === 1 && !allowed(context, access)) return fault(result, PERMISSION, level)
  const { pageBytes } = leaf
  result.ipa = (word & ~(pageBytes - 1)) >>> 0
  result.ipa += va & (pageBytes - 1)
  result.pageBytes = pageBytes
  result.device = isDevice(context)
  return ARM_WALK_OK
}

function allowed(context: ArmPagingContext, access: number): boolean {
  const { ap } = leaf
  const unprivileged = (access & ARM_UNPRIVILEGED) !== 0
  const simple = context.accessFlagEnable
  // 0: no access (or, simple, reserved). User: 2 reads; 3 reads and writes unless AP[2]. 4 is reserved.
  const user = simple ? (ap & 2) !== 0 : (ap & 3) >= 2
  const userWrites = simple ? (ap & 6) === 2 : ap === 3
  const privileged = simple || (ap & 3) !== 0
  const writes = unprivileged ? userWrites : privileged && (ap & 4) === 0
  const reads = unprivileged ? user : privileged
  if ((access & ARM_FETCH) !== 0) {
    if (leaf.executeNever || !reads || (context.writeExecuteNever && writes)) return false
    return unprivileged || (!leaf.privilegedExecuteNever && !(userWrites && context.userWriteExecuteNever))
  }
  if (!unprivileged && user && (access & ARM_PAN) !== 0) return false
  return (access & ARM_WRITE) === 0 ? reads : writes
}

/** Strongly-ordered and Device memory, by TEX, C and B. */
function isDevice(context: ArmPagingContext): boolean {
  const { type } = leaf
  // With TEX remap PRRR has two bits for each of eight types: 10 is Normal.
  if (context.texRemap) return ((context.mairLo >>> ((type & 7) * 2)) & 2) === 0
  return type === 0 || type === 1 || type === 8
}
