/** A32 code at EL0: single instructions against QEMU, and what a comparison cannot see. */
import { words } from '@retrap/tooling/random'
import { ARM, hasMachine } from '@retrap/tooling/arm-native'
import { skipNote } from '@retrap/tooling/skip'
import { MachineMemory } from '@retrap/memory'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost } from '../src/index.ts'
import { compareA32, comparedA32Rows } from './support/compare-a32.ts'
import { CODE, exception, machine } from './support/machine.ts'

const SEED = slicedSeed(20_261_122)
/** Of each form. */
const CASES = slicedCount(12, 3)
const there = hasMachine(ARM)
const USER = 0x10
const SVC = 0xef00_0000

test.skipIf(!there)(
  `A32 does what QEMU's processor does${skipNote(there, 'no cross compiler or no qemu-user')}`,
  { timeout: 60_000 },
  () => {
    const { cases, differences } = compareA32(comparedA32Rows(), CASES, words(SEED))
    expect(differences, SLICE_REPEAT).toEqual([])
    expect(cases).toBe(CASES * comparedA32Rows().length)
  },
)

/** A processor in user mode with A32 code. */
function a32(...program: number[]): ArmCpu {
  const { cpu } = machine(...program)
  cpu.registers.pstate = USER
  return cpu
}

describe('exceptions', () => {
  test('SVC leaves with its number, where its condition holds', () => {
    // svceq #1; svc #0x12345
    const cpu = a32(0x0f00_0001, SVC | 0x1_2345)
    expect(exception(cpu)).toEqual({ reason: 'exception', syndrome: 0x4600_2345, address: 0n })
    expect(cpu.registers.pc).toBe(BigInt(CODE + 8))
    expect(cpu.registers.pstate).toBe(USER)
  })

  test('what is absent is undefined, where its condition holds', () => {
    // swpeq r0, r1, [r2]; swp r0, r1, [r2]: Armv8 has none.
    const cpu = a32(0x0102_0091, 0xe102_0091)
    expect(exception(cpu).syndrome).toBe(0x0200_0000)
    expect(cpu.registers.pc).toBe(BigInt(CODE + 4))
  })

  test('a word that is no instruction is undefined', () => {
    expect(exception(a32(0xe7f0_00f0)).syndrome).toBe(0x0200_0000)
  })

  test('several loads whose last one aborts have changed nothing', () => {
    // ldm r0!, {r1, r2, r3}
    const cpu = a32(0xe8b0_000e)
    cpu.registers.setX(0, 0xfff8n)
    cpu.registers.setX(1, 7n)
    const { address } = exception(cpu)
    expect(address).toBe(0x1_0000n)
    expect([0, 1, 2, 3].map((i) => cpu.registers.x(i))).toEqual([0xfff8n, 7n, 0n, 0n])
  })

  test.each([
    ['ldm', 0xe890_0006, 0x21],
    ['stm', 0xe880_0006, 0x61],
    ['ldrd', 0xe1c0_20d0, 0x21],
  ])('%s of words that are not aligned aborts', (_name, word, status) => {
    const cpu = a32(word)
    cpu.registers.setX(0, 0x2002n)
    expect(exception(cpu).syndrome & 0x7f).toBe(status)
  })
})

describe('the program counter as a register', () => {
  // Each leads to SVC at 0x1010, past the one at 0x1004.
  test.each([
    ['add pc, pc, #8', [0xe28f_f008, SVC | 1, 0, 0]],
    ['ldr pc, [pc, #-4]', [0xe51f_f004, 0x1010, 0, 0]],
    ['ldm r0, {r1, pc}', [0xe890_8002, SVC | 1, 5, 0x1010]],
    ['mov pc, r2', [0xe1a0_f002, SVC | 1, 0, 0]],
  ])('%s branches', (_name, program) => {
    const cpu = a32(...program, SVC | 0x77)
    cpu.registers.setX(0, 0x1008n)
    cpu.registers.setX(2, 0x1010n)
    expect(exception(cpu).syndrome).toBe(0x4600_0077)
    expect(cpu.registers.pc).toBe(0x1014n)
  })

  test('a store writes the address of the instruction and 8', () => {
    // str pc, [r0]; ldr r1, [r0]; svc
    const cpu = a32(0xe580_f000, 0xe590_1000, SVC)
    cpu.registers.setX(0, 0x2000n)
    exception(cpu)
    expect(cpu.registers.x(1)).toBe(BigInt(CODE + 8))
  })
})

test('TPIDRURW is written, TPIDRURO only read', () => {
  // mcr p15, 0, r0, c13, c0, 2; mrc p15, 0, r1, c13, c0, 2; mrc p15, 0, r2, c13, c0, 3; mcr p15, 0, r0, c13, c0, 3
  const cpu = a32(0xee0d_0f50, 0xee1d_1f50, 0xee1d_2f70, 0xee0d_0f70)
  cpu.registers.setX(0, 0xffff_ffff_1234_5678n)
  cpu.registers.tpidr = 0x7_0000_0000n
  cpu.registers.tpidrro = 0x8_9abc_def0n
  expect(exception(cpu).syndrome).toBe(0x0200_0000)
  expect(cpu.registers.tpidr).toBe(0x7_1234_5678n)
  expect([1, 2].map((i) => cpu.registers.x(i))).toEqual([0x1234_5678n, 0x9abc_def0n])
  expect(cpu.registers.pc).toBe(BigInt(CODE + 12))
})

/** R0 to R14 are 32 bits of X0 to X14. */
test('the upper halves of registers are not read, and cleared where they are written', () => {
  // add r0, r1, r2; svc
  const cpu = a32(0xe081_0002, SVC)
  for (let i = 0; i < 3; i++) cpu.registers.setX(i, 0xffff_ffff_8000_0000n)
  exception(cpu)
  expect(cpu.registers.x(0)).toBe(0n)
  expect(cpu.registers.x(1)).toBe(0xffff_ffff_8000_0000n)
})

test('PSTATE has no mode of AArch32 but user mode', () => {
  const { cpu } = machine()
  for (const value of [0x11, 0x3f, 0x1f]) expect(() => (cpu.registers.pstate = value)).toThrow(RangeError)
  cpu.registers.pstate = 0xffff_fdd0 >>> 0
  expect(cpu.registers.pstate).toBe(0xfff_fdd0)
  cpu.registers.pstate = 0
  expect(cpu.registers.pstate).toBe(0)
})

test.each([true, false])('a program with calls, loops and a stack; hot code compiled: %s', (compiles) => {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new FlatHost(memory, 0, 0x1_0000)
  const engine = new ArmEngine(memory, compiles ? { jit: { threshold: 1, fewestInstructions: 1 } } : {})
  const cpu = new ArmCpu(engine, host)
  // fib: cmp r0, #2; bxlo lr; push {r4, lr}; mov r4, r0; sub r0, r4, #1; bl fib; push {r0}; sub r0, r4, #2; bl fib;
  // pop {r1}; add r0, r0, r1; pop {r4, pc}. main: mov r0, #15; bl fib; svc #0
  const fib = [
    0xe350_0002,
    0x312f_ff1e,
    0xe92d_4010,
    0xe1a0_4000,
    0xe244_0001,
    0xebff_fff9,
    0xe52d_0004,
    0xe244_0002,
    0xebff_fff6,
    0xe49d_1004,
    0xe080_0001,
    0xe8bd_8010,
    0xe3a0_000f,
    0xebff_fff1,
    SVC,
  ]
  host.load(CODE, new Uint8Array(Uint32Array.from(fib).buffer))
  cpu.registers.pstate = USER
  cpu.registers.setX(13, 0x8000n)
  cpu.registers.pc = BigInt(CODE + 12 * 4)
  let exit = cpu.run(1000)
  for (let turns = 0; exit.reason === 'budget' && turns < 100; turns++) exit = cpu.run(1000)
  expect(exit).toMatchObject({ reason: 'exception', syndrome: 0x4600_0000 })
  expect(cpu.registers.x(0)).toBe(610n)
  expect(cpu.registers.x(13)).toBe(0x8000n)
})
