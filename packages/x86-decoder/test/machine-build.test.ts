/** The package in a build of programs that decode for machines alone, which leaves the tables of EVEX and APX out. */
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { slicedCount } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import fc from 'fast-check'
import { build } from 'rolldown'
import { beforeAll, describe, expect, test } from 'vitest'
import { pluginsForMachines, UNOFFERED } from '../build/plugins.ts'
import * as complete from '../src/index.ts'

const { codes, decodeInto, decoderOptions, Instruction } = complete

/** What processor models of machines are made of: all features but those. */
const OFFERED = new Set(
  codes.flatMap(({ feature }) => feature.split('+')).filter((name) => !/^(?:AVX512|AVX10|APX|AMX)/.test(name)),
)

/** Facts that machines have no use for. */
const LEFT_OUT = { form: '', flagsRead: 0, flagsWritten: 0, flagsUndefined: 0 }

const bytesOfCode = fc
  .tuple(
    fc.constantFrom([], [0x62], [0xd5], [0x66, 0x62], [0xc4, 0xe2], [0xc5], [0x0f], [0x48, 0x0f], [0xf3, 0x0f]),
    fc.uint8Array({ minLength: 0, maxLength: 20, size: 'max' }),
  )
  .map(([head, tail]) => Uint8Array.from([...head, ...tail]))

describe('a build for machines', () => {
  let forMachines: typeof complete
  let code: string
  beforeAll(async () => {
    const folder = temporaryFolder('machine-build')
    const { output } = await build({
      input: fileURLToPath(new URL('../src/index.ts', import.meta.url)),
      plugins: [...pluginsForMachines],
      platform: 'neutral',
      output: { dir: folder, entryFileNames: '[name].mjs', chunkFileNames: '[name].mjs' },
    })
    code = output[0].code
    forMachines = (await import(pathToFileURL(join(folder, output[0].fileName)).href)) as typeof complete
  })

  test('has no row of EVEX or APX, no facts of what no model offers, and all others under their codes', () => {
    for (const text of ['EVEX.NP', '\nXOP.8 ', '  VFMADDSUBPS  V', '  KANDW  k', '  BNDCL  b', 'CCMPNO'])
      expect(code).not.toContain(text)
    const isOffered = (feature: string): boolean => feature.split('+').every((name) => !UNOFFERED.has(name))
    const first = codes.findIndex(({ encoding, feature }) => encoding === 'evex' || feature === 'APX_F')
    expect(forMachines.codes.length).toBe(first)
    for (const [number, info] of forMachines.codes.entries())
      if (isOffered(codes[number]!.feature)) expect({ ...codes[number], ...LEFT_OUT }).toEqual({ ...info, ...LEFT_OUT })
      else expect(info.mnemonic).toBe('INVALID')
    expect(codes.slice(first).every(({ encoding, feature }) => encoding === 'evex' || feature === 'APX_F')).toBe(true)
  })

  /** Decodes bytes as the complete package does. */
  function decodesAlike(processor: Parameters<typeof decoderOptions>[0]): void {
    const one = new Instruction()
    const other = new forMachines.Instruction()
    const options = [processor, { ...processor, vendor: 'amd' as const }].map(decoderOptions)
    fc.assert(
      fc.property(bytesOfCode, fc.constantFrom(16, 32, 64), fc.constantFrom(...options), (bytes, bits, option) => {
        const mode = bits | option
        expect(forMachines.decodeInto(bytes, 0, bytes.length, mode, other)).toBe(
          decodeInto(bytes, 0, bytes.length, mode, one),
        )
        expect({ ...other }).toEqual({ ...one })
      }),
      { numRuns: slicedCount(20_000, 4) },
    )
  }

  test('decodes for processors without EVEX and APX as the complete package does', () => {
    decodesAlike({ features: OFFERED })
  })

  test('takes EVEX and REX2 for invalid, whatever its options say', () => {
    const insn = new forMachines.Instruction()
    // VADDPS zmm0, zmm0, zmm1, and ADD R16, RAX.
    for (const bytes of [
      Uint8Array.of(0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1),
      Uint8Array.of(0x62, 0xf4, 0x7c, 0x18, 0x01, 0xc0),
    ])
      expect(forMachines.decodeInto(bytes, 0, bytes.length, 64, insn)).toBe(complete.INVALID)
  })

  test('is the complete package once it has loaded what it leaves out', async () => {
    await Promise.all([forMachines.loadLeftOut(), forMachines.loadLeftOut()])
    const withoutText = (info: object): object => ({ ...info, ...LEFT_OUT })
    expect(forMachines.codes.map(withoutText)).toEqual(codes.map(withoutText))
    decodesAlike({})
  })
})
