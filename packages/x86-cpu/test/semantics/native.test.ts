import { describe, expect, test } from 'vitest'
import { check, checkSequences } from './check.ts'
import { describeMismatch } from './compare.ts'
import { families, familiesOn, hostNote } from './families.ts'
import { OUT_CS, selectorOf } from './layout.ts'
import type { Mode } from './layout.ts'
import { TestMachine } from './machine.ts'
import { nativeCpu } from './native.ts'
import type { HostPart, NativeCpu } from './native.ts'
import { Random } from './random.ts'

const CASES_PER_FORM = 20
const ENCODINGS_PER_FORM = 10

const found = nativeCpu()
const machine = new TestMachine()

/** The host as others are: without some parts. */
function hostWithout(...parts: HostPart[]): NativeCpu {
  const native = nativeCpu(parts)
  if (typeof native === 'string') throw new Error(native)
  return native
}

/** What differs from a host in a family's forms, and the code segments in which cases ended there. */
function compareFamily(native: NativeCpu, wanted: string): { readonly text: string; readonly selectors: Set<number> } {
  const selectors = new Set<number>()
  const family = familiesOn(native).find(({ name }) => name === wanted)!
  const { mismatches, notEncoded } = check(
    native,
    machine,
    new Random(1),
    family.forms,
    CASES_PER_FORM,
    ENCODINGS_PER_FORM,
    (_encoding, _input, expected) => selectors.add(expected[OUT_CS]!),
  )
  expect(notEncoded).toEqual([])
  return { text: mismatches.map(describeMismatch).join('\n\n'), selectors }
}

describe.skipIf(typeof found === 'string')(`a host that lacks something is compared with${hostNote(found)}`, () => {
  test.each<{ lacks: Mode[]; title: string; decimal: string }>([
    { lacks: [32], title: ' (without 32-bit code)', decimal: 'decimal' },
    { lacks: [16], title: ' (without 16-bit code)', decimal: 'decimal' },
    {
      lacks: [32, 16],
      title: ' (without 32-bit code, 16-bit code)',
      decimal: 'decimal (skipped: the host is without 32-bit code, 16-bit code)',
    },
  ])('in the code that it runs$title', ({ lacks, title, decimal }) => {
    const native = hostWithout(...lacks.map((mode): HostPart => `${mode}-bit code`))
    for (const mode of lacks) expect(native.modes).not.toContain(mode)
    expect(native.modes).toContain(64)
    // The names say so. A host may lack more than is taken from it here.
    if (native.modes.length + lacks.length === 3) {
      expect(hostNote(native)).toBe(title)
      expect(familiesOn(native).find(({ name }) => name === 'decimal')!.title).toBe(decimal)
    }
    // Far transfers do not lead to code that is not run.
    const { text, selectors } = compareFamily(native, 'segments')
    expect(text).toBe('')
    for (const mode of lacks) expect(selectors).not.toContain(selectorOf(mode))
    expect(selectors).toContain(selectorOf(64))
    for (const mode of native.modes)
      expect(checkSequences(native, machine, new Random(2), mode, 20, 5).mismatches).toEqual([])
  })

  test('in the lower halves of vectors, where it has no AVX', () => {
    expect(compareFamily(hostWithout('AVX'), 'cryptography').text).toBe('')
  })

  test('in bases of segments, where programs may not read them', () => {
    expect(compareFamily(hostWithout('FSGSBASE'), 'segments').text).toBe('')
  })

  test('not at all, where it runs no code by a signal’s frame', () => {
    expect(nativeCpu(['64-bit code'])).toContain('signal’s frame')
  })
})

test('forms whose feature a host lacks are left out, by the name of their family', () => {
  const modern: NativeCpu = {
    vendor: '',
    trapsBusLocks: false,
    modes: [64, 32, 16],
    has: () => true,
    runs: () => true,
    run: () => new Uint8Array(),
  }
  expect(familiesOn(modern).map(({ title }) => title)).toEqual(families().map(({ name }) => name))
  const old: NativeCpu = { ...modern, has: (feature) => feature !== 'GFNI', runs: ({ feature }) => feature !== 'GFNI' }
  expect(familiesOn(old).find(({ name }) => name === 'cryptography')!.title).toBe('cryptography (without GFNI)')
})
