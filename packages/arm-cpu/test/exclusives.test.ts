import { describe, expect, test } from 'vitest'
import { CODE, exception, machine, SVC } from './support/machine.ts'

/** Where the tests have their data. */
const DATA = 0x4000n
const LDXR = 0xc85f_7c20 // ldxr x0, [x1]
const STXR = 0xc802_7c23 // stxr w2, x3, [x1]
const CLREX = 0xd503_3f5f

/** Runs a program with X1 at the data and X3 a number; what X2 and the data are then. */
function outcome(
  program: number[],
  prepare: (m: ReturnType<typeof machine>) => void = () => undefined,
): [bigint, bigint] {
  const m = machine(...program, SVC)
  m.cpu.registers.setX(1, DATA)
  m.cpu.registers.setX(2, 99n)
  m.cpu.registers.setX(3, 0x1122_3344_5566_7788n)
  prepare(m)
  exception(m.cpu)
  const bytes = m.cpu.memory.read(m.host.ramAddress(Number(DATA)), 8)
  return [m.cpu.registers.x(2), new DataView(bytes.buffer).getBigUint64(0, true)]
}

const WRITTEN = 0x1122_3344_5566_7788n

describe('the exclusive monitor', () => {
  test('a pair of load-exclusive and store-exclusive writes', () => {
    expect(outcome([LDXR, STXR])).toEqual([0n, WRITTEN])
  })

  test.each([
    ['no load-exclusive', [STXR]],
    ['CLREX', [LDXR, CLREX, STXR]],
    // ldxr w0, [x1]
    ['a load of other bytes', [0x885f_7c20, STXR]],
    // add x1, x1, #8
    ['another address', [LDXR, 0x9100_2021, STXR]],
    // str x3, [x1]; str xzr, [x1]: the second has what the load saw
    ['a store that changes the bytes', [LDXR, 0xf900_0021, STXR]],
  ])('%s makes it fail, and nothing is written', (_why, program) => {
    const [status, data] = outcome(program)
    expect(status).toBe(1n)
    expect(data).toBe(program.includes(0xf900_0021) ? DATA : 0n)
  })

  test('a store-exclusive closes it, whether it fails or not', () => {
    expect(outcome([LDXR, STXR, STXR])[0]).toBe(1n)
    // ldxr x0, [x1]; stxr w2, w3, [x1]; stxr w2, x3, [x1]
    expect(outcome([LDXR, 0x8802_7c23, STXR])).toEqual([1n, 0n])
  })

  test('a store of what was there already does not', () => {
    // str xzr, [x1]
    expect(outcome([LDXR, 0xf900_003f, STXR])).toEqual([0n, WRITTEN])
  })

  test.each([true, false])('a new turn begins with none; behind a stop, the turn goes on: %s', (goesOn) => {
    // ldr x4, [x5]: its page is met first, and the host stops the processor
    const { cpu, host } = machine(LDXR, 0xf940_00a4, STXR, SVC)
    cpu.registers.setX(1, DATA)
    cpu.registers.setX(5, 0x5000n)
    const translate = host.translate.bind(host)
    host.translate = (...access) => {
      if (access[0] === 0x5000) cpu.stop()
      return translate(...access)
    }
    expect([cpu.run(1), cpu.turnMayEnd, cpu.retired]).toEqual([{ reason: 'budget' }, false, 2])
    if (goesOn) cpu.goOn()
    exception(cpu, 0)
    expect([cpu.registers.x(2), cpu.retired]).toEqual([goesOn ? 0n : 1n, 4])
  })

  test.each([
    // ldxp w0, w3, [x1]; stxp w2, w3, w5, [x1]
    ['of 32 bits', 0x887f_0c20, 0x8822_1423, [5, 6, 7, 8, 7, 0, 0, 0, 9, 10, 11, 12, 13, 14, 15, 16]],
    ['of 64 bits', 0xc87f_0c20, 0xc822_1423, [9, 10, 11, 12, 13, 14, 15, 16, 7, 0, 0, 0, 0, 0, 0, 0]],
  ])('pairs %s', (_name, load, store, stored) => {
    const m = machine(load, store, SVC)
    const { registers } = m.cpu
    registers.setX(1, DATA)
    registers.setX(5, 7n)
    m.host.load(Number(DATA), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16))
    exception(m.cpu)
    expect(registers.x(2)).toBe(0n)
    const bytes = m.cpu.memory.read(m.host.ramAddress(Number(DATA)), 16)
    expect([...bytes]).toEqual(stored)
  })

  test('a write to code takes effect, as any other', () => {
    // ldxr w0, [x1]; stxr w2, w3, [x1]; mov w4, #1, which becomes mov w4, #2
    const m = machine(0x885f_7c20, 0x8802_7c23, 0x5280_0024, SVC)
    m.cpu.registers.setX(1, BigInt(CODE + 8))
    m.cpu.registers.setX(3, 0x5280_0044n)
    exception(m.cpu)
    expect([m.cpu.registers.x(2), m.cpu.registers.x(4)]).toEqual([0n, 2n])
  })
})

describe('aborts', () => {
  const [ALIGNMENT, READ_ONLY] = [0x21, 0x0f]

  test.each([
    ['LDXR', LDXR, 0],
    ['STXR', STXR, 1],
    ['LDXP, of which 8 bytes are too few', 0xc87f_0c20, 0, 8n],
    ['LDADD', 0xf823_0020, 0],
    ['CAS', 0xc8a3_7c20, 0],
    ['CASP, of which 8 bytes are too few', 0x4822_7c24, 0, 8n],
    ['LDAR', 0xc8df_fc20, 0],
    ['LDAPR', 0xf8bf_c020, 0],
    ['LDAPUR', 0xd940_0020, 0],
    ['STLR', 0xc89f_fc20, 1],
    ['LDARH', 0x48df_fc20, 0],
  ])('%s of an address that is not aligned, also where the page is known', (_name, word, write, off = 1n) => {
    // ldr x0, [x4]; str x0, [x4]
    const m = machine(0xf940_0080, 0xf900_0080, word, SVC)
    m.cpu.registers.setX(4, DATA)
    m.cpu.registers.setX(1, DATA + off)
    const { syndrome, address } = exception(m.cpu)
    expect([syndrome & 0x3f, (syndrome >>> 6) & 1, address]).toEqual([ALIGNMENT, write, DATA + off])
    expect(m.cpu.registers.pc).toBe(BigInt(CODE + 8))
  })

  test.each([
    ['LDADD where nothing is', 0xf823_0020, 0x2_0000n, 0, 7],
    ['CAS where nothing is', 0xc8a3_7c20, 0x2_0000n, 0, 7],
    ['a STXR that would fail, where nothing is', STXR, 0x2_0000n, 1, 7],
    ['LDADD where nothing may be written', 0xf823_0020, 0x8000n, 1, READ_ONLY],
    ['STXR where nothing may be written', STXR, 0x8000n, 1, READ_ONLY],
  ])('%s', (_name, word, address, write, status) => {
    const m = machine(word, SVC)
    m.host.readOnly = 0x8
    m.cpu.registers.setX(1, address)
    m.cpu.registers.setX(2, 99n)
    const exit = exception(m.cpu)
    expect([exit.syndrome & 0x3f, (exit.syndrome >>> 6) & 1, exit.address]).toEqual([status, write, address])
    expect(m.cpu.registers.x(2)).toBe(99n)
  })
})
