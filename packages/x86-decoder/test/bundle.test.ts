import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { bundle } from './support/bundle.ts'

const KB = 1000

/** What only one part of the package has in it. */
const MARKERS = {
  'opcode tables': 'VPERMIL2PS',
  'flags of instructions': 'OSZAPC',
  'Intel syntax': 'xmmword',
  'AT&T syntax': 'cltq',
  'NASM syntax': 'nosplit',
} as const

function partsOf(code: string): string[] {
  return Object.entries(MARKERS).flatMap(([part, marker]) => (code.includes(marker) ? [part] : []))
}

describe('bundled with vite, minified and gzipped', () => {
  test.each([
    { name: 'the decoder', imports: 'decodeInto, Instruction', limit: 25 * KB, parts: [] },
    {
      name: 'with one formatter',
      imports: 'decodeInto, Instruction, formatIntel',
      limit: 66 * KB,
      parts: ['opcode tables', 'flags of instructions', 'Intel syntax'],
    },
    {
      name: 'with objects for people',
      imports: 'decode, decodeAll',
      limit: 66 * KB,
      parts: ['opcode tables', 'flags of instructions'],
    },
  ])('$name is at most $limit bytes and has nothing else in it', async ({ imports, limit, parts }) => {
    const code = await bundle(`export { ${imports} } from '@retrap/x86-decoder'`)
    const size = gzipSync(code, { level: 9 }).length
    console.log(`${imports}: ${size} bytes`)
    expect(size).toBeLessThanOrEqual(limit)
    expect(partsOf(code)).toEqual(parts)
  })

  test('everything is at most 80 KB', async () => {
    const code = await bundle("export * from '@retrap/x86-decoder'")
    expect(gzipSync(code, { level: 9 }).length).toBeLessThanOrEqual(80 * KB)
    expect(partsOf(code)).toEqual(Object.keys(MARKERS))
  })
})
