import { MachineMemory } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost } from '../src/index.ts'
import { SVC } from './support/machine.ts'

// What the comparison with QEMU leaves out: see support/deviations.ts.

const CODE = 0x1_0000
const FZ = 1 << 24

/** Runs one instruction on V1, and others. */
function run(word: number, v1: bigint, fpcr = 0, others: Readonly<Record<number, bigint>> = {}): ArmCpu {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new FlatHost(memory, CODE, 0x1000)
  host.load(CODE, new Uint8Array(Uint32Array.of(word, SVC).buffer))
  const cpu = new ArmCpu(new ArmEngine(memory), host)
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.fpcr = fpcr
  cpu.registers.setV(1, v1)
  for (const [i, value] of Object.entries(others)) cpu.registers.setV(Number(i), value)
  cpu.run(10)
  return cpu
}

/** FJCVTZS W0, D1. */
const FJCVTZS = 0x1e7e_0020

test.each<[string, bigint, number, number, number]>([
  ['a denormal number is not exact, flushed', 1n, FZ, 0, 0x80],
  ['a denormal number is not exact', 1n, 0, 0, 0x10],
  ['minus zero is not exact', 1n << 63n, 0, 0, 0],
  ['three is', 0x4008_0000_0000_0000n, 0, 0x4000_0000, 0],
])('FJCVTZS: %s (DDI 0487, FPToFixedJS)', (_, value, fpcr, nzcv, fpsr) => {
  const { registers } = run(FJCVTZS, value, fpcr)
  expect([registers.nzcv, registers.fpsr]).toEqual([nzcv, fpsr])
})

test('a scalar of half precision becomes a fixed-point number of 16 bits, and zeros above them', () => {
  // FCVTZS H0, H1, #1 of -2
  expect(run(0x5f1f_fc20, 0xc000n).registers.v(0)).toBe(0xfffcn)
})

/** The encoding of a number of double precision. */
const double = (value: number): bigint => new BigUint64Array(Float64Array.of(value).buffer)[0]!

describe('fused multiply-add says that its result is inexact, where it is (DDI 0487, FPSR.IXC)', () => {
  const above = 1 + 2 ** -52
  const cases: [string, number, number, number, number, number][] = [
    ['whole numbers', 3, 5, 7, 22, 0],
    ['a factor is zero', 0, 5, 7, 7, 0],
    ['the product loses bits', above, above, 0, 1 + 2 ** -51, 0x10],
    ['the product loses bits, which the sum takes away', above, above, -(1 + 2 ** -51), 2 ** -104, 0],
    ['the sum loses bits', 1, 1, 2 ** -60, 1, 0x10],
    ['the product is denormal', 2 ** -500 * above, 2 ** -550, 2 ** -1000, 2 ** -1000 + 2 ** -1050, 0x10],
  ]
  test.each(cases)('%s', (_, a, b, addend, result, fpsr) => {
    // fmadd d0, d1, d2, d3
    const scalar = run(0x1f42_0c20, double(a), 0, { 2: double(b), 3: double(addend) }).registers
    expect([scalar.v(0), scalar.fpsr]).toEqual([double(result), fpsr])
    // fmla v0.2d, v1.2d, v2.2d, whose lower elements are those of 1 + 2 * 1
    const beside = (lower: number, upper: number): bigint => (double(upper) << 64n) | double(lower)
    const vector = run(0x4e62_cc20, beside(2, a), 0, { 2: beside(1, b), 0: beside(1, addend) }).registers
    expect([vector.v(0), vector.fpsr]).toEqual([beside(3, result), fpsr])
  })
})
