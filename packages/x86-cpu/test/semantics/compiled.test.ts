// Instruction semantics once more, in compiled code: fewer cases of each form, each encoding several times in a row.
import { TEST_LONG } from '@retrap/tooling/long'
import { sliced } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { describeMismatch } from './compare.ts'
import { familiesOn, hostNote } from './families.ts'
import { nativeCpu } from './native.ts'
import { Random } from './random.ts'

process.env['RETRAP_TEST_JIT'] = '1'
const { check } = await import('./check.ts')
const { TestMachine } = await import('./machine.ts')

const CASES_PER_FORM = 16
const ENCODINGS_PER_FORM = 2
const FORMS_PER_BATCH = 60
const SHOWN = 4
/** Parts of the forms: a run takes one. */
const PARTS = 4
/** Families whose instructions are mostly left to the interpreter. */
const INTERPRETED: ReadonlySet<string> = new Set(['system', 'segments', 'privileged'])

const native = nativeCpu()
const subject = `an instruction in compiled code does what the host CPU does${hostNote(native)}`

describe.skipIf(typeof native === 'string')(subject, () => {
  const reference = native as Exclude<typeof native, string>
  const all = familiesOn(native)

  test.skip.each(all.filter(({ forms }) => forms.length === 0))('$title', () => {})
  test.each(all.filter(({ forms }) => forms.length > 0))(
    '$title',
    { timeout: 120_000 },
    ({ name, forms: possible }) => {
      const forms = sliced(possible, PARTS)
      let [cases, executed] = [0, 0]
      for (let i = 0; i < forms.length; i += FORMS_PER_BATCH) {
        const random = new Random(0xc0de + i)
        // Code that has been written is compiled again ever more rarely: each batch has a machine of its own.
        const machine = new TestMachine()
        const batch = forms.slice(i, i + FORMS_PER_BATCH)
        const report = check(reference, machine, random, batch, CASES_PER_FORM, ENCODINGS_PER_FORM)
        expect(report.mismatches.slice(0, SHOWN).map(describeMismatch).join('\n\n')).toBe('')
        const counts = machine.vcpu.engine.jitCounts!
        expect(counts.failures, counts.firstFailure).toBe(0)
        cases += report.cases
        executed += counts.executed
      }
      console.log(`${name}: ${forms.length} forms, ${cases} cases, ${executed} instructions in compiled code`)
      // The forms of a slice may be those of few instructions.
      if (!INTERPRETED.has(name)) expect(executed / cases).toBeGreaterThan(TEST_LONG ? 0.5 : 0.2)
    },
  )
})
