import type { Choices } from '@retrap/tooling/random'
import { descriptor, gate } from '../bench.ts'
import * as at from './layout.ts'
import type { SegmentationCase } from './layout.ts'
import { operations32 } from './program32.ts'
import { operations64 } from './program64.ts'

/*
 * Cases are of the kind that QEMU 7 to 9 get right. Left out, because QEMU departs from the manual there:
 * limits of segments (it checks none); L and D both set; L against P of a gate's target; LTR of a null selector; a null
 * SS whose RPL is not the level; the type bits of the upper half of 16-byte descriptors; LAR and LSL of 16-bit system
 * segments in IA-32e mode; offsets above 16 bits in 16-bit gates; task gates to a TSS in the LDT; faults in a new task
 * whose stack is not loaded; REX.W with LFS; IST without a change of level; a return to a stack that is not present, which
 * is #SS; a return to compatibility mode with a null SS; a JMP through a gate to code that
 * is not present, which is #NP. Accessed bits are not compared: QEMU sets
 * none for stacks from the TSS and for far transfers.
 */

const SELECTORS: readonly number[] = [
  0x08, 0x10, 0x1b, 0x23, 0x18, 0x20, 0x40, 0x43, 0x40, 0x43, 0x41, 0x48, 0x4b, 0x50, 0x53, 0, 3, 0x44, 0x80, 0x7b,
]
const DATA_TYPES: readonly number[] = [0x93, 0x92, 0x91, 0xf3, 0xf1, 0xb3, 0x13, 0x73, 0xd3]
const CODE_TYPES: readonly number[] = [0x9b, 0x9a, 0x99, 0x9e, 0x9f, 0xfb, 0xfe, 0xff, 0xf9, 0xdb]
const ABSENT_CODE_TYPES: readonly number[] = [0x1b, 0x7b, 0x7e]
const SYSTEM_TYPES: readonly number[] = [0x82, 0x02, 0xe2, 0x88, 0x8a]
const CALL_GATES: readonly number[] = [0x8c, 0xec, 0xec, 0xec, 0x6c, 0x0c]
const INTERRUPT_GATES: readonly number[] = [0x8e, 0xee, 0x8f, 0xef, 0xee, 0x6e, 0x0e, 0x8c, 0xec, 0x93]
const FLAG_IMAGES: readonly number[] = [2, 0x3002, 0x08d7, 0x4_0002, 0x20_0002, 0x1002]

function codeSegment(c: Choices, long: boolean): bigint {
  const absent = c.chance(1, 8)
  const type = c.pick(absent ? ABSENT_CODE_TYPES : CODE_TYPES)
  const size = long && (absent || c.chance(3, 4)) ? 0xa000 : c.chance(1, 6) ? 0x8000 : 0xc000
  return descriptor(0, 0xffff_ffff, size | type)
}

function slot(c: Choices, long: boolean): bigint {
  if (c.chance(1, 4)) {
    const selector = c.pick([0x08, 0x08, 0x10, 0x1b, 0x18, 0x40, 0x43, 0x50, 0x80, 0])
    const narrow = !long && c.chance(1, 3)
    if (narrow) return gate(selector, 0x8000, c.pick([0x84, 0xe4]), c.pick([0, 1, 3]))
    return gate(selector, at.LANDING, c.pick(CALL_GATES), c.pick([0, 0, 1, 3]))
  }
  if (c.chance(1, 6)) return descriptor(at.LDT, 0x3f, c.pick(SYSTEM_TYPES))
  if (c.chance(1, 2)) return codeSegment(c, long)
  return descriptor(0, 0xffff_ffff, 0xc000 | c.pick(DATA_TYPES))
}

/** A stack that goes with the level of a code selector, most of the time. */
function stackFor(c: Choices, selector: number, long: boolean): number {
  const level = selector & 3
  if (c.chance(1, 5)) return c.pick([0x10, 0x23, 0x50, 0x53, 0x18, 0x80, long && selector === 0x08 ? 0 : 0x13])
  return level === 3 ? 0x23 : 0x10
}

const PRESENT = 1n << 47n
const SEGMENT = 1n << 44n

/** Leaves out what QEMU gets wrong with segments that are not present: see above. */
function makePresent(operation: string, slots: bigint[]): void {
  if (/^(retf|iret)/.test(operation)) slots[2] = (slots[2] as bigint) | PRESENT
  if (!operation.startsWith('jmp') || slots.every((entry) => (entry & SEGMENT) !== 0n)) return
  for (const [i, entry] of slots.entries()) if ((entry & SEGMENT) !== 0n) slots[i] = entry | PRESENT
}

/** A case of 32-bit protected mode. */
export function case32(c: Choices): SegmentationCase {
  const operation = c.pick(operations32)
  const cpl = c.pick([0, 3])
  let selector = c.pick(SELECTORS)
  if (/^(retf|iret)/.test(operation) && c.chance(3, 4)) selector = c.pick([0x08, 0x1b, 0x40, 0x43, 0x41])
  if (operation === 'ltr' && (selector & ~3) === 0) selector = 0x40
  const slots = [slot(c, false), slot(c, false), slot(c, false), slot(c, false)]
  makePresent(operation, slots)
  if (operation === 'ltr' && c.chance(1, 2))
    slots[0] = descriptor(at.OTHER_TSS, 0x67, c.pick([0x89, 0x8b, 0x09, 0xe9, 0x81]))
  const narrow = c.chance(1, 4)
  let theGate = gate(
    c.pick([0x08, 0x08, 0x10, 0x1b, 0x40, 0x43, 0x50, 0, 0x80]),
    narrow ? 0x8000 : at.LANDING,
    narrow ? c.pick([0x86, 0xe6, 0xe7]) : c.pick(INTERRUPT_GATES),
  )
  let task: readonly number[] = [8, 0x10, 0x10, 0]
  if (operation.startsWith('task')) {
    const wide = c.chance(3, 4)
    const type = (wide ? 8 : 0) | c.pick([0x81, 0xe1, 0xe1, 0xe1, 0x83, 0xe3, 0xe3, 0x61])
    slots[0] = descriptor(
      wide ? at.OTHER_TSS : at.OTHER_TSS16,
      c.pick(wide ? [0x67, 0x67, 0x66] : [0x67, 0x2b, 0x2a]),
      type,
    )
    slots[1] = gate(c.pick([0x40, 0x40, 0x43]), 0, c.pick([0x85, 0xe5, 0x65]))
    slots[3] = descriptor(at.LDT, 0x3f, 0x82)
    selector = c.pick([0x40, 0x43, 0x48, 0x4b])
    theGate = gate(c.pick([0x40, 0x48]), 0, c.pick([0x85, 0xe5]))
    const outer = c.chance(1, 2)
    task = [outer ? 0x1b : 8, c.pick([0x10, 0x23, 0x10, 0x23, 0, 0x80, 0x08]), outer ? 0x23 : 0x10, c.pick([0, 0x58])]
  }
  return {
    operation,
    cpl,
    selector,
    offset: c.pick([at.LANDING, at.LANDING, 0x8000]),
    slots,
    gate: theGate,
    stack0: c.chance(5, 6) ? 0x10 : c.pick([0, 0x13, 0x20, 0x08, 0x40, 0x50]),
    stackSelector: operation === 'arpl' ? c.pick(SELECTORS) : stackFor(c, selector, false),
    flags: c.pick(FLAG_IMAGES),
    task,
  }
}

/** A case of 64-bit mode. */
export function case64(c: Choices): SegmentationCase {
  const operation = c.pick(operations64)
  let cpl = c.pick([0, 3])
  let selector = c.pick([...SELECTORS, 0x2b, 0x28])
  if (/^(retf|iret)/.test(operation) && c.chance(3, 4)) selector = c.pick([0x08, 0x1b, 0x2b, 0x40, 0x43])
  if (operation === 'ltr' && (selector & ~3) === 0) selector = 0x40
  if ((operation === 'mov ss' || operation === 'lss') && (selector & ~3) === 0) selector = cpl
  // A system descriptor takes two entries.
  const pair = (): bigint[] => {
    const first = slot(c, true)
    const system = ((first >> 44n) & 1n) === 0n
    return [first, system || c.chance(1, 2) ? 0n : codeSegment(c, true)]
  }
  const slots = [...pair(), ...pair()]
  makePresent(operation, slots)
  if (operation === 'ltr' && c.chance(1, 2)) {
    slots[0] = descriptor(at.OTHER_TSS, 0x67, c.pick([0x89, 0x8b, 0x09, 0xe9]))
    slots[1] = 0n
  }
  const withIst = c.chance(1, 4)
  if (operation === 'int' && withIst) cpl = 3
  const target = withIst ? 0x08 : c.pick([0x08, 0x08, 0x10, 0x2b, 0x1b, 0x40, 0x43, 0x50, 0, 0x80])
  return {
    operation,
    cpl,
    selector,
    offset: c.pick([at.LANDING, at.LANDING, 0x8000]),
    slots,
    gate: gate(target, at.LANDING, c.pick([...INTERRUPT_GATES, 0x86, 0xe5]), withIst ? c.pick([1, 2]) : 0),
    stack0: c.pick([0x13_8000, 0x13_8004, 0x13_800f]),
    stackSelector: stackFor(c, selector, true),
    flags: c.pick(FLAG_IMAGES),
    task: [0, 0, 0, 0],
  }
}
