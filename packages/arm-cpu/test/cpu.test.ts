import { a32Forms, a64Forms, findA32, findA64, findThumb, type Form as Row, t32Forms } from '@retrap/arm-decoder'
import { describe, expect, test } from 'vitest'
import { exceptionClassOf } from '../src/index.ts'
import { PSTATE_NRW, PSTATE_T } from '../src/state/pstate.ts'
import { hasFeature } from '../src/system/id-registers.ts'
import { CODE, exception, machine, machineWith, SVC } from './support/machine.ts'

const BRK = 0xd420_0000

describe('exceptions', () => {
  test('SVC leaves with the program counter behind it, its number in the syndrome', () => {
    const { cpu } = machine(0xd400_0001 | (0x1234 << 5))
    expect(exception(cpu)).toEqual({ reason: 'exception', syndrome: 0x5600_1234, address: 0n })
    expect(cpu.registers.pc).toBe(BigInt(CODE + 4))
  })

  test('BRK and what is not allocated leave with the program counter at the instruction', () => {
    const { cpu } = machine(BRK | (7 << 5), 0)
    expect(exception(cpu).syndrome).toBe(0xf200_0007)
    expect(cpu.registers.pc).toBe(BigInt(CODE))
    cpu.registers.pc += 4n
    expect(exception(cpu).syndrome).toBe(0x0200_0000)
  })

  test('a load that nothing answers aborts with its address, and changes nothing', () => {
    // ldr x0, [x1], #8
    const { cpu } = machine(0xf840_8420)
    cpu.registers.setX(0, 5n)
    cpu.registers.setX(1, 0x2_0000n)
    const { syndrome, address } = exception(cpu)
    expect(exceptionClassOf(syndrome)).toBe(0x24)
    expect(syndrome & 0x40).toBe(0)
    expect(address).toBe(0x2_0000n)
    expect([cpu.registers.x(0), cpu.registers.x(1)]).toEqual([5n, 0x2_0000n])
  })

  test('a pair of stores whose second half aborts has written nothing', () => {
    // stp x0, x1, [x2]
    const { cpu, host } = machine(0xa900_0440)
    cpu.registers.setX(0, -1n & 0xffff_ffff_ffff_ffffn)
    cpu.registers.setX(2, 0xfff8n)
    const { syndrome, address } = exception(cpu)
    expect(syndrome & 0x40).toBe(0x40)
    expect(address).toBe(0x1_0000n)
    expect(cpu.memory.read(host.ramAddress(0xfff8), 8)).toEqual(new Uint8Array(8))
  })

  test('a branch to where nothing is aborts at its target', () => {
    // br x0
    const { cpu } = machine(0xd61f_0000)
    cpu.registers.setX(0, 0x2_0000n)
    const { syndrome, address } = exception(cpu)
    expect(exceptionClassOf(syndrome)).toBe(0x20)
    expect([address, cpu.registers.pc]).toEqual([0x2_0000n, 0x2_0000n])
  })

  test('a program counter that is no multiple of 4 has an exception of its own', () => {
    const { cpu } = machine(BRK)
    cpu.registers.pc = BigInt(CODE + 2)
    expect(exceptionClassOf(exception(cpu).syndrome)).toBe(0x22)
  })
})

describe('execution', () => {
  test('a loop runs to its end, and turns end within it', () => {
    // mov x0, #1000; subs x0, x0, #1; b.ne .-4; svc #0
    const { cpu } = machine(0xd280_7d00, 0xf100_0400, 0x54ff_ffe1, SVC)
    expect(cpu.run(100)).toEqual({ reason: 'budget' })
    expect(cpu.retired).toBeGreaterThanOrEqual(100)
    expect(cpu.retired).toBeLessThan(110)
    expect(exceptionClassOf(exception(cpu, 10_000).syndrome)).toBe(0x15)
    expect(cpu.retired).toBe(2002)
  })

  test('code that is written takes effect at once, also the next instruction', () => {
    // str w1, [x2]; mov w0, #1 (becomes mov w0, #2); svc #0
    const { cpu } = machine(0xb900_0041, 0x5280_0020, SVC)
    cpu.registers.setX(1, 0x5280_0040n)
    cpu.registers.setX(2, BigInt(CODE + 4))
    exception(cpu)
    expect(cpu.registers.x(0)).toBe(2n)
  })

  test('LDR of a literal reads beside the code', () => {
    // ldr x0, .+8; svc #0; the literal
    const { cpu } = machine(0x5800_0040, SVC, 0x1234_5678, 0x9abc_def0)
    exception(cpu)
    expect(cpu.registers.x(0)).toBe(0x9abc_def0_1234_5678n)
  })

  test.each([
    ['BR', 0xd61f_0000, 0n],
    ['BLR', 0xd63f_0000, BigInt(CODE + 4)],
    ['RET', 0xd65f_0000, 0n],
  ])('%s goes to its register', (_name, word, link) => {
    const { cpu } = machine(word, BRK, SVC)
    cpu.registers.setX(0, BigInt(CODE + 8))
    expect(exceptionClassOf(exception(cpu).syndrome)).toBe(0x15)
    expect(cpu.registers.x(30)).toBe(link)
  })

  test('BLR by X30 goes to what X30 was', () => {
    const { cpu } = machine(0xd63f_03c0, BRK, SVC)
    cpu.registers.setX(30, BigInt(CODE + 8))
    expect(exceptionClassOf(exception(cpu).syndrome)).toBe(0x15)
    expect(cpu.registers.x(30)).toBe(BigInt(CODE + 4))
  })
})

describe('system registers of EL0', () => {
  test('NZCV, FPCR, FPSR and TPIDR_EL0 are read and written', () => {
    // msr nzcv, x0; mrs x1, nzcv; msr fpcr, x0; mrs x2, fpcr; msr tpidr_el0, x0; mrs x3, tpidr_el0; svc #0
    const { cpu } = machine(0xd51b_4200, 0xd53b_4201, 0xd51b_4400, 0xd53b_4402, 0xd51b_d040, 0xd53b_d043, SVC)
    cpu.registers.setX(0, 0xffff_ffff_ffff_ffffn)
    exception(cpu)
    const { registers } = cpu
    expect([1, 2, 3].map((i) => registers.x(i))).toEqual([0xf000_0000n, 0x07c8_0000n, 0xffff_ffff_ffff_ffffn])
    expect(registers.nzcv).toBe(0xf000_0000)
  })

  test('of a value for N, Z, C and V the other bits are not looked at', () => {
    const { registers } = machine(SVC).cpu
    for (let bits = 0; bits < 16; bits++) {
      const flags = (bits << 28) >>> 0
      registers.nzcv = flags + 0x0fff_ffff
      expect(registers.nzcv).toBe(flags)
    }
  })

  test('DIT and SSBS are read and written, also by immediates', () => {
    // msr dit, #1; mrs x0, dit; msr ssbs, x2; mrs x1, ssbs; msr dit, #0; mrs x3, dit; svc #0
    const { cpu } = machine(0xd503_415f, 0xd53b_42a0, 0xd51b_42c2, 0xd53b_42c1, 0xd503_405f, 0xd53b_42a3, SVC)
    cpu.registers.setX(2, 0xffff_ffff_ffff_ffffn)
    cpu.registers.setX(3, 9n)
    exception(cpu)
    expect([0, 1, 3].map((i) => cpu.registers.x(i))).toEqual([1n << 24n, 1n << 12n, 0n])
    expect(cpu.registers.pstate).toBe(1 << 12)
  })

  test('a field of PSTATE of EL1 is undefined', () => {
    // msr pan, #1
    const { cpu } = machine(0xd500_419f)
    expect(exception(cpu).syndrome).toBe(0x0200_0000)
  })

  test("the counter is the host's", () => {
    // mrs x0, cntfrq_el0; mrs x1, cntvct_el0; mrs x2, cntvct_el0; svc #0
    let now = 40n
    const { cpu } = machineWith(
      { frequency: 62_500_000, count: () => now++ },
      0xd53b_e000,
      0xd53b_e041,
      0xd53b_e042,
      SVC,
    )
    exception(cpu)
    expect([0, 1, 2].map((i) => cpu.registers.x(i))).toEqual([62_500_000n, 40n, 41n])
  })

  test.each([
    ['CNTVCT_EL0 without a counter', 0xd53b_e041],
    ['RNDR, which is not there', 0xd53b_2400],
    ['a write to CNTFRQ_EL0', 0xd51b_e000],
  ])('%s is undefined', (_name, word) => {
    const { cpu } = machine(word)
    expect(exception(cpu).syndrome).toBe(0x0200_0000)
  })

  test('a register of EL1 is undefined', () => {
    // mrs x0, sctlr_el1
    const { cpu } = machine(0xd538_1000)
    expect(exception(cpu).syndrome).toBe(0x0200_0000)
  })
})

/** Words of a set's rows whose feature the processor lacks, which no other row has. */
const absent = (rows: readonly Row[], find: (word: number) => Row | undefined): number[] =>
  rows
    .filter((row) => !hasFeature(row) && row.operation !== 'hint')
    .map((row) => row.value >>> 0)
    .filter((word) => {
      const found = find(word)
      return found === undefined || !hasFeature(found)
    })

/** A32's condition; rows without one have ones there. */
const always = (word: number): number => (word >>> 28 === 0 ? word + 0xe000_0000 : word)

describe('an instruction of each row whose feature is absent is undefined', () => {
  // Hints of absent features do nothing: Arm ARM (DDI 0487) C3.1.2, "The system instruction class", HINT.
  test.each([
    ['A64', 0, absent(a64Forms(), findA64), 150],
    ['A32', PSTATE_NRW, absent(a32Forms(), findA32).map(always), 10],
    ['T32', PSTATE_NRW | PSTATE_T, absent(t32Forms(), (word) => findThumb(word >>> 16, word & 0xffff)), 10],
  ])('%s', (_name, pstate, words, least) => {
    const program = words.map((word) => ((pstate & PSTATE_T) === 0 ? word : (word << 16) | (word >>> 16)))
    const { cpu } = machine(...program)
    const executed = words.filter((_word, i) => {
      cpu.registers.pstate = pstate
      cpu.registers.pc = BigInt(CODE + 4 * i)
      const exit = cpu.run(1)
      return exit.reason !== 'exception' || exit.syndrome !== 0x0200_0000 || cpu.registers.pc !== BigInt(CODE + 4 * i)
    })
    expect(executed.map((word) => word.toString(16))).toEqual([])
    expect(words.length).toBeGreaterThan(least)
  })
})
