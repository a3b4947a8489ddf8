import { MachineMemory } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { ArmCpu, ArmCpuError, ArmEngine, FlatHost, TRANSLATE_WRITE, type ArmTranslation } from '../src/index.ts'
import { CODE, SVC } from './support/machine.ts'

const DATA = 0x5000
const LDR = 0xf940_0020 // ldr x0, [x1]
const STR = 0xf900_0020 // str x0, [x1]
const jit = { threshold: 1, fewestInstructions: 1 }

/** What the host of a processor says of {@link DATA}; false where it has no translation. */
type Answer = (into: ArmTranslation, access: number) => unknown

class OddHost extends FlatHost {
  answer: Answer | undefined

  override translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
    const found = super.translate(lo, hi, access, into)
    return lo >>> 12 === DATA >>> 12 && this.answer?.(into, access) === false ? false : found
  }
}

function machine(compiles: boolean, ...program: number[]): { cpu: ArmCpu; host: OddHost } {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new OddHost(memory, 0, 0x1_0000)
  const cpu = new ArmCpu(new ArmEngine(memory, compiles ? { jit } : {}), host)
  host.load(CODE, new Uint8Array(Uint32Array.from(program).buffer))
  host.load(0x4000, new Uint8Array(64).fill(0x77))
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.sp = 0x8000n
  return { cpu, host }
}

const isNowhere: Answer = (into) => (into.ma = -1)

test('an atomic access needs the rights of stage 1 to write before stage 2 is asked for the read', () => {
  const LDADD = 0xf820_0020 // ldadd x0, x0, [x1]
  const { cpu, host } = machine(false, LDADD, SVC)
  host.answer = (into, access) => {
    into.ma = -1
    into.tableWalk = false
    into.stage2 = (access & TRANSLATE_WRITE) === 0
    // Of stage 2 a translation fault, of stage 1 a permission fault.
    into.faultStatus = into.stage2 ? 0x7 : 0xf
    return false
  }
  cpu.registers.setX(1, BigInt(DATA))
  expect(cpu.run(100)).toEqual({ reason: 'exception', syndrome: 0x9200_004f, address: BigInt(DATA) })
})

test.each([
  ['at the first byte of a page', DATA, undefined],
  ['that begins on the page before', DATA - 2, true],
])('an abort of stage 2 of an access %s', (_name, at, beyond) => {
  const LDR_W3 = 0xb940_0023 // ldr w3, [x1]
  const { cpu, host } = machine(false, LDR_W3, SVC)
  host.answer = (into) => {
    into.stage2 = true
    into.tableWalk = false
    into.ipa = 0
    into.faultStatus = 7
    return false
  }
  cpu.registers.setX(1, BigInt(at))
  expect(cpu.run(100)).toEqual({ reason: 'exception', syndrome: 0x9383_0007, address: BigInt(DATA), hpfar: 0n, beyond })
})

describe('a page that no plain memory holds', () => {
  test.each([
    ['a load', LDR, DATA, 0x9200_0010, DATA],
    ['a store', STR, DATA, 0x9200_0050, DATA],
    ['a load whose last bytes lie there', LDR, DATA - 4, 0x9200_0010, DATA],
    ['a store whose last bytes lie there', STR, DATA - 4, 0x9200_0050, DATA],
    // ldadd x0, x0, [x1]: it does not know atomics
    ['an atomic access', 0xf820_0020, DATA, 0x9200_0035, DATA],
  ])('%s aborts, and changes nothing', (_name, word, at, syndrome, address) => {
    // The load before leaves its data where a slow access has them.
    const { cpu, host } = machine(false, 0xf940_0042, word, SVC)
    host.answer = isNowhere
    cpu.registers.setX(0, 5n)
    cpu.registers.setX(1, BigInt(at))
    cpu.registers.setX(2, 0x4000n)
    expect(cpu.run(100)).toEqual({ reason: 'exception', syndrome, address: BigInt(address) })
    expect(cpu.registers.x(0)).toBe(5n)
    expect(cpu.memory.read(host.ramAddress(DATA - 4), 4)).toEqual(new Uint8Array(4))
  })

  test('a fetch aborts', () => {
    const { cpu, host } = machine(false)
    host.answer = isNowhere
    cpu.registers.pc = BigInt(DATA)
    expect(cpu.run(100)).toEqual({ reason: 'exception', syndrome: 0x8200_0010, address: BigInt(DATA) })
  })
})

describe.each([
  ['interpreted', false],
  ['compiled', true],
])('%s', (_name, compiles) => {
  // b .+4; the access; sub x3, x3, #1; cbnz x3, .-8
  const loop = (word: number): number[] => [0x1400_0001, word, 0xd100_0463, 0xb5ff_ffc3, SVC]

  test.each([
    ['beyond machine memory', (into: ArmTranslation) => (into.ma = 2 ** 31)],
    ['of another byte', (into: ArmTranslation) => (into.ma += 8)],
    ['that is no number', (into: ArmTranslation) => (into.ma = Number.NaN)],
  ])('a translation %s ends the run with an error', (_text, answer) => {
    const { cpu, host } = machine(compiles, ...loop(LDR))
    cpu.registers.setX(1, 0x4000n)
    cpu.registers.setX(3, 100n)
    cpu.run(1000)
    cpu.registers.pc = BigInt(CODE)
    cpu.registers.setX(1, BigInt(DATA))
    cpu.registers.setX(3, 100n)
    host.answer = answer
    const exit = cpu.run(1000)
    expect(exit.reason === 'error' ? exit.error : exit).toMatchObject({ code: 'ERR_TRANSLATION' })
    expect(cpu.registers.pc).toBe(BigInt(CODE + 4))
  })

  test('a base that is a stack pointer and no multiple of 16 is an exception', () => {
    // ldr x0, [sp]
    const { cpu } = machine(compiles, ...loop(0xf940_03e0))
    cpu.registers.setX(3, 100n)
    cpu.run(1000)
    cpu.registers.pc = BigInt(CODE)
    cpu.registers.setX(0, 5n)
    cpu.registers.setX(3, 100n)
    cpu.registers.sp = 0x8008n
    expect(cpu.run(1000)).toMatchObject({ reason: 'exception', syndrome: 0x9a00_0000 })
    expect([cpu.registers.pc, cpu.registers.x(0)]).toEqual([BigInt(CODE + 4), 5n])
  })
})

test('a budget is a whole number', () => {
  const { cpu } = machine(false, SVC)
  for (const budget of [Number.NaN, 1.5, undefined, '5']) {
    expect(() => cpu.run(budget as number)).toThrow(ArmCpuError)
  }
  expect(cpu.retired).toBe(0)
  expect(cpu.run(Infinity).reason).toBe('exception')
})

test('RAM has at least a page', () => {
  expect(() => new FlatHost(MachineMemory.create({ bytes: 16 << 20 }), 0, 0)).toThrow(ArmCpuError)
})
