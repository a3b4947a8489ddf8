import { type I64, I32, type V128, extractLane, numeric, replaceLane, select } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../../semantics/context.ts'
import { inverses, lookUp } from '../../semantics/vector/aes.ts'
import { choose, doublewords, join, majority, parity } from '../../semantics/vector/sha.ts'
import { ternary } from '../../semantics/vector/vnni.ts'
import { immediateByte, zeroVector } from '../../semantics/vector/sse-integer-operands.ts'

/**
 * SHA-512, SM3 and SM4.
 *
 * Sources: Intel SDM vol. 2, VSHA512RNDS2, VSM3RNDS2, VSM4RNDS4 and their like; FIPS 180-4, "Secure Hash Standard"; GB/T
 * 32905-2016, "SM3 Cryptographic Hash Algorithm"; GB/T 32907-2016, "SM4 Block Cipher Algorithm".
 */

// ---------------------------------------------------------------- SHA-512

/** The quadwords of lanes, the lowest first. */
const quadwords = (c: Context, lanes: readonly V128[]): I64[] =>
  lanes.flatMap((v) => [0, 1].map((i) => c.let(extractLane('i64x2.extract_lane', v, i))))

/** Lanes from quadwords. */
function joinQuadwords(c: Context, values: readonly I64[]): V128[] {
  return [0, 2].map((from) => {
    const low = replaceLane('i64x2.replace_lane', zeroVector(), 0, values[from]!)
    return c.let(replaceLane('i64x2.replace_lane', low, 1, values[from + 1]!))
  })
}

/** σ0 and σ1 of the schedule. */
const sigma0 = (x: I64): I64 => x.rotr(1n).xor(x.rotr(8n)).xor(x.shrU(7n))
const sigma1 = (x: I64): I64 => x.rotr(19n).xor(x.rotr(61n)).xor(x.shrU(6n))

/** Two rounds. The destination holds C D G H, the first source A B E F (highest first), the second words with their constants. */
const sha512Rounds: Semantics = direct((c) => {
  const [f0, e0, b0, a0] = quadwords(c, c.readLanes(1)) as [I64, I64, I64, I64]
  const [h0, g0, d0, c0] = quadwords(c, c.readLanes(0)) as [I64, I64, I64, I64]
  const words = quadwords(c, [c.readV(2)])
  let [a, b, third, d, e, f, g, h] = [a0, b0, c0, d0, e0, f0, g0, h0]
  for (const word of words) {
    const sum1 = e.rotr(14n).xor(e.rotr(18n)).xor(e.rotr(41n))
    const chosen = e.and(f).xor(e.xor(-1n).and(g))
    const first = c.let(chosen.add(sum1).add(word).add(h))
    const sum0 = a.rotr(28n).xor(a.rotr(34n)).xor(a.rotr(39n))
    const most = a.and(b).xor(a.and(third)).xor(b.and(third))
    ;[a, b, third, d, e, f, g, h] = [c.let(first.add(most).add(sum0)), a, b, third, c.let(first.add(d)), e, f, g]
  }
  c.writeLanes(0, joinQuadwords(c, [f, e, b, a]))
})

const sha512Message1: Semantics = direct((c) => {
  const words = [...quadwords(c, c.readLanes(0)), ...quadwords(c, [c.readV(1)]).slice(0, 1)]
  c.writeLanes(
    0,
    joinQuadwords(
      c,
      [0, 1, 2, 3].map((i) => c.let(words[i]!.add(sigma0(words[i + 1]!)))),
    ),
  )
})

/** The last two words depend on the first two. */
const sha512Message2: Semantics = direct((c) => {
  const sums = quadwords(c, c.readLanes(0)) as [I64, I64, I64, I64]
  const [, , w14, w15] = quadwords(c, c.readLanes(1)) as [I64, I64, I64, I64]
  const w16 = c.let(sums[0].add(sigma1(w14)))
  const w17 = c.let(sums[1].add(sigma1(w15)))
  c.writeLanes(0, joinQuadwords(c, [w16, w17, c.let(sums[2].add(sigma1(w16))), c.let(sums[3].add(sigma1(w17)))]))
})

// ---------------------------------------------------------------- SM3

/** P0 and P1 of the standard. */
const permuteState = (x: I32): I32 => x.xor(x.rotl(9)).xor(x.rotl(17))
const permuteMessage = (x: I32): I32 => x.xor(x.rotl(15)).xor(x.rotl(23))

/** Words 16 to 19 of the schedule begin with it: words 7 to 10, 13 to 15 and 0 to 3. */
function sm3Message1(c: Context, seventh: V128, thirteenth: V128, first: V128): V128 {
  const w7 = doublewords(c, seventh)
  const w13 = doublewords(c, thirteenth)
  const w0 = doublewords(c, first)
  return join(
    c,
    w7.map((word, i) => {
      const sum = word.xor(w0[i]!)
      return permuteMessage(c.let(i === 3 ? sum : sum.xor(w13[i]!.rotl(15))))
    }),
  )
}

/** The rest of them: words 3 to 6 and 10 to 13. The last depends on the first. */
function sm3Message2(c: Context, begun: V128, third: V128, tenth: V128): V128 {
  const w3 = doublewords(c, third)
  const w10 = doublewords(c, tenth)
  const words = doublewords(c, begun).map((word, i) => c.let(w3[i]!.rotl(7).xor(w10[i]!).xor(word)))
  const [w16, , , w19] = words as [I32, I32, I32, I32]
  return join(c, words.with(3, w19.xor(w16.rotl(6)).xor(w16.rotl(15)).xor(w16.rotl(30))))
}

/** Constants of rounds 0 to 15, and of the others. */
const SM3_CONSTANTS = [0x79cc_4519, 0x7a87_9d8a] as const

/** Two rounds. The destination holds C D G H, the first source A B E F (highest first), the second W0 W1 W4 W5. */
const sm3Rounds = ternary((c, state, other, message) => {
  const [h0, g0, d0, c0] = doublewords(c, state)
  const [f0, e0, b0, a0] = doublewords(c, other)
  const words = doublewords(c, message)
  const round = c.let(immediateByte(c).and(0x3e))
  const isEarly = c.let(round.ltU(16))
  const early = (yes: I32, no: I32): I32 => c.let(select(isEarly, yes, no))
  let constant = c.let(early(I32.of(SM3_CONSTANTS[0]), I32.of(SM3_CONSTANTS[1])).rotl(round))
  let [a, b, third, d] = [a0, b0, c.let(c0.rotl(9)), c.let(d0.rotl(9))]
  let [e, f, g, h] = [e0, f0, c.let(g0.rotl(19)), c.let(h0.rotl(19))]
  for (let i = 0; i < 2; i++) {
    const turned = c.let(a.rotl(12))
    const first = c.let(turned.add(e).add(constant).rotl(7))
    const mixed = early(parity(a, b, third), majority(a, b, third))
    const next = mixed
      .add(d)
      .add(first.xor(turned))
      .add(words[i]!.xor(words[i + 2]!))
    const chosen = early(parity(e, f, g), choose(e, f, g))
    const nextE = c.let(chosen.add(h).add(first).add(words[i]!))
    ;[a, b, third, d] = [c.let(next), a, c.let(b.rotl(9)), third]
    ;[e, f, g, h] = [c.let(permuteState(nextE)), e, c.let(f.rotl(19)), g]
    constant = c.let(constant.rotl(1))
  }
  return join(c, [f, e, b, a])
})

// ---------------------------------------------------------------- SM4

/** The affine map of the box: a circulant matrix, and a constant. */
function affine(x: number): number {
  let y = 0
  for (let bit = 0; bit < 8; bit++) {
    let masked = ((0xa7 << bit) | (0xa7 >> (8 - bit))) & 0xff & x
    for (; masked !== 0; masked &= masked - 1) y ^= 1 << bit
  }
  return y ^ 0xd3
}

/** Inverses modulo x^8 + x^7 + x^6 + x^5 + x^4 + x^2 + 1, by the powers of x. */
const INVERSES = inverses(2, 0x1f5)
/** The box: the map, the inverse in the field, and the map again. */
const BOX = INVERSES.map((_, x) => affine(INVERSES[affine(x)]!))

/** Four rounds in each lane: the box, then a sum of rotations, which ciphering and the expansion of keys have each their own. */
function sm4(rotations: readonly number[]): Semantics {
  return direct((c) => {
    const box = lookUp(c, 'sm4', BOX)
    c.combineLanes(1, (state, keys) => {
      const x = [...doublewords(c, state)]
      for (const key of doublewords(c, keys)) {
        const mixed = numeric('i32x4.splat', x.at(-3)!.xor(x.at(-2)!).xor(x.at(-1)!).xor(key))
        const found = c.let(extractLane('i32x4.extract_lane', c.f.call(box, mixed), 0))
        const turned = rotations.reduce((sum, by) => sum.xor(found.rotl(by)), found)
        x.push(c.let(x.at(-4)!.xor(turned)))
      }
      return join(c, x.slice(4))
    })
  })
}

export const digests: SemanticsTable = {
  VSHA512RNDS2: sha512Rounds,
  VSHA512MSG1: sha512Message1,
  VSHA512MSG2: sha512Message2,
  VSM3MSG1: ternary(sm3Message1),
  VSM3MSG2: ternary(sm3Message2),
  VSM3RNDS2: sm3Rounds,
  VSM4RNDS4: sm4([2, 10, 18, 24]),
  VSM4KEY4: sm4([13, 23]),
}
