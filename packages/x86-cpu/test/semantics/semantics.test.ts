import { TEST_JIT } from '@retrap/tooling/jit'
import { codes } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { isOffered } from '../../src/features.ts'
import { check, checkSequences } from './check.ts'
import type { Report } from './check.ts'
import { describeMismatch } from './compare.ts'
import { knownDifferences } from './differences.ts'
import { familiesOn, hostNote, waiting } from './families.ts'
import { MODES } from './layout.ts'
import { TestMachine } from './machine.ts'
import { nativeCpu } from './native.ts'
import { Random } from './random.ts'

/** At least so many cases of every form; `npm run -s soak -- semantics` does more. */
const CASES_PER_FORM = 200
const ENCODINGS_PER_FORM = 20
/** 16-bit code of a batch fits 64 KiB. */
const FORMS_PER_BATCH = 30
/** Part of the cases that end without a fault; where privileged instructions and bad selectors are, fewer do. */
const LEAST_COMPLETED: Readonly<Record<string, number>> = { system: 0.2, segments: 0.3, privileged: 0 }
/** Sequences of two to four instructions, the first of which sets flags that the last depends on. */
const SEQUENCES = 200
const SEQUENCE_BATCHES = 5
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
    expect(completed / cases).toBeGreaterThanOrEqual(LEAST_COMPLETED[name] ?? 0.7)
    expect(cases).toBeGreaterThanOrEqual(CASES_PER_FORM * forms.length)
  })

  test.each(typeof native === 'string' ? MODES : native.modes)(
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

test('everything that CPUID announces is implemented, and nothing from EVEX on in the list of codes', () => {
  expect(waiting()).toEqual([])
  const first = codes.findIndex(({ encoding }) => encoding === 'evex')
  expect(codes.slice(first).filter(({ encoding, feature }) => encoding !== 'evex' && isOffered(feature))).toEqual([])
})

test('every known difference cites what the manuals say', () => {
  for (const { reason } of knownDifferences) expect(reason.length).toBeGreaterThan(20)
  if (waiting().length > 0) console.log(`not implemented, so not compared: ${waiting().join(' ')}`)
})
