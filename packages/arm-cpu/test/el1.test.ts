import { describe, expect, test } from 'vitest'
import { MachineMemory } from '@retrap/memory'
import { ArmCpu, ArmEngine, FlatHost, STATUS_DONE, STATUS_FAULT } from '../src/index.ts'
import type { SystemRegisterName, SystemValue } from '../src/index.ts'
import { idValues } from '../src/system/id-registers.ts'
import { CODE, exception } from './support/machine.ts'
import { atEl0, atEl1, atEl1With, VECTORS, vectorOf } from './support/el1.ts'

const SVC = 0xd400_0241 // svc #0x12
const HVC = 0xd400_00a2 // hvc #5
const SMC = 0xd400_00c3 // smc #6
const ERET = 0xd69f_03e0
const NOP = 0xd503_201f
const BRK = 0xd420_0000
const IRQ_ENABLE = 0xd503_42ff // msr daifclr, #2
const FMOV = 0x9e67_0000 // fmov d0, x0
const LDR = 0xf940_0020 // ldr x0, [x1]

const esr = (cpu: ArmCpu): bigint => cpu.registers.get('esr_el1')

describe('exceptions that EL1 takes', () => {
  test('SVC of EL0 is taken with PSTATE, the return address and the syndrome saved, and ERET returns', () => {
    const cpu = atEl0(SVC, BRK, ERET)
    const { registers } = cpu
    registers.pstate = 0x0100_1000 // DIT, SSBS
    registers.nzcv = 0x6000_0000
    registers.sp = 0x7000n
    expect(vectorOf(cpu)).toBe('+400')
    expect(esr(cpu)).toBe(0x5600_0012n)
    expect(registers.get('elr_el1')).toBe(BigInt(CODE + 4))
    expect(registers.get('spsr_el1')).toBe(0x6100_1000n)
    expect([registers.get('sp_el0'), registers.get('sp_el1'), registers.sp]).toEqual([0x7000n, 0x8000n, 0x8000n])
    // EL1 with its own stack, all masked, DIT as it was; SSBS as SCTLR_EL1.DSSBS says.
    expect(registers.pstate).toBe(0x0100_03c5)
    registers.nzcv = 0
    registers.pc = BigInt(CODE + 8)
    expect(vectorOf(cpu)).toBe('+400')
    expect(esr(cpu)).toBe(0xf200_0000n)
    expect(registers.get('spsr_el1')).toBe(0x6100_1000n)
  })

  test.each([
    ['SVC of EL1', SVC, '+200', 0x5600_0012n],
    ['what is not allocated', 0, '+200', 0x0200_0000n],
    ['SMC without EL3', SMC, '+200', 0x0200_0000n],
    ['BRK', BRK, '+200', 0xf200_0000n],
    ['a load that nothing answers', LDR, '+200', 0x9600_0007n],
  ])('%s', (_name, word, vector, syndrome) => {
    const cpu = atEl1(word)
    cpu.registers.setX(1, 0x2_0000n)
    expect(vectorOf(cpu)).toBe(vector)
    expect(esr(cpu)).toBe(syndrome)
    expect(cpu.registers.get('far_el1')).toBe(word === LDR ? 0x2_0000n : 0n)
  })

  test('HVC that EL2 does not want is undefined', () => {
    const cpu = atEl1(HVC)
    cpu.registers.set('hcr_el2', cpu.registers.get('hcr_el2') | (1n << 29n))
    expect(cpu.run(1).reason).toBe('budget')
    expect([cpu.registers.pc, esr(cpu)]).toEqual([BigInt(VECTORS + 0x200), 0x0200_0000n])
  })

  test('with SP_EL0 in use the first vectors are taken', () => {
    // msr spsel, #0; svc #0x12
    const cpu = atEl1(0xd500_40bf, SVC)
    expect(vectorOf(cpu)).toBe('+0')
    expect(cpu.registers.get('spsr_el1') & 0xfn).toBe(4n)
  })

  test.each([
    ['PAN is set unless SCTLR_EL1.SPAN is', 0n, 0x40_0000],
    ['PAN stays with SCTLR_EL1.SPAN', 1n << 23n, 0],
    ['SSBS is as SCTLR_EL1.DSSBS says', (1n << 23n) | (1n << 44n), 0x1000],
  ])('%s', (_name, control, pstate) => {
    const cpu = atEl0(SVC)
    cpu.registers.set('sctlr_el1', control)
    expect(vectorOf(cpu)).toBe('+400')
    expect(cpu.registers.pstate).toBe(0x3c5 | pstate)
  })

  test('a branch to where nothing is aborts at its target', () => {
    // br x1
    const cpu = atEl1(0xd61f_0020)
    cpu.registers.setX(1, 0x2_0000n)
    expect(vectorOf(cpu)).toBe('+200')
    expect([esr(cpu), cpu.registers.get('far_el1'), cpu.registers.get('elr_el1')]).toEqual([
      0x8600_0007n,
      0x2_0000n,
      0x2_0000n,
    ])
  })
})

describe('ERET', () => {
  const returning = (spsr: bigint): ArmCpu => {
    const cpu = atEl1(ERET, SVC)
    cpu.registers.set('elr_el1', BigInt(CODE + 4))
    cpu.registers.set('spsr_el1', spsr)
    return cpu
  }

  test.each([
    ['EL0', 0n, '+400', 0x5600_0012n],
    ['EL1 with SP_EL0', 4n, '+0', 0x5600_0012n],
    ['EL1 with SP_EL1', 5n, '+200', 0x5600_0012n],
    ['EL2 is illegal', 9n, '+200', 0x3a00_0000n],
    ['EL0 with a stack pointer of its own is illegal', 1n, '+200', 0x3a00_0000n],
    ['a reserved mode is illegal', 6n, '+200', 0x3a00_0000n],
    ['AArch32 at EL1 is illegal', 0x13n, '+200', 0x3a00_0000n],
    ['the illegal state that is saved', 0x10_0005n, '+200', 0x3a00_0000n],
  ])('to %s', (_name, spsr, vector, syndrome) => {
    const cpu = returning(spsr)
    expect(vectorOf(cpu)).toBe(vector)
    expect(esr(cpu)).toBe(syndrome)
    expect(cpu.registers.pstate & 0x10_0000).toBe(0)
  })

  test('an illegal one restores the flags, PAN and the masks, and no more', () => {
    const cpu = returning(0xa0c0_0089n)
    cpu.registers.pstate = 0x0100_0005
    expect(vectorOf(cpu)).toBe('+200')
    expect(cpu.registers.get('spsr_el1')).toBe(0xa150_0085n)
  })

  test('of EL0 is undefined', () => {
    const cpu = atEl0(ERET)
    expect(vectorOf(cpu)).toBe('+400')
    expect(esr(cpu)).toBe(0x0200_0000n)
  })
})

describe('interrupts', () => {
  test.each([
    ['an interrupt', 'setIrq', '+280'],
    ['a fast interrupt', 'setFiq', '+300'],
    ['an SError', 'setSerror', '+380'],
  ] as const)('%s is taken when it is unmasked', (_name, pin, vector) => {
    // nop; msr daif, x0; nop
    const cpu = atEl1(NOP, 0xd51b_4220, NOP)
    cpu.registers.set('vsesr_el2', 0x123n)
    cpu[pin](true)
    expect(vectorOf(cpu)).toBe(vector)
    expect(cpu.registers.get('elr_el1')).toBe(BigInt(CODE + 8))
    if (pin === 'setSerror') expect(esr(cpu)).toBe(0xbe00_0123n)
  })

  test('one that comes while the processor runs ends a loop', () => {
    // mrs x0, s3_0_c4_c6_0 in a loop: the host raises the interrupt at the tenth read
    const memory = MachineMemory.create({ bytes: 32 << 20 })
    let reads = 0
    class Raising extends FlatHost {
      readSystem(_encoding: number, into: SystemValue): number {
        if (++reads === 10) cpu.setIrq(true)
        into.lo = reads
        into.hi = 7
        return STATUS_DONE
      }
    }
    const host = new Raising(memory, 0, 0x1_0000)
    const cpu = new ArmCpu(new ArmEngine(memory), host)
    host.load(CODE, new Uint8Array(Uint32Array.of(IRQ_ENABLE, 0xd538_4600, 0x17ff_ffff).buffer))
    host.load(VECTORS + 0x280, new Uint8Array(Uint32Array.of(HVC).buffer))
    cpu.registers.reset()
    cpu.registers.set('vbar_el1', BigInt(VECTORS))
    cpu.registers.pc = BigInt(CODE)
    expect(exception(cpu, 1_000_000).syndrome).toBe(0x5a00_0005)
    expect(reads).toBe(10)
    expect(cpu.registers.x(0)).toBe(0x7_0000_000an)
  })

  test('EL0 under its host sees none', () => {
    const cpu = atEl0(NOP, BRK)
    cpu.registers.set('hcr_el2', cpu.registers.get('hcr_el2') | (1n << 27n))
    cpu.setIrq(true)
    expect(vectorOf(cpu)).toBe('EL2 f2000000')
  })

  test('stop ends the run once', () => {
    // b .
    const cpu = atEl1(0x1400_0000)
    cpu.stop()
    expect(cpu.run(Infinity)).toEqual({ reason: 'budget' })
    expect(cpu.run(100)).toEqual({ reason: 'budget' })
    expect(cpu.retired).toBeGreaterThanOrEqual(100)
  })
})

describe('system registers of EL1', () => {
  const read = (word: number): bigint => {
    const cpu = atEl1(word, HVC)
    expect(exception(cpu).syndrome).toBe(0x5a00_0005)
    return cpu.registers.x(0)
  }

  test('ID registers are as their fields say, those that are reserved 0', () => {
    const [lo, hi] = idValues().get('id_aa64pfr0_el1')!
    expect(read(0xd538_0400)).toBe((BigInt(hi) << 32n) | BigInt(lo))
    // mrs x0, s3_0_c0_c7_7; mrs x0, midr_el1; mrs x0, currentel
    expect([0xd538_07e0, 0xd538_0000, 0xd538_4240].map((word) => read(word))).toEqual([0n, 0x000f_0520n, 4n])
  })

  test.each([
    // msr sctlr_el1, x0
    ['sctlr_el1', 0xd518_1000, 0x1018_fcdd_fbbfn],
    // msr tcr_el1, x0; msr vbar_el1, x0; msr spsr_el1, x0; msr contextidr_el1, x0; msr ttbr0_el1, x0
    ['tcr_el1', 0xd518_2040, 0x0198_07f7_ffff_ffbfn],
    ['vbar_el1', 0xd518_c000, 0xffff_ffff_ffff_f800n],
    ['spsr_el1', 0xd518_4000, 0xffff_ffffn],
    ['contextidr_el1', 0xd518_d020, 0xffff_ffffn],
    ['ttbr0_el1', 0xd518_2000, 0xffff_ffff_ffff_ffffn],
  ] as const)('%s keeps the bits that are there', (name: SystemRegisterName, word, kept) => {
    const cpu = atEl1(word, HVC)
    cpu.registers.setX(0, 0xffff_ffff_ffff_ffffn)
    exception(cpu)
    expect(cpu.registers.get(name).toString(16)).toBe(kept.toString(16))
  })

  test('keys are trapped to EL2 unless APK is set, and else written', () => {
    // msr apgakeyhi_el1, x0
    const cpu = atEl1(0xd518_2320, HVC)
    const { registers } = cpu
    registers.setX(0, 5n)
    registers.set('hcr_el2', registers.get('hcr_el2') & ~(1n << 40n))
    expect(vectorOf(cpu)).toBe('EL2 62320806')
    registers.set('hcr_el2', registers.get('hcr_el2') | (1n << 40n))
    expect(vectorOf(cpu)).toBe('EL2 5a000005')
    expect(registers.key('GA')).toBe(5n << 64n)
  })

  test('SP_EL0 is another register than the one in use', () => {
    // msr sp_el0, x0; mrs x1, sp_el0; msr spsel, #0; mov x2, sp; msr sp_el0, x0
    const cpu = atEl1(0xd518_4100, 0xd538_4101, 0xd500_40bf, 0x9100_03e2, 0xd518_4100)
    cpu.registers.setX(0, 0x1234n)
    expect(vectorOf(cpu)).toBe('+0')
    expect([1, 2].map((i) => cpu.registers.x(i))).toEqual([0x1234n, 0x1234n])
    expect(esr(cpu)).toBe(0x0200_0000n)
  })

  test.each([
    // mrs x0, sctlr_el1: a register of EL1
    ['a register of EL1', 0xd538_1000, 0x0200_0000n],
    ['an ID register', 0xd538_0400, 0x6230_0009n],
    // mrs x0, ctr_el0 with SCTLR_EL1.UCT clear
    ['CTR_EL0', 0xd53b_0020, 0x6232_c001n],
    // msr daifclr, #2
    ['the masks', IRQ_ENABLE, 0x620e_d3e4n],
    // mrs x0, cntvct_el0 with CNTKCTL_EL1.EL0VCTEN clear
    ['the counter', 0xd53b_e040, 0x6234_f801n],
  ])('%s of EL0 is trapped to EL1', (_name, word, syndrome) => {
    const cpu = atEl0(word)
    expect(vectorOf(cpu)).toBe('+400')
    expect(esr(cpu).toString(16)).toBe(syndrome.toString(16))
  })

  test.each([
    ['TTBR0_EL1 with TVM', 0xd518_2000, 'hcr_el2', 26n, 'EL2 62300800'],
    ['TTBR0_EL1 with TRVM', 0xd538_2000, 'hcr_el2', 30n, 'EL2 62300801'],
    ['CONTEXTIDR_EL1 with TVM', 0xd518_d020, 'hcr_el2', 26n, 'EL2 62323400'],
    ['CTR_EL0 with TID2', 0xd53b_0020, 'hcr_el2', 17n, 'EL2 6232c001'],
    ['SCTLR_EL1 with TRVM', 0xd538_1000, 'hcr_el2', 30n, 'EL2 62300401'],
    ['FPCR with TFP', 0xd53b_4400, 'cptr_el2', 10n, 'EL2 1fe00000'],
    ['an ID register with TID3', 0xd538_0400, 'hcr_el2', 18n, 'EL2 62300009'],
    ['TLBI with TTLB', 0xd508_871f, 'hcr_el2', 25n, 'EL2 621023ee'],
    ['DC CISW with TSW', 0xd508_7e40, 'hcr_el2', 22n, 'EL2 62141c1c'],
    ['SMC with TSC', SMC, 'hcr_el2', 19n, 'EL2 5e000006'],
    ['FMOV with TFP', FMOV, 'cptr_el2', 10n, 'EL2 1fe00000'],
    ['S3_0_C15_C0_0 with TIDCP', 0xd538_f000, 'hcr_el2', 20n, 'EL2 62303c01'],
  ] as const)('%s is trapped to EL2', (_name, word, name, bit, result) => {
    const cpu = atEl1(word, HVC)
    const { registers } = cpu
    registers.set(name, registers.get(name) | (1n << bit))
    expect(vectorOf(cpu)).toBe(result)
    expect(registers.pc).toBe(BigInt(CODE))
    registers.set(name, registers.get(name) & ~(1n << bit))
    const expected = word === SMC || word === 0xd538_f000 ? '+200' : 'EL2 5a000005'
    expect(vectorOf(cpu)).toBe(expected)
  })

  test('those of the host are its own', () => {
    const asked: string[] = []
    const { cpu, host } = atEl1With(0xd538_cc00, 0xd518_4600, 0xd538_cc00)
    Object.assign(host, {
      readSystem(encoding: number, into: SystemValue): number {
        asked.push(encoding.toString(16))
        into.lo = 0x55
        into.hi = 0
        return asked.length < 3 ? STATUS_DONE : STATUS_FAULT
      },
      writeSystem(encoding: number, lo: number, hi: number): number {
        asked.push(`${encoding.toString(16)} ${lo} ${hi}`)
        return STATUS_DONE
      },
    })
    expect(vectorOf(cpu)).toBe('EL2 62303019')
    expect(asked).toEqual(['c660', 'c230 85 0', 'c660'])
  })
})

// Arm ARM (DDI 0487), "MSR (register)": register 31 is zero, and 30 the link register.
test.each<[SystemRegisterName, number]>([
  ['vbar_el1', 0xd518_c000],
  ['mair_el1', 0xd518_a200],
  ['tpidr_el0', 0xd51b_d040],
  ['tpidr_el1', 0xd518_d080],
  ['elr_el1', 0xd518_4020],
  ['far_el1', 0xd518_6000],
  ['ttbr0_el1', 0xd518_2000],
])('MSR of %s from XZR writes 64 zeros', (name, word) => {
  const ones = 0xfff0_1234_5678_9000n
  const read = word + 0x20_0000
  // msr name, x30; mrs x0, name; msr name, xzr; mrs x1, name
  const cpu = atEl1(word + 30, read, word + 31, read + 1, SVC)
  const { registers } = cpu
  for (const [general, value] of [
    [0, 0n],
    [1, ones],
    [30, ones],
  ] as const)
    registers.setX(general, value)
  if (name === 'vbar_el1') cpu.run(4)
  else expect(vectorOf(cpu)).toBe('+200')
  expect([registers.x(0), registers.x(1)]).toEqual([ones, 0n])
})

describe('SIMD and floating point', () => {
  test.each([
    ['EL1, none enabled', 0n, '+200', atEl1],
    ['EL0, EL1 enabled', 1n << 20n, '+400', atEl0],
  ])('are trapped: %s', (_name, control, vector, start) => {
    const cpu = start(FMOV)
    cpu.registers.set('cpacr_el1', control)
    expect(vectorOf(cpu)).toBe(vector)
    expect(esr(cpu)).toBe(0x1fe0_0000n)
  })

  test('are executed where they are enabled, at once', () => {
    // fmov d0, x0; msr cpacr_el1, xzr; fmov d0, x0
    const cpu = atEl1(FMOV, 0xd518_105f, FMOV)
    cpu.registers.setX(0, 77n)
    expect(vectorOf(cpu)).toBe('+200')
    expect(cpu.registers.v(0)).toBe(77n)
    expect(cpu.registers.get('elr_el1')).toBe(BigInt(CODE + 8))
  })
})
