/**
 * Instructions of AVX-512 that few processors have, beside Bochs: `npm run -s soak -- evex-bochs`. A step is 500 cases of one
 * feature, in all modes of masks, broadcasts and rounding, with memory at the end of a page.
 */
import { loadInstructions } from '@retrap/x86-cpu'
import type { CodeInfo } from '@retrap/x86-decoder'
import type { Soak } from '@retrap/tooling/soak'
import { openBochs } from '../simd/evex-bochs.ts'
import * as evex from '../simd/evex-cases.ts'

const CPU = 'everything'
const CASES = 500
const FEATURES = [
  ...['AVX512_IFMA', 'AVX512_VBMI', 'AVX512_VBMI2', 'AVX512_BITALG', 'AVX512_VPOPCNTDQ', 'AVX512_VP2INTERSECT'],
  ...['VAES', 'GFNI', 'VPCLMULQDQ', 'AVX512_BF16', 'AVX512_FP16'],
]

const HALF = /[PS]H$/
/** Instructions of which Bochs 3.0 does not do what the manual says: truncation and rounding of halves, infinities, the last bit. */
const WRONG =
  /^V(PSHUFBITQMB|CVTNE2PS2BF16|R(CP|SQRT|NDSCALE|EDUCE)[PS]H|GETMANT[PS]H|SCALEF[PS]H|CVTT?[PS]H2U?(W|DQ|QQ|S?I))$/
/** Instructions whose masks Bochs takes for masks of other elements. */
const WRONG_UNDER_MASK = /^V(GF2P8AFFINE(INV)?QB|PMULTISHIFTQB|P(EXPAND|COMPRESS)[BW]|CVTNEPS2BF16)$/
/** Bochs's DE of these is not set where a factor is 0. */
const FUSED = /^VFN?M|^VFC?M/
const DENORMAL = 2

const bochs = openBochs()
let ours: evex.OurProcessor
let codes: readonly (readonly [feature: string, codes: readonly CodeInfo[]])[]
const compared = new Map<string, [cases: number, faults: number]>()

/** A case that Bochs executes as the manual says. */
function draw(among: readonly CodeInfo[], random: evex.Random): readonly [image: Uint8Array, mnemonic: string] {
  for (;;) {
    const info = among[random(among.length)]!
    const image = evex.caseOf([info], random)
    const { mnemonic } = info
    const isMemory = evex.groupOf(image).startsWith('memory')
    if (WRONG_UNDER_MASK.test(mnemonic) && !evex.groupOf(image).includes('no mask')) continue
    // Bochs lacks #UD of equal registers.
    if (isMemory && /^VFC?M(ADD|UL)C/.test(mnemonic)) continue
    // Halves take no notice of DAZ and FTZ.
    const view = new DataView(image.buffer)
    if (HALF.test(mnemonic) || /[PS]H2|2[PS]H/.test(mnemonic))
      view.setUint32(evex.MXCSR, (view.getUint32(evex.MXCSR, true) & ~0x8040) | 0x1f80, true)
    return [image, mnemonic]
  }
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'evex-bochs',
  count: 220,
  async setup() {
    await loadInstructions(CPU)
    ours = new evex.OurProcessor(CPU)
    if (typeof bochs === 'string') console.warn(`NOT CHECKED: ${bochs}`)
    codes = FEATURES.map((feature) => [
      feature,
      evex.evexCodes((text) => text.split('+').includes(feature)).filter(({ mnemonic }) => !WRONG.test(mnemonic)),
    ])
  },
  step(rng, index) {
    if (typeof bochs === 'string') return undefined
    const random = evex.randomOf(rng.u32())
    const [feature, among] = codes[index % codes.length]!
    const drawn = Array.from({ length: CASES }, () => draw(among, random))
    const outcomes = bochs.run(drawn.map(([image]) => image))
    const counts = compared.get(feature) ?? [0, 0]
    compared.set(feature, counts)
    let found: string | undefined
    for (const [i, [image, mnemonic]] of drawn.entries()) {
      const [expected, our] = [outcomes[i]!, ours.run(image)]
      if (FUSED.test(mnemonic) && HALF.test(mnemonic)) for (const one of [expected, our]) one[evex.MXCSR]! &= ~DENORMAL
      const different = evex.differences(expected, our)
      if (different.length > 0) found ??= [mnemonic, evex.codeOf(image), ...different].join(', ')
      counts[0]++
      if (evex.isFault(expected)) counts[1]++
    }
    return found
  },
  summary: () => [...compared].map(([name, [cases, faults]]) => `${name}: ${cases} cases, ${faults} faults`).join('; '),
}
