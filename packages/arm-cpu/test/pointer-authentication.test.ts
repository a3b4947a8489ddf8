import { describe, expect, test } from 'vitest'
import { S_POINTERS } from '../src/state/state-layout.ts'
import { CODE, exception, machine, SVC } from './support/machine.ts'
import { pointerVectors } from './support/pointer-vectors.ts'

const KEYS = ['IA', 'IB', 'DA', 'DB', 'GA'] as const
const KEY = (0x84be_85ce_9804_e94bn << 64n) | 0xec28_02d4_e0a4_88e9n

type Machine = ReturnType<typeof machine>

/** A processor with the same key everywhere. */
function keyed(...program: number[]): Machine {
  const made = machine(...program)
  for (const name of KEYS) made.cpu.registers.setKey(name, KEY)
  return made
}

/** X0 after an instruction, of X1 in X0 and X2 in X1. */
function resultOf({ cpu }: Machine, pointer: bigint, modifier = 0n): bigint {
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.setX(0, pointer)
  cpu.registers.setX(1, modifier)
  exception(cpu)
  return cpu.registers.x(0)
}

// pacia x0, x1 and so on
const WORDS: Readonly<Record<string, number>> = {
  pacia: 0xdac1_0020,
  pacdb: 0xdac1_0c20,
  autia: 0xdac1_1020,
  autdb: 0xdac1_1c20,
}

describe('QARMA5', () => {
  // R. Avanzi, "The QARMA Block Cipher Family": QARMA5-64 with the third substitution. PACGA gives the upper half.
  test('PACGA gives the published result', () => {
    // pacga x0, x1, x2
    const { cpu } = keyed(0x9ac2_3020, SVC)
    cpu.registers.setX(1, 0xfb62_3599_da6e_8127n)
    cpu.registers.setX(2, 0x477d_469d_ec0b_8762n)
    exception(cpu)
    expect(cpu.registers.x(0).toString(16)).toBe('c003b93900000000')
  })
})

describe('pointers', () => {
  test("are signed and authenticated as QEMU's processor does", () => {
    const machines = new Map(Object.entries(WORDS).map(([name, word]) => [name, machine(word, SVC)]))
    const different: string[] = []
    for (const line of pointerVectors.trim().split('\n')) {
      const [name = '', tagged, ...numbers] = line.split(' ')
      const [high, low, pointer, modifier, result] = numbers.map((text) => BigInt(`0x${text}`))
      const m = machines.get(name)!
      for (const key of KEYS) m.cpu.registers.setKey(key, (high! << 64n) | low!)
      m.cpu.memory.u32[(m.cpu.state + S_POINTERS) >>> 2] = tagged === '1' ? 0x30f0 : 0x3030
      const found = resultOf(m, pointer!, modifier!)
      if (found !== result) different.push(`${line}: ${found.toString(16)}`)
    }
    expect(different).toEqual([])
  })

  test('get codes of their own, whichever were computed before', () => {
    // pacia x0, x1
    const code = (m: Machine, [pointer, modifier, key]: readonly [bigint, bigint, bigint]): bigint => {
      m.cpu.registers.setKey('IA', key)
      return resultOf(m, pointer, modifier)
    }
    const same = [0x1000n, 0x20n, KEY] as const
    // Each differs from `same` in one respect, in bits that do not select the place of the remembered result.
    const cases = [
      same,
      [0x1000n + (1n << 20n), 0x20n, KEY],
      same,
      [0x1000n, 0x20n + (1n << 30n), KEY],
      same,
      [0x1000n, 0x20n, KEY ^ (1n << 20n)],
      same,
      [0x1000n, 0x20n, KEY ^ (1n << 64n)],
      same,
      same,
    ] as const
    const word = WORDS['pacia']!
    const shared = keyed(word, SVC)
    const found = cases.map((each) => code(shared, each).toString(16))
    expect(found).toEqual(cases.map((each) => code(keyed(word, SVC), each).toString(16)))
    expect(new Set(found).size).toBe(5)
    // Of zeros only.
    expect(code(keyed(word, SVC), [0n, 0n, 0n])).not.toBe(0n)
  })

  test('of a disabled key stay as they are', () => {
    const m = keyed(WORDS['pacia']!, SVC)
    m.cpu.registers.enabledKeys = 0xe
    expect(resultOf(m, 0x1234n)).toBe(0x1234n)
    m.cpu.registers.enabledKeys = 1
    expect(resultOf(m, 0x1234n)).not.toBe(0x1234n)
  })

  test.each([
    ['XPACI', 0xdac1_43e0],
    ['XPACD', 0xdac1_47e0],
  ])('%s takes the code out, and leaves the tag', (_name, word) => {
    const m = keyed(word, SVC)
    expect(resultOf(m, 0x5a35_1234_5678_9abcn)).toBe(0x5a00_1234_5678_9abcn)
    expect(resultOf(m, 0xffb5_1234_5678_9abcn)).toBe(0xffff_1234_5678_9abcn)
  })

  test('XPACLRI takes it out of X30', () => {
    const { cpu } = keyed(0xd503_20ff, SVC)
    cpu.registers.setX(30, 0x5a35_1234_5678_9abcn)
    exception(cpu)
    expect(cpu.registers.x(30)).toBe(0x5a00_1234_5678_9abcn)
  })

  test.each([
    ['PACIAZ is PACIZA', 0xd503_231f, 0xdac1_23fe],
    ['PACIASP is PACIA with SP', 0xd503_233f, 0xdac1_03fe],
    ['PACIBZ is PACIZB', 0xd503_235f, 0xdac1_27fe],
    ['PACIBSP is PACIB with SP', 0xd503_237f, 0xdac1_07fe],
    ['PACIA1716', 0xd503_211f, 0xdac1_0211],
    ['PACIB1716', 0xd503_215f, 0xdac1_0611],
  ])('%s, and its AUT undoes it', (_name, hint, direct) => {
    const registersAfter = (...words: number[]): bigint[] => {
      const { cpu } = keyed(...words, SVC)
      for (const i of [16, 17, 30]) cpu.registers.setX(i, BigInt(0x1000 * i))
      exception(cpu)
      return [16, 17, 30].map((i) => cpu.registers.x(i))
    }
    const signed = registersAfter(hint)
    expect(signed).toEqual(registersAfter(direct))
    expect(signed).not.toEqual(registersAfter())
    // The AUT of a hint is four further on.
    expect(registersAfter(hint, hint + (4 << 5))).toEqual(registersAfter())
  })
})

describe('branches and loads', () => {
  // mov x0, #CODE + 16; paciza x0; the branch; brk; the target: svc #0
  const program = (sign: number, branch: number): number[] => [0xd282_0200, sign, branch, 0xd420_0000, SVC]

  test.each([
    ['BRAAZ', 0xdac1_23e0, 0xd61f_081f, 0n],
    ['BRABZ', 0xdac1_27e0, 0xd61f_0c1f, 0n],
    ['BLRAAZ', 0xdac1_23e0, 0xd63f_081f, BigInt(CODE + 12)],
    ['BRAA by X1', 0xdac1_0020, 0xd71f_0801, 0n],
    ['BLRAB by SP', 0xdac1_07e0, 0xd73f_0c1f, BigInt(CODE + 12)],
  ])('%s goes to its register', (_name, sign, branch, link) => {
    const { cpu } = keyed(...program(sign, branch))
    cpu.registers.setX(1, 7n)
    expect(exception(cpu).syndrome >>> 26).toBe(0x15)
    expect(cpu.registers.x(30)).toBe(link)
  })

  test.each([
    ['RETAA', 0xd503_233f, 0xd65f_0bff],
    ['RETAB', 0xd503_237f, 0xd65f_0fff],
  ])('%s goes to X30, signed with SP', (_name, sign, ret) => {
    const { cpu } = keyed(sign, ret, 0xd420_0000, SVC)
    cpu.registers.setX(30, BigInt(CODE + 12))
    expect(exception(cpu).syndrome >>> 26).toBe(0x15)
  })

  test('a branch by a pointer that fails aborts at the marked address', () => {
    // braaz x0
    const { cpu } = keyed(0xd61f_081f, SVC)
    cpu.registers.setX(0, 0x0010_0000_0000_1004n)
    const { syndrome, address } = exception(cpu)
    expect([syndrome >>> 26, address]).toEqual([0x20, 0x0020_0000_0000_1004n])
  })

  test('LDRAA and LDRAB load, and write an address without code back', () => {
    // pacdza x0; ldraa x2, [x0, #8]!
    const { cpu, host } = keyed(0xdac1_2be0, 0xf820_1c02, SVC)
    host.load(0x4008, Uint8Array.of(1, 2, 3))
    expect(resultOf({ cpu, host }, 0x4000n)).toBe(0x4008n)
    expect(cpu.registers.x(2)).toBe(0x03_0201n)
    // ldrab x2, [x0]
    const wrong = keyed(0xdac1_2be0, 0xf8a0_0402, SVC)
    wrong.cpu.registers.setKey('DB', 1n)
    wrong.cpu.registers.setX(0, 0x4000n)
    expect(exception(wrong.cpu)).toMatchObject({ address: 0x0040_0000_0000_4000n })
  })
})
