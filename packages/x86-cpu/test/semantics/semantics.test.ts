import { TEST_JIT } from '@retrap/tooling/jit'
import { loadInstructions } from '@retrap/x86-cpu'
import { Instruction, codes } from '@retrap/x86-decoder'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { BASE_FEATURES, isOffered } from '../../src/model/feature-table.ts'
import { check, checkSequences, type Report } from './check.ts'
import { describeMismatch } from './compare.ts'
import { knownDifferences, toleratedDifference } from './differences.ts'
import type { Encoding } from './encode.ts'
import { familiesOn, hostNote, waiting } from './families.ts'
import * as L from './layout.ts'
import { TestMachine } from './machine.ts'
import { nativeCpu } from './native.ts'
import { Random } from './random.ts'

/** At least so many cases of every form; `npm run -s soak -- semantics` does more. */
const CASES_PER_FORM = slicedCount(200, 8)
const ENCODINGS_PER_FORM = slicedCount(20, 4)
/** 16-bit code of a batch fits 64 KiB. */
const FORMS_PER_BATCH = 30
/** Part of the cases that end without a fault; where privileged instructions, bad selectors, and operands that must be aligned are, fewer do. */
const LEAST_COMPLETED: Readonly<Record<string, number>> = { system: 0.2, segments: 0.3, privileged: 0 }
/** Of the cryptography of a host without SHA and GFNI: most forms that are left are legacy ones, whose operands must be aligned. */
const LEAST_WITHOUT_SHA = 0.6
/** Sequences of two to four instructions, the first of which sets flags that the last depends on. */
const SEQUENCES = 200
const SEQUENCE_BATCHES = slicedCount(5, 5)
const CASES_PER_SEQUENCE = 10
/** Mismatches that are printed in full. */
const SHOWN = 4

const native = nativeCpu()

/**
 * Every form of every instruction that user mode can run, with random operands, flags and addresses, here and on the host
 * CPU: registers, RIP, memory, defined flags, x87, MMX and SSE state and faults agree, `differences.ts` aside.
 */
describe.skipIf(typeof native === 'string')(`an instruction does what the host CPU does${hostNote(native)}`, () => {
  const reference = native as Exclude<typeof native, string>
  const whole = new TestMachine()
  // Code that has been written is compiled again ever more rarely: then each batch has a machine of its own.
  const machineOf = (): TestMachine => (TEST_JIT === false ? whole : new TestMachine())

  const all = familiesOn(native)

  test.skip.each(all.filter(({ forms }) => forms.length === 0))('$title', () => {})
  test.each(all.filter(({ forms }) => forms.length > 0))('$title', { timeout: 120_000 }, ({ name, forms }) => {
    const reports: Report[] = []
    for (let i = 0; i < forms.length; i += FORMS_PER_BATCH) {
      const random = new Random(0x5eed + i)
      reports.push(
        check(reference, machineOf(), random, forms.slice(i, i + FORMS_PER_BATCH), CASES_PER_FORM, ENCODINGS_PER_FORM),
      )
    }
    const cases = reports.reduce((sum, r) => sum + r.cases, 0)
    const completed = reports.reduce((sum, r) => sum + r.completed, 0)
    const mismatches = reports.flatMap((r) => r.mismatches)
    console.log(
      `${name}: ${forms.length} forms, ${cases} cases (${completed} without a fault), ${mismatches.length} mismatches`,
    )
    expect(mismatches.slice(0, SHOWN).map(describeMismatch).join('\n\n')).toBe('')
    expect(reports.flatMap((r) => r.notEncoded)).toEqual([])
    // What mostly faults would compare little.
    const isShort = name === 'cryptography' && !forms.some(({ feature }) => feature === 'SHA' || feature === 'GFNI')
    expect(completed / cases).toBeGreaterThanOrEqual(isShort ? LEAST_WITHOUT_SHA : (LEAST_COMPLETED[name] ?? 0.7))
    expect(cases).toBeGreaterThanOrEqual(CASES_PER_FORM * forms.length)
  })

  test.each(typeof native === 'string' ? L.MODES : native.modes)(
    'flags are what later instructions take them for, %i-bit code',
    { timeout: 120_000 },
    (mode) => {
      const random = new Random(0xf1a6 + mode)
      for (let i = 0; i < SEQUENCE_BATCHES; i++) {
        const { mismatches, cases, completed } = checkSequences(
          reference,
          machineOf(),
          random,
          mode,
          SEQUENCES,
          CASES_PER_SEQUENCE,
        )
        expect(mismatches.slice(0, SHOWN).map(describeMismatch).join('\n\n')).toBe('')
        expect(completed / cases).toBeGreaterThan(0.7)
      }
    },
  )
})

test('everything that CPUID announces is implemented, and nothing of every program lies behind EVEX in the list of codes', async () => {
  await loadInstructions('everything')
  expect(waiting()).toEqual([])
  const first = codes.findIndex(({ encoding }) => encoding === 'evex')
  expect(
    codes.slice(first).filter(({ encoding, feature }) => encoding !== 'evex' && isOffered(feature, BASE_FEATURES)),
  ).toEqual([])
})

/** A far CALL in 64-bit code to `cs`, or a POP in 16-bit code, that ended here with `actual`. */
const END = { form: 'CALLF m32', rsp: 0x7_1000_0fe0n, what: 'rip', expected: 3, cs: 0x23, left: 0x1000_0fdcn, cr2: 0n }

test.each([
  { name: 'pushed below 4 GiB, and called', end: END, accepted: true },
  {
    name: 'pushed below 4 GiB, and faulted in what it called',
    end: { ...END, expected: 14, cr2: 0x11n },
    accepted: true,
  },
  { name: 'pushed elsewhere', end: { ...END, left: 0x1000_0fd8n }, accepted: false },
  { name: 'called with a stack below 4 GiB', end: { ...END, rsp: 0x1000_0fe0n }, accepted: false },
  {
    name: 'faulted as it pushed',
    end: { ...END, expected: 14, cs: 0x33, cr2: 0x1000_0fden, what: 'cr2' },
    accepted: true,
  },
  {
    name: 'faulted elsewhere',
    end: { ...END, expected: 14, cs: 0x33, cr2: 0x1000_0fe0n, what: 'cr2' },
    accepted: false,
  },
  { name: 'faulted otherwise', end: { ...END, expected: 13, cs: 0x33, what: 'vector' }, accepted: false },
  {
    name: 'popped two bytes beyond the limit',
    end: { ...END, form: 'POP ES', rsp: 0x1_fffen, expected: 12, what: 'vector' },
    accepted: true,
  },
  {
    name: 'popped within the limit',
    end: { ...END, form: 'POP ES', rsp: 0xfffcn, expected: 12, what: 'vector' },
    accepted: false,
  },
])('a difference is accepted for its reason alone: the host $name', ({ end, accepted }) => {
  const long = end.form !== 'POP ES'
  const info = codes.find(({ form, operandSize }) => form === end.form && operandSize === (long ? 16 : 32))!
  const [input, expected, actual] = [L.IN_BYTES, L.OUT_BYTES, L.OUT_BYTES].map((bytes) => new Uint8Array(bytes)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ]
  const put = (bytes: Uint8Array, at: number, value: bigint): void =>
    new DataView(bytes.buffer).setBigUint64(at, value, true)
  put(input, L.IN_GPR + 32, end.rsp)
  expected[L.OUT_VECTOR] = end.expected
  expected[L.OUT_CS] = end.cs
  put(expected, L.OUT_GPR + 32, end.left)
  put(expected, L.OUT_CR2, end.cr2)
  actual[L.OUT_VECTOR] = 14
  const encoding = { info, long, mode: long ? 64 : 16, insn: new Instruction() } as unknown as Encoding
  expect(toleratedDifference({ encoding, input, expected, actual, what: end.what }) !== undefined).toBe(accepted)
})

/** A store that faulted: bytes of the input, of the host's result and of ours, at offsets. */
interface Store {
  readonly name: string
  readonly form: string
  readonly what: string
  readonly input?: Readonly<Record<number, number>>
  readonly expected: Readonly<Record<number, number>>
  readonly actual: Readonly<Record<number, number>>
  readonly accepted: boolean
}

const [BP, SS, GP, PF] = [3, 12, 13, 14]
const IN_STACK = { [L.IN_GPR + 32]: 0x80, [L.IN_GPR + 33]: 0xf, [L.IN_GPR + 35]: 0x10 }
const IN_MXCSR = L.IN_FX + 24
const OUT_MXCSR = L.OUT_FX + 24

test.each<Store>([
  ...[
    { name: 'CALL has stored where to return', stored: 5, accepted: true },
    { name: 'CALL has stored something else', stored: 6, accepted: false },
  ].map(({ name, stored, accepted }) => ({
    name,
    form: 'CALL rel32',
    what: `memory ${(L.BAND + 0x7c).toString(16)}`,
    input: IN_STACK,
    expected: { [L.OUT_VECTOR]: GP, [L.OUT_BAND + 0x7c]: stored },
    actual: { [L.OUT_VECTOR]: GP },
    accepted,
  })),
  ...[
    { name: 'PUSHFD crosses 4 GiB', at: 0xff, accepted: true },
    { name: 'PUSHFD ends below 4 GiB', at: 0x7f, accepted: false },
  ].map(({ name, at, accepted }) => ({
    name,
    form: 'PUSHFD',
    what: 'vector',
    expected: {
      [L.OUT_VECTOR]: PF,
      [L.OUT_CR2]: 0xff,
      [L.OUT_CR2 + 1]: 0xff,
      [L.OUT_CR2 + 2]: 0xff,
      [L.OUT_CR2 + 3]: at,
    },
    actual: { [L.OUT_VECTOR]: SS },
    accepted,
  })),
  ...[
    { name: 'MASKMOVDQU of no byte faults', mask: 0x7f, accepted: true },
    { name: 'MASKMOVDQU of a byte faults', mask: 0x80, accepted: false },
  ].map(({ name, mask, accepted }) => ({
    name,
    form: 'MASKMOVDQU xmm, xmm',
    what: 'vector',
    input: { [L.IN_FX + 160]: mask },
    expected: { [L.OUT_VECTOR]: PF },
    actual: { [L.OUT_VECTOR]: BP },
    accepted,
  })),
  ...[
    { name: 'MOVNTQ has set TOP', register: 32 + 16 * 6, accepted: true },
    { name: 'MOVNTQ has changed a register', register: 32 + 16 * 5, accepted: false },
  ].map(({ name, register, accepted }) => ({
    name,
    form: 'MOVNTQ m64, mm',
    what: 'fsw',
    input: { [L.IN_FX + 3]: 2 << 3 },
    // ST0 with TOP = 2 is ST2 with TOP = 0.
    expected: { [L.OUT_VECTOR]: PF, [L.OUT_FX + 32 + 16 * 2]: 1, [L.OUT_FX + 32]: 2 },
    actual: { [L.OUT_VECTOR]: PF, [L.OUT_FX + 3]: 2 << 3, [L.OUT_FX + 32]: 1, [L.OUT_FX + register]: 2 },
    accepted,
  })),
  ...[
    { name: 'FST notes an unmasked stack underflow', masks: 0x7e, accepted: true },
    { name: 'FST notes a masked one and stores nothing', masks: 0x7f, accepted: false },
  ].map(({ name, masks, accepted }) => ({
    name,
    form: 'FST m32',
    what: 'vector',
    input: { [L.IN_FX]: masks },
    expected: { [L.OUT_VECTOR]: BP, [L.OUT_FX + 2]: 0xc1, [L.OUT_FX + 3]: 0x80 },
    actual: { [L.OUT_VECTOR]: PF },
    accepted,
  })),
  ...[
    { name: 'VCVTPS2PH has raised PE', raised: 0x20, accepted: true },
    { name: 'VCVTPS2PH has raised ZE', raised: 4, accepted: false },
  ].map(({ name, raised, accepted }) => ({
    name,
    form: 'VCVTPS2PH xmm/m64, xmm, imm8',
    what: 'mxcsr',
    input: { [IN_MXCSR]: 0x80 },
    expected: { [L.OUT_VECTOR]: PF, [OUT_MXCSR]: 0x80 | raised },
    actual: { [L.OUT_VECTOR]: PF, [OUT_MXCSR]: 0x80 },
    accepted,
  })),
])('a difference of a store that faults is accepted for its reason alone: $name', (row) => {
  const info = codes.find(({ form, operandSize }) => form === row.form && operandSize !== 16)!
  const [input, expected, actual] = (
    [
      [L.IN_BYTES, row.input ?? {}],
      [L.OUT_BYTES, row.expected],
      [L.OUT_BYTES, row.actual],
    ] as const
  ).map(([size, bytes]) => {
    const result = new Uint8Array(size)
    for (const [at, value] of Object.entries(bytes)) result[Number(at)] = value
    return result
  }) as [Uint8Array, Uint8Array, Uint8Array]
  const insn = new Instruction()
  insn.length = 5
  insn.isMemory = 1
  insn.rm = 0
  const encoding = { info, long: false, mode: 32, insn } as unknown as Encoding
  expect(toleratedDifference({ encoding, input, expected, actual, what: row.what }) !== undefined).toBe(row.accepted)
})

test('every known difference cites what the manuals say', () => {
  for (const { reason } of knownDifferences) expect(reason.length).toBeGreaterThan(20)
  if (waiting().length > 0) console.log(`not implemented, so not compared: ${waiting().join(' ')}`)
})
