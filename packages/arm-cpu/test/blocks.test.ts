import { describe, expect, test } from 'vitest'
import { CODE, exception, machine, SVC } from './support/machine.ts'

const DATA = 0x4000
const DC_ZVA = 0xd50b_7421 // dc zva, x1
const ones = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0xff)

describe('DC ZVA', () => {
  test('clears the block of 64 bytes that the address lies in', () => {
    const { cpu, host } = machine(DC_ZVA, DC_ZVA, SVC)
    host.load(DATA, ones(256))
    cpu.registers.setX(1, BigInt(DATA + 0x7b))
    exception(cpu)
    const bytes = cpu.memory.read(host.ramAddress(DATA), 256)
    expect([...bytes.entries()].filter(([, byte]) => byte === 0).map(([at]) => at)).toEqual(
      Array.from({ length: 64 }, (_, i) => 64 + i),
    )
  })

  test('says in DCZID_EL0 that these are 64', () => {
    // mrs x0, dczid_el0
    const { cpu } = machine(0xd53b_00e0, SVC)
    exception(cpu)
    expect(4 << Number(cpu.registers.x(0))).toBe(64)
  })

  test('aborts with the address that it was given', () => {
    const { cpu, host } = machine(DC_ZVA, SVC)
    host.readOnly = 0x8
    cpu.registers.setX(1, 0x8013n)
    expect(exception(cpu)).toMatchObject({ syndrome: 0x9200_004f, address: 0x8013n })
  })
})

describe('cache maintenance', () => {
  test.each([
    ['DC CVAC', 0xd50b_7a21],
    ['DC CVAU', 0xd50b_7b21],
    ['DC CVAP', 0xd50b_7c21],
    ['DC CIVAC', 0xd50b_7e21],
    ['IC IVAU', 0xd50b_7521],
  ])('%s needs a translation, and nothing else', (_name, word) => {
    const { cpu, host } = machine(word, word, SVC)
    host.readOnly = DATA >> 12
    cpu.registers.setX(1, BigInt(DATA + 5))
    expect(exception(cpu).syndrome >>> 26).toBe(0x15)
    cpu.registers.pc = BigInt(CODE)
    cpu.registers.setX(1, 0x2_0005n)
    // CM and WnR, a translation fault of level 3.
    expect(exception(cpu)).toMatchObject({ syndrome: 0x9200_0147, address: 0x2_0005n })
  })

  test.each([
    ['DC IVAC', 0xd508_7621],
    ['AT S1E1R', 0xd508_7801],
  ])('%s is not for EL0', (_name, word) => {
    const { cpu } = machine(word)
    cpu.registers.setX(1, BigInt(DATA))
    expect(exception(cpu).syndrome).toBe(0x0200_0000)
  })
})

describe('structures', () => {
  test.each([
    // ld4 {v0.16b-v3.16b}, [x1], #64; st4 {v0.16b-v3.16b}, [x1], #64
    ['LD4', 0x4cdf_0020, 0],
    ['ST4', 0x4c9f_0020, 1],
    // ld4 {v0.b-v3.b}[15], [x1], #4; st4 {v0.b-v3.b}[15], [x1], #4
    ['LD4 of one lane', 0x4dff_3c20, 0],
    ['ST4 of one lane', 0x4dbf_3c20, 1],
  ])('%s whose last bytes abort has changed nothing', (_name, word, write) => {
    const { cpu, host } = machine(word, SVC)
    host.load(0xff00, ones(256))
    cpu.registers.setX(1, 0xfffdn)
    for (let i = 0; i < 4; i++) cpu.registers.setV(i, BigInt(i + 1))
    const { syndrome, address } = exception(cpu)
    expect([(syndrome >>> 6) & 1, address, cpu.registers.x(1)]).toEqual([write, 0x1_0000n, 0xfffdn])
    expect([0, 1, 2, 3].map((i) => cpu.registers.v(i))).toEqual([1n, 2n, 3n, 4n])
    expect(cpu.memory.read(host.ramAddress(0xff00), 256)).toEqual(ones(256))
  })
})
