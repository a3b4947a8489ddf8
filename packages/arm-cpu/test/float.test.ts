import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost } from '../src/index.ts'
import { SVC } from './support/machine.ts'

// What the comparison with QEMU leaves out: see support/deviations.ts.

const CODE = 0x1_0000
const FZ = 1 << 24

/** Runs one instruction on V1. */
function run(word: number, v1: bigint, fpcr = 0): ArmCpu {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new FlatHost(memory, CODE, 0x1000)
  host.load(CODE, new Uint8Array(Uint32Array.of(word, SVC).buffer))
  const cpu = new ArmCpu(new ArmEngine(memory), host)
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.fpcr = fpcr
  cpu.registers.setV(1, v1)
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
