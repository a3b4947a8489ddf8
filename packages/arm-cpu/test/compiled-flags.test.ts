/** The flags of each instruction that sets them: read at once, where control meets, in the next round of a loop, and by exits. */
import { MachineMemory } from '@retrap/memory'
import { words } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost } from '../src/index.ts'
import { SVC } from './support/machine.ts'

const OPERANDS = 0x1_0000
const ROUNDS = 200

/** Of X1 and X2. */
const SETTERS: readonly (readonly [name: string, ...code: number[]])[] = [
  ['adds x5, x1, x2', 0xab02_0025],
  ['adds w5, w1, w2', 0x2b02_0025],
  ['adds w5, w1, #4095', 0x313f_fc25],
  ['subs x5, x1, x2', 0xeb02_0025],
  ['subs w5, w1, w2', 0x6b02_0025],
  ['subs x5, x1, #7', 0xf100_1c25],
  ['subs x5, x1, w2, uxtw', 0xeb22_4025],
  ['subs x1, x1, x2', 0xeb02_0021],
  ['ands x5, x1, x2', 0xea02_0025],
  ['ands w5, w1, w2', 0x6a02_0025],
  ['bics x5, x1, x2', 0xea22_0025],
  ['adcs x5, x1, x2', 0xba02_0025],
  ['adcs w5, w1, w2', 0x3a02_0025],
  ['sbcs x5, x1, x2', 0xfa02_0025],
  ['sbcs w5, w1, w2', 0x7a02_0025],
  ['ccmp x1, x2, #5, ne', 0xfa42_1025],
  ['ccmn w1, w2, #10, lt', 0x3a42_b02a],
  ['fmov d1, x1; fmov d2, x2; fcmp d1, d2', 0x9e67_0021, 0x9e67_0042, 0x1e62_2020],
  ['subs x5, x1, x2; cfinv', 0xeb02_0025, 0xd500_401f],
  ['subs w5, w1, w2; sbcs x5, x2, x1', 0x6b02_0025, 0xfa01_0045],
]

/** cset x4, CONDITION; add x3, x4, x3, lsl #1: for each but the one that always holds. */
const READ_ALL = Array.from({ length: 14 }, (_, i) => [0x9a9f_07e4 | ((i ^ 1) << 12), 0x8b03_0483]).flat()

/** X19 rounds, each of which reads the flags three times into X3, and X3 into X21. */
function program(code: readonly number[]): number[] {
  const body = [
    ...READ_ALL,
    // ldp x1, x2, [x20], #16
    0xa8c1_0a81,
    ...code,
    ...READ_ALL,
    // tbz w2, #0, .+8; nop: control meets, with the flags of the same instruction
    0x3600_0042,
    0xd503_201f,
    ...READ_ALL,
    // tbz w1, #1, .+8; cmn x1, x1: now with those of one or the other
    0x3608_0041,
    0xab01_003f,
    ...READ_ALL,
    // add x21, x3, x21, ror #7 has no encoding: ror x21, x21, #7; add x21, x21, x3; sub x19, x19, #1
    0x93d5_1eb5,
    0x8b03_02b5,
    0xd100_0673,
  ]
  // cbnz x19, the first
  return [...body, 0xb500_0013 | ((-body.length & 0x7_ffff) << 5), SVC]
}

/** Pairs of numbers at the ends of their ranges, and random ones. */
function operands(random: () => number): BigUint64Array {
  const edges = [0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]
  const any = (): bigint => (BigInt(random()) << 32n) | BigInt(random())
  const pairs = edges.flatMap((a) => edges.map((b) => [a, b]))
  while (pairs.length < ROUNDS) pairs.push([any(), pairs.length % 8 === 0 ? pairs.at(-1)![0]! : any()])
  return BigUint64Array.from(pairs.flat())
}

test('compiled code has the flags that the interpreter has, at the end of every turn', () => {
  const random = words(20_261_123)
  const data = new Uint8Array(operands(random).buffer)
  const [plain, fast] = [{}, { jit: { threshold: 2, fewestInstructions: 1 } }].map((options) => {
    const memory = MachineMemory.create({ bytes: 32 << 20 })
    const host = new FlatHost(memory, 0, 0x10_0000)
    host.load(OPERANDS, data)
    return { host, cpu: new ArmCpu(new ArmEngine(memory, options), host) }
  }) as [{ host: FlatHost; cpu: ArmCpu }, { host: FlatHost; cpu: ArmCpu }]
  for (const [i, [name, ...code]] of SETTERS.entries()) {
    const start = 0x2_0000 + 0x1000 * i
    for (const { host, cpu } of [plain, fast]) {
      host.load(start, new Uint8Array(Uint32Array.from(program(code)).buffer))
      cpu.registers.pc = BigInt(start)
      cpu.registers.pstate = 0
      for (const [register, value] of [
        [3, 0],
        [19, ROUNDS],
        [20, OPERANDS],
        [21, 0],
      ] as const)
        cpu.registers.setX(register, BigInt(value))
    }
    for (;;) {
      const budget = 1 + (random() % 400)
      const [expected, found] = [plain, fast].map(({ cpu }) => {
        const { reason } = cpu.run(budget)
        const { pc, pstate } = cpu.registers
        return { reason, pc, flags: pstate >>> 28, all: cpu.registers.x(3), sum: cpu.registers.x(21) }
      })
      expect(found, name).toEqual(expected)
      if (expected!.reason !== 'budget') break
    }
    expect(fast.cpu.registers.x(19), name).toBe(0n)
  }
  const { executed } = fast.cpu.engine.jit!.counts
  expect(executed).toBeGreaterThan(SETTERS.length * ROUNDS * 100)
})
