import { describe, expect, test } from 'vitest'
import type { ArmCpu } from '../src/index.ts'
import { CODE } from './support/machine.ts'
import { atEl0, atEl1, vectorOf } from './support/el1.ts'

const NOP = 0xd503_201f
const SVC = 0xd400_0001
const LDXR = 0xc85f_7c20 // ldxr x0, [x1]
const ERET = 0xd69f_03e0
const MDE = 1n << 15n
const KDE = 1n << 13n
const SS = 1n
const SPSR_SS = 1n << 21n
/** DBGBCRn_EL1: enabled at EL1 and EL0, of all bytes. */
const AT_BOTH = 0x1e7n
const AT_EL1 = 0x1e3n

/** Sets the controls; the OS lock is open. */
function debug(cpu: ArmCpu, control: bigint): ArmCpu {
  cpu.registers.set('oslsr_el1', 8n)
  cpu.registers.set('mdscr_el1', control)
  cpu.registers.setX(1, 0x5000n)
  return cpu
}

/** A breakpoint at the third instruction. */
function breakpoint(cpu: ArmCpu, control: bigint, of: bigint): ArmCpu {
  debug(cpu, control)
  cpu.registers.set('dbgbvr2_el1', BigInt(CODE + 8))
  cpu.registers.set('dbgbcr2_el1', of)
  return cpu
}

const state = ({ registers }: ArmCpu): string =>
  `${registers.get('esr_el1').toString(16)} at +${Number(registers.get('elr_el1')) - CODE}`

describe('breakpoints', () => {
  const program = [NOP, NOP, NOP, SVC]

  test('of EL0 are taken at their address', () => {
    const cpu = breakpoint(atEl0(...program), MDE, AT_BOTH)
    expect(vectorOf(cpu)).toBe('+400')
    expect(state(cpu)).toBe('c2000022 at +8')
  })

  test.each([
    ['without MDSCR_EL1.MDE', 0n, AT_BOTH],
    ['that are disabled', MDE, AT_BOTH & ~1n],
    ['of EL1', MDE, AT_EL1],
  ])('%s are not there for EL0', (_name, control, of) => {
    const cpu = breakpoint(atEl0(...program), control, of)
    expect(vectorOf(cpu)).toBe('+400')
    expect(state(cpu)).toBe('56000000 at +16')
  })

  test.each([32n, 36n, 48n])('at an address that differs in bit %i are not taken', (bit) => {
    const cpu = breakpoint(atEl0(...program), MDE, AT_BOTH)
    cpu.registers.set('dbgbvr2_el1', BigInt(CODE + 8) | (1n << bit))
    vectorOf(cpu)
    expect(state(cpu)).toBe('56000000 at +16')
  })

  test('with the OS lock are not there', () => {
    const cpu = breakpoint(atEl0(...program), MDE, AT_BOTH)
    cpu.registers.set('oslsr_el1', 0xan)
    vectorOf(cpu)
    expect(state(cpu)).toBe('56000000 at +16')
  })

  test.each([
    ['are taken with MDSCR_EL1.KDE and PSTATE.D clear', MDE | KDE, 0xc5, 'c6000022 at +8'],
    ['are not with PSTATE.D', MDE | KDE, 0x2c5, '56000000 at +16'],
    ['are not without KDE', MDE, 0xc5, '56000000 at +16'],
  ])('of EL1 %s', (_name, control, pstate, expected) => {
    const cpu = breakpoint(atEl1(...program), control, AT_EL1)
    cpu.registers.pstate = pstate
    expect(vectorOf(cpu)).toBe('+200')
    expect(state(cpu)).toBe(expected)
  })

  test('of EL1 are taken once the program clears PSTATE.D', () => {
    // msr daifclr, #8
    const cpu = breakpoint(atEl1(0xd503_48ff, NOP, NOP, SVC), MDE | KDE, AT_EL1)
    expect(vectorOf(cpu)).toBe('+200')
    expect(state(cpu)).toBe('c6000022 at +8')
  })

  // Of breakpoint 0: 1 an address in a linked context, 2 a context; of another one: 2 a context, 3 one for links.
  test.each([
    ['an address in its context', 1n, 4, 3n, 7n, 'c2000022 at +8'],
    ['an address in another context', 1n, 4, 3n, 8n, '56000000 at +16'],
    ['an address in the context of one that knows none', 1n, 3, 3n, 7n, '56000000 at +16'],
    ['a context', 1n, 4, 2n, 7n, 'c2000022 at +0'],
    ['a context that it does not know', 2n, 4, 3n, BigInt(CODE + 8), '56000000 at +16'],
  ] as const)('of %s', (_name, kind, number, otherKind, context, expected) => {
    const cpu = breakpoint(atEl0(...program), MDE, AT_BOTH | (kind << 20n) | (BigInt(number) << 16n))
    cpu.registers.set(`dbgbvr${number}_el1`, 7n)
    cpu.registers.set(`dbgbcr${number}_el1`, AT_BOTH | (otherKind << 20n))
    cpu.registers.set('contextidr_el1', context)
    expect(vectorOf(cpu)).toBe('+400')
    expect(state(cpu)).toBe(expected)
  })

  test("are EL2's with MDCR_EL2.TDE", () => {
    const cpu = breakpoint(atEl0(...program), MDE, AT_BOTH)
    cpu.registers.set('mdcr_el2', 1n << 8n)
    expect(vectorOf(cpu)).toBe('EL2 c2000022')
  })
})

describe('software step', () => {
  /** Returns to EL0 at the second instruction. */
  function stepping(saved: bigint, ...program: number[]): ArmCpu {
    const cpu = debug(atEl1(ERET, ...program), SS)
    cpu.registers.set('elr_el1', BigInt(CODE + 4))
    cpu.registers.set('spsr_el1', saved)
    return cpu
  }

  test.each([
    ['an instruction', SPSR_SS, NOP, 'cb000022 at +8'],
    ['a load-exclusive', SPSR_SS, LDXR, 'cb000062 at +8'],
    ['a branch', SPSR_SS, 0x1400_0002, 'cb000022 at +12'],
    ['nothing where SPSR_EL1.SS is clear', 0n, NOP, 'ca000022 at +4'],
    ['a system call, which is taken before', SPSR_SS, SVC, '56000000 at +8'],
    ['an instruction that is not allocated', SPSR_SS, 0, '2000000 at +4'],
  ])('executes %s', (_name, saved, word, expected) => {
    const cpu = stepping(saved, word, NOP, NOP)
    expect(vectorOf(cpu)).toBe('+400')
    expect(state(cpu)).toBe(expected)
    // The bit is still there only where the instruction has not retired.
    expect(cpu.registers.get('spsr_el1') & SPSR_SS).toBe(word === 0 ? SPSR_SS : 0n)
  })

  test('goes through a program instruction by instruction', () => {
    // add x0, x0, #1 three times; svc
    const cpu = stepping(SPSR_SS, 0x9100_0400, 0x9100_0400, 0x9100_0400, SVC)
    const seen: string[] = []
    for (let i = 0; i < 5; i++) {
      vectorOf(cpu)
      seen.push(`${state(cpu)} x0 ${cpu.registers.x(0)}`)
      cpu.registers.set('spsr_el1', cpu.registers.get('spsr_el1') | SPSR_SS)
      cpu.registers.pc = BigInt(CODE)
    }
    expect(seen.slice(0, 4)).toEqual([
      'cb000022 at +8 x0 1',
      'cb000022 at +12 x0 2',
      'cb000022 at +16 x0 3',
      '56000000 at +20 x0 3',
    ])
  })
})

describe('watchpoints', () => {
  const LDR = 0xf940_0020 // ldr x0, [x1]
  const STRB = 0x3900_1020 // strb w0, [x1, #4]
  const LDADD = 0xf820_0020 // ldadd x0, x0, [x1]
  /** DBGWCRn_EL1: bytes 4 and 5, at EL1 and EL0, of both kinds; and what of it. */
  const BOTH = (0x30n << 5n) | (3n << 3n) | (3n << 1n) | 1n
  const ONLY_STORES = BOTH & ~(1n << 3n)

  function watching(control: bigint, of: bigint, ...program: number[]): ArmCpu {
    const cpu = debug(atEl0(...program), control)
    cpu.registers.set('dbgwvr1_el1', 0x5000n)
    cpu.registers.set('dbgwcr1_el1', of)
    cpu.registers.set('mdscr_el1', control)
    return cpu
  }

  test.each([
    ['a load', BOTH, LDR, 'd2000022 at +0', 0x5004n],
    ['a store', BOTH, STRB, 'd2000062 at +0', 0x5004n],
    ['an atomic access', ONLY_STORES, LDADD, 'd2000062 at +0', 0x5004n],
    ['a load where stores are watched', ONLY_STORES, LDR, '56000000 at +8', 0n],
    ['a store beside it', (1n << 5n) | 0x1fn, STRB, '56000000 at +8', 0n],
    ['a store in a range', (4n << 24n) | BOTH, STRB, 'd2000062 at +0', 0x5004n],
    ['a store of another level', BOTH & ~(1n << 2n), STRB, '56000000 at +8', 0n],
  ])('%s', (_name, of, word, expected, address) => {
    const cpu = watching(MDE, of, word, SVC)
    cpu.registers.setX(0, 7n)
    expect(vectorOf(cpu)).toBe('+400')
    expect(state(cpu)).toBe(expected)
    expect(cpu.registers.get('far_el1')).toBe(address)
  })

  test('are not there without MDSCR_EL1.MDE', () => {
    const cpu = watching(0n, BOTH, LDR, SVC)
    vectorOf(cpu)
    expect(state(cpu)).toBe('56000000 at +8')
  })
})
