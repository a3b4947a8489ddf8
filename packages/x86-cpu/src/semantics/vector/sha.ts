import { type V128, I32, extractLane, numeric, replaceLane } from '@retrap/wasm-emitter'
import { type Context, direct, type Semantics, type SemanticsTable } from '../context.ts'
import { binary, begin, immediateByte, zeroVector } from './sse-integer-operands.ts'

/**
 * SHA-1 and SHA-256 rounds.
 *
 * Sources: Intel SDM vol. 2, SHA1RNDS4 and its like; FIPS 180-4, "Secure Hash Standard".
 */

/** The doublewords of a vector, the lowest first. */
export function doublewords(c: Context, v: V128): readonly [I32, I32, I32, I32] {
  return [0, 1, 2, 3].map((i) => c.let(extractLane('i32x4.extract_lane', v, i))) as [I32, I32, I32, I32]
}

/** A vector of doublewords, the lowest first. */
export function join(c: Context, values: readonly I32[]): V128 {
  const result = c.f.local('v128')
  c.f.set(result, zeroVector())
  for (const [i, value] of values.entries()) c.f.set(result, replaceLane('i32x4.replace_lane', result.get, i, value))
  return result.get
}

export const choose = (b: I32, c: I32, d: I32): I32 => b.and(c).xor(b.xor(-1).and(d))
export const parity = (b: I32, c: I32, d: I32): I32 => b.xor(c).xor(d)
export const majority = (b: I32, c: I32, d: I32): I32 => b.and(c).xor(b.and(d)).xor(c.and(d))

/** The functions and constants of SHA-1's four stages, by the immediate. */
const STAGES = [
  { mix: choose, constant: 0x5a82_7999 },
  { mix: parity, constant: 0x6ed9_eba1 },
  { mix: majority, constant: 0x8f1b_bcdc },
  { mix: parity, constant: 0xca62_c1d6 },
] as const

/** SHA1RNDS4: four rounds. The destination holds A (highest) to D, the source W0 + E (highest) and W1 to W3. */
function sha1Rounds(c: Context, state: V128, message: V128): V128 {
  const f = c.f
  const [d0, c0, b0, a0] = doublewords(c, state)
  const words = doublewords(c, message).toReversed()
  const stage = c.let(immediateByte(c).and(3))
  const locals = [a0, b0, c0, d0].map((value) => {
    const local = f.local('i32')
    f.set(local, value)
    return local
  })
  const e = f.local('i32')
  f.set(e, I32.of(0))
  for (const [number, { mix, constant }] of STAGES.entries()) {
    f.if(stage.eq(number), () => {
      let [a, b, third, fourth, fifth]: readonly I32[] = [...locals.map((local) => local.get), e.get]
      for (const word of words) {
        const next = c.let(
          mix(b as I32, third as I32, fourth as I32)
            .add((a as I32).rotl(5))
            .add(word)
            .add(fifth as I32)
            .add(constant),
        )
        ;[a, b, third, fourth, fifth] = [next, a, c.let((b as I32).rotl(30)), third, fourth]
      }
      for (const [i, value] of [a, b, third, fourth].map((v) => c.let((v as I32).add(0))).entries())
        f.set(locals[i]!, value)
    })
  }
  return join(c, locals.map((local) => local.get).toReversed())
}

/** SHA1NEXTE: A of the state before, rotated, is the next E; it is added to the highest word. */
function sha1NextE(c: Context, state: V128, message: V128): V128 {
  const next = extractLane('i32x4.extract_lane', state, 3).rotl(30)
  return replaceLane('i32x4.replace_lane', message, 3, extractLane('i32x4.extract_lane', message, 3).add(next))
}

/** SHA1MSG1: W0 ⊕ W2 and on. */
function sha1Message1(_: Context, a: V128, b: V128): V128 {
  return numeric('v128.xor', a, a.shuffle(b, [24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5, 6, 7]))
}

/** SHA1MSG2: the last step of the schedule. */
function sha1Message2(c: Context, a: V128, b: V128): V128 {
  const [a0, a1, a2, a3] = doublewords(c, a)
  const [b0, b1, b2] = doublewords(c, b)
  const w16 = c.let(a3.xor(b2).rotl(1))
  return join(c, [a0.xor(w16).rotl(1), a1.xor(b0).rotl(1), a2.xor(b1).rotl(1), w16])
}

/** SHA256RNDS2: two rounds. The destination holds C D G H, the source A B E F (highest first), XMM0 the words with their constants. */
const sha256Rounds: Semantics = direct((c) => {
  begin(c)
  const [f0, e0, b0, a0] = doublewords(c, c.readV(1))
  const [h0, g0, d0, c0] = doublewords(c, c.readV(0))
  const words = doublewords(c, c.readV(2))
  let [a, b, third, d, e, f, g, h] = [a0, b0, c0, d0, e0, f0, g0, h0]
  for (let i = 0; i < 2; i++) {
    const sum1 = e.rotr(6).xor(e.rotr(11)).xor(e.rotr(25))
    const first = c.let(choose(e, f, g).add(sum1).add(words[i]!).add(h))
    const sum0 = a.rotr(2).xor(a.rotr(13)).xor(a.rotr(22))
    const second = majority(a, b, third).add(sum0)
    ;[a, b, third, d, e, f, g, h] = [c.let(first.add(second)), a, b, third, c.let(first.add(d)), e, f, g]
  }
  c.writeV(0, join(c, [f, e, b, a]))
})

/** SHA256MSG1: Wt + σ0(Wt+1). */
function sha256Message1(_: Context, a: V128, b: V128): V128 {
  const next = a.shuffle(b, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  return numeric('i32x4.add', a, smallSigma(next, 7, 18, 3))
}

function smallSigma(v: V128, first: number, second: number, shift: number): V128 {
  const rotated = (by: number): V128 =>
    numeric('v128.or', numeric('i32x4.shr_u', v, I32.of(by)), numeric('i32x4.shl', v, I32.of(32 - by)))
  return numeric(
    'v128.xor',
    numeric('v128.xor', rotated(first), rotated(second)),
    numeric('i32x4.shr_u', v, I32.of(shift)),
  )
}

/** SHA256MSG2: the last two words depend on the first two. */
function sha256Message2(c: Context, a: V128, b: V128): V128 {
  const sigma = (x: I32): I32 => x.rotr(17).xor(x.rotr(19)).xor(x.shrU(10))
  const [a0, a1, a2, a3] = doublewords(c, a)
  const [, , b2, b3] = doublewords(c, b)
  const w16 = c.let(a0.add(sigma(b2)))
  const w17 = c.let(a1.add(sigma(b3)))
  return join(c, [w16, w17, a2.add(sigma(w16)), a3.add(sigma(w17))])
}

export const sha: SemanticsTable = {
  SHA1RNDS4: binary(sha1Rounds),
  SHA1NEXTE: binary(sha1NextE),
  SHA1MSG1: binary(sha1Message1),
  SHA1MSG2: binary(sha1Message2),
  SHA256RNDS2: sha256Rounds,
  SHA256MSG1: binary(sha256Message1),
  SHA256MSG2: binary(sha256Message2),
}
