/** Instructions with EVEX beside the host's processor, and compiled beside interpreted. */
import { loadInstructions } from '@retrap/x86-cpu'
import { beforeAll, describe, expect, test } from 'vitest'
import { EAGER_JIT } from '@retrap/tooling/jit'
import { OperandKind } from '@retrap/x86-decoder'
import * as evex from './simd/evex-cases.ts'

const CPU = 'max,+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512cd,+avx512_vnni'
const SEED = Number(process.env['RETRAP_SEED'] ?? Math.floor(Date.now() / 3_600_000))
const host = evex.openEvexHost()
if (typeof host === 'string') console.warn(`NOT CHECKED: ${host}`)

beforeAll(() => loadInstructions(CPU))

/** A case of a code. */
function caseOf(info: (typeof codes)[number], random: evex.Random): Uint8Array {
  const isMemory = info.memory === 'only' || (info.memory === 'any' && random(2) === 0)
  const isIndexed = info.operands.some(({ kind }) => kind === OperandKind.VSIB)
  return evex.randomCase(evex.encode(info, random, isMemory), random, isIndexed)
}

const codes = evex.evexCodes((feature) => /^(AVX512(F|VL|BW|DQ|CD|_VNNI)\+?)+$/.test(feature))

describe('instructions with EVEX', () => {
  test.skipIf(typeof host === 'string')('do what the processor under us does', () => {
    const random = evex.randomOf(SEED)
    const cases = Array.from({ length: 3000 }, () => caseOf(codes[random(codes.length)]!, random))
    const ours = new evex.OurProcessor(CPU)
    const found = (host as evex.EvexProcessor).run(cases).flatMap((expected, i) => {
      const different = evex.differences(expected, ours.run(cases[i]!))
      return different.length === 0 ? [] : [[evex.codeOf(cases[i]!), ...different]]
    })
    expect({ seed: SEED, found: found.slice(0, 3) }).toEqual({ seed: SEED, found: [] })
  })

  test('are the same compiled', () => {
    const random = evex.randomOf(SEED + 1)
    for (let program = 0; program < 24; program++) {
      const [plain, compiled] = [new evex.OurProcessor(CPU), new evex.OurProcessor(CPU, EAGER_JIT)]
      const images = Array.from({ length: 12 }, () => caseOf(codes[random(codes.length)]!, random))
      const different = evex.differences(plain.runLoop(images), compiled.runLoop(images))
      expect({ program, seed: SEED, different, code: images.map(evex.codeOf) }).toMatchObject({ different: [] })
      expect(compiled.jitCounts).toMatchObject({ failures: 0 })
    }
  })
})
