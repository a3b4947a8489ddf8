/** The registers that a client is told of. Source: gdb's manual, "Standard Target Features", and the names of QEMU's. */
import { describe, expect, test } from 'vitest'
import { arm64Registers, GdbError, RegisterSet, x86Registers } from '../src/index.ts'

/** The sizes in bits of registers by name, as the client reads them. */
function sizes({ xml }: RegisterSet): Map<string, number> {
  return new Map(
    Array.from(xml.matchAll(/<reg name="(\w+)" bitsize="(\d+)"/g), ([, name, bits]) => [name!, Number(bits)]),
  )
}

const named = (prefix: string, count: number, bits: number, suffix = ''): (readonly [string, number])[] =>
  Array.from({ length: count }, (_, i) => [`${prefix}${i}${suffix}`, bits])
const all = (names: string, bits: number): (readonly [string, number])[] => names.split(' ').map((name) => [name, bits])

const X87 = 'fctrl fstat ftag fiseg fioff foseg fooff fop'

describe.each([
  {
    what: 'AArch64',
    set: arm64Registers(['TTBR0_EL1']),
    general: [
      ...named('x', 31, 64),
      ...all('sp pc', 64),
      ['cpsr', 32],
      ...named('v', 32, 128),
      ...all('fpsr fpcr', 32),
    ],
    system: [['TTBR0_EL1', 64]],
    programCounter: 'pc',
  },
  {
    what: 'x86-64',
    set: x86Registers(64),
    general: [
      ...all('rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip', 64),
      ...all('eflags cs ss ds es fs gs', 32),
      ...named('st', 8, 80),
      ...all(X87, 32),
      ...named('xmm', 16, 128),
      ['mxcsr', 32],
      ...all('fs_base gs_base', 64),
      ...named('ymm', 16, 128, 'h'),
    ],
    system: [
      ['cr3', 64],
      ['efer', 64],
      ['gdtr_base', 64],
      ['gdtr_limit', 32],
      ['dr7', 64],
    ],
    programCounter: 'rip',
  },
  {
    what: 'i386',
    set: x86Registers(32),
    general: [
      ...all('eax ecx edx ebx esp ebp esi edi eip eflags cs ss ds es fs gs', 32),
      ...named('st', 8, 80),
      ...all(X87, 32),
      ...named('xmm', 8, 128),
      ['mxcsr', 32],
      ...named('ymm', 8, 128, 'h'),
    ],
    system: [
      ['cr3', 32],
      ['idtr_limit', 32],
    ],
    programCounter: 'eip',
  },
] as const)('$what', ({ set, general, system, programCounter }) => {
  test('general registers come first, in the order and of the sizes that gdb has', () => {
    const told = sizes(set)
    expect([...told].slice(0, set.general)).toEqual(general)
    expect(told.size).toBe(set.registers.length)
    expect(set.programCounter).toBe(programCounter)
  })

  test('system registers follow, which packets of all registers leave out', () => {
    const told = sizes(set)
    for (const [name, bits] of system) {
      expect([name, told.get(name)]).toEqual([name, bits])
      expect(set.numberOf(name)).toBeGreaterThanOrEqual(set.general)
    }
    expect(set.numberOf('none')).toBe(-1)
    expect(set.registers.map(({ name }) => set.numberOf(name))).toEqual(set.registers.map((_, i) => i))
  })
})

test.each([
  [
    'two of one name',
    [
      { name: 'a', bits: 8 },
      { name: 'a', bits: 8 },
    ],
    'register a is there twice',
  ],
  ['none of its bits', [{ name: 'a', bits: 0 }], 'register a of 0 bits'],
  ['part of a byte', [{ name: 'a', bits: 9 }], 'register a of 9 bits'],
  ['no program counter', [{ name: 'b', bits: 8 }], 'no program counter a'],
])('%s is refused', (_, registers, text) => {
  const make = (): RegisterSet => new RegisterSet('i386', [{ name: 'f', registers }], 'a')
  expect(make).toThrow(GdbError)
  expect(make).toThrow(text)
})
