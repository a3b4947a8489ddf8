/**
 * Agreement with iced-x86 and LLVM over the opcode maps: every opcode of every map after many patterns of prefixes, with
 * ModRM bytes of every class, in three modes. (`npm run -s soak -- opcode-maps` takes all prefixes and all ModRM bytes.)
 *
 * What they see differently stands in `differences.ts` with what decides it, and each row's number of encodings is printed. A row
 * that covers none fails, so the tables do not rot.
 */
import { TEST_LONG } from '@retrap/tooling/long'
import { sliced } from '@retrap/tooling/slice'
import { afterAll, describe, expect, test } from 'vitest'
import { decodingDifferences, llvmDifferences } from './differences.ts'
import { Llvm } from './support/llvm-disassembler.ts'
import { compareIced, compareLlvm, type Mode, Tally } from './support/map-compare.ts'
import { amd3dNow, type Block, legacyMaps, sibBytes, SOME_PREFIXES, vexMaps } from './support/opcode-maps.ts'

const MODES: readonly Mode[] = [16, 32, 64]
const llvm = Llvm.make()
if (typeof llvm === 'string') console.warn(`NOT CHECKED against LLVM: ${llvm}`)

const icedTotal = new Tally()
const llvmTotal = new Tally()

function tallyOf(total: Tally, blocks: readonly Iterable<Block>[], compare: (block: Block) => Tally): Tally {
  const tally = new Tally()
  for (const some of blocks) for (const block of some) tally.add(compare(block))
  total.add(tally)
  return tally
}

/** Parts of the prefixes: a run takes one. */
const PARTS = 9

const legacy = (mode: Mode, prefixes: readonly string[], parts: number): Iterable<Block>[] => [
  legacyMaps(mode, { prefixes: sliced(prefixes, parts), modrm: 'classes' }),
  amd3dNow(),
  sibBytes(mode),
]

/** Of fewer blocks than a hundred. Each of four parts has some with instructions. */
const taken = new Set(sliced([...Array(100).keys()], 4))
function* vex(mode: Mode): Generator<Block> {
  let i = 0
  for (const block of vexMaps(mode, 'few')) if (taken.has(i++)) yield block
}

const AMD_PREFIXES = ['', '66', '48', '66 48', 'f0']
const LLVM_PREFIXES = ['', '66', 'f2', 'f3', '48', '66 48', 'f3 48', 'f3 66', 'f2 f3', 'f0']

// Millions of encodings each, on a machine that may be busy.
describe.each(MODES)('%i-bit mode', { timeout: 120_000 }, (mode) => {
  test('legacy maps, as iced-x86 decodes', () => {
    const { unknown, compared, valid } = tallyOf(icedTotal, legacy(mode, SOME_PREFIXES, PARTS), (block) =>
      compareIced(block, mode),
    )
    expect([...unknown.values()]).toEqual([])
    expect(compared).toBeGreaterThan(TEST_LONG ? 1_000_000 : 8000)
    expect(valid).toBeGreaterThan(TEST_LONG ? 350_000 : 500)
  })

  test('legacy maps on AMD processors, as iced-x86 decodes', () => {
    const { unknown, compared } = tallyOf(icedTotal, legacy(mode, AMD_PREFIXES, 3), (block) =>
      compareIced(block, mode, { vendor: 'amd' }),
    )
    expect([...unknown.values()]).toEqual([])
    expect(compared).toBeGreaterThan(TEST_LONG ? 250_000 : 5000)
  })

  test('VEX and XOP maps, as iced-x86 decodes', () => {
    const { unknown, valid } = tallyOf(icedTotal, [vex(mode)], (block) => compareIced(block, mode))
    expect([...unknown.values()]).toEqual([])
    expect(valid).toBeGreaterThan(TEST_LONG ? 20_000 : 0)
  })

  test.skipIf(typeof llvm === 'string')('all maps, as LLVM decodes', () => {
    const blocks = [...legacy(mode, LLVM_PREFIXES, PARTS), vex(mode)]
    const { unknown, compared } = tallyOf(llvmTotal, blocks, (block) => compareLlvm(llvm as Llvm, block, mode))
    expect([...unknown.values()]).toEqual([])
    expect(compared).toBeGreaterThan(TEST_LONG ? 700_000 : 8000)
  })
})

/** Prints how many encodings each row covers. Returns those that cover none. */
function idle(rows: readonly { readonly why: string }[], { compared, known }: Tally, tool: string): string[] {
  console.log(`${compared} encodings compared with ${tool}`)
  for (const { why } of rows) console.log(`${String(known.get(why) ?? 0).padStart(9)}  ${why}`)
  return rows.filter(({ why }) => !known.has(why)).map(({ why }) => why)
}

afterAll(() => {
  // Only when all tests ran, or a row may be idle by right.
  const inMaps = decodingDifferences.filter(({ elsewhere }) => elsewhere !== true)
  if (icedTotal.compared > 5_000_000) expect(idle(inMaps, icedTotal, 'iced-x86')).toEqual([])
  if (llvmTotal.compared > 5_000_000)
    expect(
      idle(
        llvmDifferences.filter(({ elsewhere }) => elsewhere !== true),
        llvmTotal,
        'LLVM',
      ),
    ).toEqual([])
})
