/**
 * Instructions of AVX-512 beside the processor under us, in all modes of masks, broadcasts and rounding, with memory at the end of
 * a page: `npm run -s soak -- evex`. A step is 500 cases, of all features that the host has, which are interpreted; and a program
 * of 24 instructions with EVEX of all features that runs from 96 states, compiled and interpreted. Where the host has no AVX-512
 * only the program is compared.
 * @programs: gcc
 */
import { loadInstructions } from '@retrap/x86-cpu'
import { EAGER_JIT } from '@retrap/tooling/jit'
import type { Soak } from '@retrap/tooling/soak'
import * as evex from '../simd/evex-cases.ts'

const CPU = 'everything,+avx10_1,+avx10_2'
const CASES = 500
const PROGRAM = 24
const STATES = 96

const host = evex.openEvexHost()
const all = evex.evexCodes((feature) => !/^AVX512(PF|ER|_4)/.test(feature))
const has = (feature: string): boolean => typeof host !== 'string' && host.has(feature)
const codes = all.filter(({ feature }) => has(feature))
const lacking = new Set(all.flatMap(({ feature }) => feature.split('+').filter((one) => !has(one))))
let ours: evex.OurProcessor
/** By what the instruction is on: cases, and those that fault. */
const compared = new Map<string, [cases: number, faults: number]>()
let compiled = 0

function besideHost(processor: evex.EvexProcessor, random: evex.Random): string | undefined {
  const cases = Array.from({ length: CASES }, () => evex.caseOf(codes, random))
  let found: string | undefined
  for (const [i, expected] of processor.run(cases).entries()) {
    const different = evex.differences(expected, ours.run(cases[i]!))
    if (different.length > 0) found ??= [evex.codeOf(cases[i]!), ...different].join(', ')
    const counts = compared.get(evex.groupOf(cases[i]!)) ?? [0, 0]
    compared.set(evex.groupOf(cases[i]!), [counts[0] + 1, counts[1] + (evex.isFault(expected) ? 1 : 0)])
  }
  return found
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'evex',
  count: 450,
  async setup() {
    await loadInstructions(CPU)
    ours = new evex.OurProcessor(CPU)
    compared.clear()
    compiled = 0
    if (typeof host === 'string') console.warn(`NOT CHECKED: ${host}`)
    else console.log(`NOT CHECKED, for the host has none: ${[...lacking].join(', ')}`)
  },
  step(rng) {
    const random = evex.randomOf(rng.u32())
    const found = typeof host === 'string' ? undefined : besideHost(host, random)
    const states = Array.from({ length: STATES }, () => evex.caseOf(all, random))
    const images = states.slice(0, PROGRAM)
    // Both are new: a scatter may have written anywhere.
    const fast = new evex.OurProcessor(CPU, EAGER_JIT)
    const outcomes = fast.runLoop(images, states)
    const expected = new evex.OurProcessor(CPU).runLoop(images, states)
    const different = expected.flatMap((one, i) => evex.differences(one, outcomes[i]!))
    compiled += PROGRAM * expected.length
    const { failures } = fast.jitCounts as { failures: number }
    if (failures > 0) different.push(`${failures} not compiled`)
    return found ?? (different.length > 0 ? [...images.map(evex.codeOf), ...different].join(', ') : undefined)
  },
  summary: () =>
    `${[...compared].map(([group, [cases, faults]]) => `${group}: ${cases} cases, ${faults} faults`).join('; ')}; ${compiled} compiled`,
}
