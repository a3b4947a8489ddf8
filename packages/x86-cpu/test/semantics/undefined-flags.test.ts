import { readFileSync } from 'node:fs'
import { hostCpu } from '@retrap/tooling/host-cpu'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { check } from './check.ts'
import { undefinedFlags } from './compare.ts'
import { familiesOn } from './families.ts'
import { OUT_RFLAGS, OUT_VECTOR } from './layout.ts'
import { TestMachine } from './machine.ts'
import { nativeCpu } from './native.ts'
import { Random } from './random.ts'

const FLAGS: readonly (readonly [name: string, bit: number])[] = [
  ['CF', 0x1],
  ['PF', 0x4],
  ['AF', 0x10],
  ['ZF', 0x40],
  ['SF', 0x80],
  ['OF', 0x800],
]
const BREAKPOINT = 3
const CASES_PER_FORM = 60
const ENCODINGS_PER_FORM = 20
const FORMS_PER_BATCH = 30
const WITH_UNDEFINED_FLAGS = new Set(['alu', 'bits', 'decimal', 'multiply', 'shift'])

/** Why the host's is not the processor whose flags the table has: others may leave other things in undefined flags. */
function otherProcessor(): string | undefined {
  const cpu = hostCpu()
  if (typeof cpu === 'string') return cpu
  return cpu.vendor === 'AuthenticAMD' && cpu.family === 26 ? undefined : 'the host is not an AMD Zen 5'
}

/** By mnemonic: flags that are undefined and yet always came out as on the recorded processor. */
function recorded(): Map<string, number> {
  const text = readFileSync(new URL('./undefined-flags.txt', import.meta.url), 'utf8')
  const table = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const same = line.slice(9, 29)
    table.set(
      line.slice(0, 9).trim(),
      FLAGS.reduce((bits, [name, bit]) => bits | (same.includes(name) ? bit : 0), 0),
    )
  }
  return table
}

const native = nativeCpu()
const lack = otherProcessor() ?? (typeof native === 'string' ? native : undefined)

test.skipIf(lack !== undefined)(
  `undefined flags that came out as on the processor of undefined-flags.txt still do${skipNote(lack === undefined, lack ?? '')}`,
  { timeout: 60_000 },
  () => {
    const table = recorded()
    const machine = new TestMachine()
    const different = new Set<string>()
    for (const { name, forms } of familiesOn(native)) {
      if (!WITH_UNDEFINED_FLAGS.has(name)) continue
      for (let i = 0; i < forms.length; i += FORMS_PER_BATCH) {
        const batch = forms.slice(i, i + FORMS_PER_BATCH)
        const reference = native as Exclude<typeof native, string>
        check(
          reference,
          machine,
          new Random(i),
          batch,
          CASES_PER_FORM,
          ENCODINGS_PER_FORM,
          (encoding, input, expected, actual) => {
            if (expected[OUT_VECTOR] !== BREAKPOINT) return
            const { mnemonic } = encoding.info
            const flags = (result: Uint8Array): number =>
              new DataView(result.buffer, result.byteOffset).getUint32(OUT_RFLAGS, true)
            const bits =
              undefinedFlags(encoding, input) & (table.get(mnemonic) ?? 0) & (flags(expected) ^ flags(actual))
            for (const [flag, bit] of FLAGS) if ((bits & bit) !== 0) different.add(`${mnemonic} ${flag}`)
          },
        )
      }
    }
    expect([...different]).toEqual([])
    expect(table.size).toBeGreaterThan(30)
  },
)
