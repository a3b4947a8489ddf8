/** Our walk of a case against QEMU's. */
import * as paging from '../../../src/index.ts'
import { type ArmCase, describeCase, SparseTables } from './cases.ts'
import type { Answer } from './qemu.ts'

const context: paging.ArmPagingContext = new paging.ArmPagingContext()
const result: paging.ArmWalkResult = new paging.ArmWalkResult()

const hex = (value: number | bigint): string => `0x${value.toString(16)}`

/** What a walk comes to, in one line that is the same for both. */
function describe(each: ArmCase, tables: SparseTables): string {
  context.update(each.registers)
  const va = BigInt.asUintN(64, each.va)
  const outcome = paging.walkArm(context, tables, Number(va & 0xffff_ffffn), Number(va >> 32n), each.access, result)
  if (outcome === paging.ARM_WALK_OK) return `maps to ${hex(result.ipa)}`
  if (outcome !== paging.ARM_WALK_FAULT) return `no table at ${hex(result.tableIpa - (result.tableIpa % 4096))}`
  return `faults with ${hex(each.format === 'short' ? paging.shortFaultStatus(result) : result.status)}`
}

const S1PTW = 0x80
const LPAE = 0x200

/** QEMU's answer likewise. */
function describeAnswer(each: ArmCase, { kind, esr, ifsr, far, page }: Answer): string {
  if (kind === 'other') return `unexpected exception, ESR_EL2 ${hex(esr)}`
  if (kind === 'stage 2') {
    return (esr & S1PTW) !== 0 ? `no table at ${hex(page)}` : `maps to ${hex(page + Number(far & 0xfffn))}`
  }
  if (each.registers.aarch64) return `faults with ${hex(esr & 0x3f)}`
  const fsr = (each.access & paging.ARM_FETCH) !== 0 ? ifsr : esr
  return `faults with ${hex((fsr & LPAE) !== 0 ? fsr & 0x3f : (fsr & 15) | ((fsr >> 6) & 16))}`
}

/**
 * Where QEMU 7.2 is known to depart from the manual.
 *
 * Of short descriptors it takes the checks in another order than the pseudocode (translation at both levels, access flag,
 * domain, permission): it looks at the domain before it reads the second table, at XN before the access flag, and lets
 * managers off the access flag. Of a fetch in AArch64 it takes a writable-clean descriptor as read-only, where the manual
 * has "the effective value of AP[2] cleared", which makes it never executable at EL1 (or under WXN).
 */
function knownDeparture(each: ArmCase, ours: string, theirs: string): boolean {
  const fetch = (each.access & paging.ARM_FETCH) !== 0
  const first = each.entries[each.format === 'long64' ? each.entries.length - 1 : 0]?.value ?? 0n
  if (each.format === 'long64') {
    const managed = (each.registers.tcrHi & 0x180) === 0x180 && (first & DIRTY_MODIFIER) !== 0n
    return managed && fetch && /with 0x[def]$/.test(ours) && theirs.startsWith('maps')
  }
  if (each.format !== 'short') return false
  const accessFlag = /with 0x[36]$/.test(ours)
  if (/with 0x(9|b)$/.test(theirs)) return /no table|with 0x[367]$/.test(ours)
  if (/with 0x[df]$/.test(theirs)) return accessFlag && fetch
  const supersection = (first & 3n) >= 2n && (first & SUPERSECTION) !== 0n
  const domain = supersection ? 0n : (first >> 5n) & 15n
  return theirs.startsWith('maps') && accessFlag && ((each.registers.dacr >>> Number(domain * 2n)) & 3) === 3
}

const DIRTY_MODIFIER = 1n << 51n
const SUPERSECTION = 1n << 18n

/** How a case ended, for counting. */
export const kindOf = (text: string): string => text.replace(/ 0x.*/, '')

/**
 * Compares one case.
 *
 * @returns what both say, and a text that says how they differ, '' if they do not
 */
export function compare(each: ArmCase, answer: Answer): { ours: string; difference: string } {
  const tables = new SparseTables(each.entries)
  const ours = describe(each, tables)
  const theirs = describeAnswer(each, answer)
  if (ours !== theirs && knownDeparture(each, ours, theirs)) return { ours: 'known departure', difference: '' }
  if (ours !== theirs) return { ours, difference: `ours ${ours}, QEMU's ${theirs}\n  ${describeCase(each)}` }
  for (const [index, { address }] of each.entries.entries()) {
    const our = tables.values.get(address) as bigint
    const their = answer.entries[index] as bigint
    if (our !== their) {
      return {
        ours,
        difference: `entry ${hex(address)}: ours ${hex(our)}, QEMU's ${hex(their)}\n  ${describeCase(each)}`,
      }
    }
  }
  return { ours, difference: '' }
}
