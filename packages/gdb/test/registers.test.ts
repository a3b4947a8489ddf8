/** The registers that a client is told of. Source: gdb's manual, "Standard Target Features", and the names of QEMU's. */
import { describe, expect, test } from 'vitest'
import { arm64Registers, GdbError, RegisterSet, x86Registers } from '../src/index.ts'

/** The sizes in bits of registers by name, as the client reads them. */
function sizes({ xml }: RegisterSet): Map<string, number> {
  return new Map(
    Array.from(xml.matchAll(/<reg name="(\w+)" bitsize="(\d+)"/g), ([, name, bits]) => [name!, Number(bits)]),
  )
}
const PLAIN = [...sizes(x86Registers(64))]

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
      ...all('cs_base ss_base ds_base es_base k_gs_base cr0 cr2 cr3 cr4 cr8 efer gdtr_base', 64),
      ['gdtr_limit', 32],
      ['idtr_base', 64],
      ...all('idtr_limit tr ldtr', 32),
      ...all('tr_base ldtr_base dr0 dr1 dr2 dr3 dr6 dr7', 64),
    ],
    programCounter: 'rip',
  },
  {
    what: 'x86-64 with AVX-512, APX and AMX',
    set: x86Registers(64, { avx512: true, apx: true, amx: true }),
    general: [
      ...PLAIN.slice(0, x86Registers(64).general),
      ...named('xmm', 32, 128).slice(16),
      ...named('ymm', 32, 128, 'h').slice(16),
      ...named('k', 8, 64),
      ...named('zmm', 32, 256, 'h'),
      ...named('r', 32, 64).slice(16),
    ],
    system: [...PLAIN.slice(x86Registers(64).general), ...named('tmm', 8, 8192), ['tilecfg', 512]],
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
    system: all(
      'cs_base ss_base ds_base es_base fs_base gs_base cr0 cr2 cr3 cr4 cr8 efer gdtr_base gdtr_limit idtr_base idtr_limit tr ldtr tr_base ldtr_base dr0 dr1 dr2 dr3 dr6 dr7',
      32,
    ),
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
    expect([...sizes(set)].slice(set.general)).toEqual(system)
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

/** Fields of a type of flags, by name, as gdb's own descriptions and the manuals have them. */
const fields = ({ xml }: RegisterSet, id: string): string[] =>
  Array.from(
    new RegExp(`<flags id="${id}" size="4">(.*)</flags>`)
      .exec(xml)![1]!
      .matchAll(/<field name="(\w*)" start="(\d+)" end="(\d+)"\/>/g),
    ([, name, start, end]) => `${name}${start === end ? start : `${start}-${end}`}`,
  )

test.each([64, 32] as const)('flags of an x86 of %i bits', (bits) => {
  expect(fields(x86Registers(bits), 'i386_eflags').join(' ')).toBe(
    'CF0 1 PF2 AF4 ZF6 SF7 TF8 IF9 DF10 OF11 NT14 RF16 VM17 AC18 VIF19 VIP20 ID21',
  )
  expect(fields(x86Registers(bits), 'i386_mxcsr').join(' ')).toBe(
    'IE0 DE1 ZE2 OE3 UE4 PE5 DAZ6 IM7 DM8 ZM9 OM10 UM11 PM12 FZ15',
  )
})

test("flags and vectors of an Arm processor: PSTATE as SPSR_EL1 has it, and each vector fills its register's 128 bits", () => {
  const set = arm64Registers([])
  expect(fields(set, 'cpsr_flags').join(' ')).toBe(
    'SP0 EL2-3 nRW4 F6 I7 A8 D9 BTYPE10-11 SSBS12 IL20 SS21 PAN22 UAO23 DIT24 V28 C29 Z30 N31',
  )
  const vectors = [...set.xml.matchAll(/<vector id="(\w+)" type="([a-z_]+)(\d*)" count="(\d+)"\/>/g)]
  const bits: Record<string, number> = { ieee_half: 16, ieee_single: 32, ieee_double: 64 }
  for (const [, id, type, size, count] of vectors)
    expect([id, (size === '' ? bits[type!]! : Number(size)) * Number(count)]).toEqual([id, 128])
  // A union names no type that is not there.
  const types = new Set([...set.xml.matchAll(/ id="(\w+)"/g)].map(([, id]) => id))
  for (const [, type] of set.xml.matchAll(/<field name="\w+" type="(\w+)"/g)) expect(types).toContain(type)
})

test('pointers, flags and floats have types that gdb shows as such', () => {
  const typeOf = ({ xml }: RegisterSet, name: string): string =>
    new RegExp(`<reg name="${name}" bitsize="\\d+" type="(\\w+)"`).exec(xml)![1]!
  const wide = x86Registers(64)
  const names = ['rax', 'rbp', 'rsp', 'rip', 'eflags', 'cs', 'st7', 'xmm15', 'mxcsr', 'ymm0h', 'cs_base', 'fs_base']
  expect(names.map((name) => typeOf(wide, name)).join(' ')).toBe(
    'int64 data_ptr data_ptr code_ptr i386_eflags int32 i387_ext vec128 i386_mxcsr uint128 int64 int',
  )
  const narrow = x86Registers(32)
  expect(['eax', 'ebp', 'esp', 'eip', 'cs_base'].map((name) => typeOf(narrow, name)).join(' ')).toBe(
    'int32 data_ptr data_ptr code_ptr int32',
  )
})
