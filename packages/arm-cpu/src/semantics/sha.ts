import type { Form as Row } from '@retrap/arm-decoder'
import { extractLane, I32, numeric, replaceLane, V128, type I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { fieldOf } from '../state/form.ts'
import { R_A, R_D, R_M, R_N } from '../state/record.ts'
import type { Semantics } from './semantics.ts'
import { shuffled, xor } from './vector/lanes.ts'

/**
 * SHA-1, SHA-256, SHA-512 and SHA-3.
 *
 * Source: Arm ARM (DDI 0487) C7.2 and shared pseudocode "SHAhashSHA256"; FIPS 180-4 for the functions.
 */

const word = (vector: V128, lane: number): I32 => extractLane('i32x4.extract_lane', vector, lane)

const vectorOf = (...words: readonly I32[]): V128 =>
  words.reduce((vector, each, lane) => replaceLane('i32x4.replace_lane', vector, lane, each), V128.of([]))

const long = (vector: V128, lane: number): I64 => extractLane('i64x2.extract_lane', vector, lane)

const vectorOfLongs = (low: I64, high: I64): V128 =>
  replaceLane('i64x2.replace_lane', numeric('i64x2.splat', low), 1, high)

/** Numbers of 32 or 64 bits. */
interface Bits<V> {
  and(other: V): V
  or(other: V): V
  xor(other: V): V
}

const choose = <V extends Bits<V>>(x: V, y: V, z: V): V => y.xor(z).and(x).xor(z)
const majority = <V extends Bits<V>>(x: V, y: V, z: V): V => x.and(y).or(x.or(y).and(z))
const parity = (x: I32, y: I32, z: I32): I32 => x.xor(y).xor(z)

/** Returns adjacent words of two vectors, moved down by `words`. */
const moved = (low: V128, high: V128, words: number): V128 => shuffled(low, high, (i) => i + 4 * words)

// ---------------------------------------------------------------- SHA-1

/** Four rounds. */
function sha1Rounds(c: ArmContext, mix: (x: I32, y: I32, z: I32) => I32): void {
  const [hash, input, schedule] = [c.readVector(R_D), c.readVector(R_N), c.readVector(R_M)]
  let [a, b, x, d] = [0, 1, 2, 3].map((lane) => c.let(word(hash, lane))) as [I32, I32, I32, I32]
  let e = c.let(word(input, 0))
  for (let i = 0; i < 4; i++) {
    const next = c.let(
      e
        .add(a.rotl(5))
        .add(mix(b, x, d))
        .add(word(schedule, i)),
    )
    ;[a, b, x, d, e] = [next, a, c.let(b.rotl(30)), x, d]
  }
  c.writeVector(R_D, vectorOf(a, b, x, d))
}

function sha1Schedule1(c: ArmContext): void {
  const [low, high] = [c.readVector(R_D), c.readVector(R_N)]
  const sum = c.let(xor(low, moved(high, V128.of([]), 1)))
  const words = [0, 1, 2, 3].map((lane) => c.let(word(sum, lane).rotl(1)))
  c.writeVector(R_D, vectorOf(words[0]!, words[1]!, words[2]!, words[3]!.xor(words[0]!.rotl(1))))
}

// ---------------------------------------------------------------- SHA-256

/** Executes four rounds. @param part - 0 returns the words a to d, 1 the words e to h */
function sha256Rounds(c: ArmContext, first: V128, second: V128, schedule: V128, part: 0 | 1): void {
  const words = (vector: V128): I32[] => [0, 1, 2, 3].map((lane) => c.let(word(vector, lane)))
  let state = [...words(first), ...words(second)]
  for (let i = 0; i < 4; i++) {
    const [a, b, x, d, e, f, g, h] = state as [I32, I32, I32, I32, I32, I32, I32, I32]
    const sigma1 = e.rotr(6).xor(e.rotr(11)).xor(e.rotr(25))
    const sigma0 = a.rotr(2).xor(a.rotr(13)).xor(a.rotr(22))
    const t = c.let(
      h
        .add(sigma1)
        .add(choose(e, f, g))
        .add(word(schedule, i)),
    )
    state = [c.let(t.add(sigma0).add(majority(a, b, x))), a, b, x, c.let(d.add(t)), e, f, g]
  }
  c.writeVector(R_D, vectorOf(...state.slice(4 * part, 4 * part + 4)))
}

const rotated32 = (vector: V128, by: number): V128 =>
  numeric('v128.or', numeric('i32x4.shr_u', vector, I32.of(by)), numeric('i32x4.shl', vector, I32.of(32 - by)))

const shiftedRight32 = (vector: V128, by: number): V128 => numeric('i32x4.shr_u', vector, I32.of(by))

function sha256Schedule0(c: ArmContext): void {
  const d = c.readVector(R_D)
  const next = c.let(moved(d, c.readVector(R_N), 1))
  const sigma = xor(rotated32(next, 7), rotated32(next, 18), shiftedRight32(next, 3))
  c.writeVector(R_D, numeric('i32x4.add', d, sigma))
}

function sha256Schedule1(c: ArmContext): void {
  const [d, n, m] = [c.readVector(R_D), c.readVector(R_N), c.readVector(R_M)]
  const base = c.let(numeric('i32x4.add', d, moved(n, m, 1)))
  const sigma = (x: I32): I32 => x.rotr(17).xor(x.rotr(19)).xor(x.shrU(10))
  const low = [0, 1].map((i) => c.let(word(base, i).add(sigma(c.let(word(m, 2 + i))))))
  const high = [0, 1].map((i) => word(base, 2 + i).add(sigma(low[i]!)))
  c.writeVector(R_D, vectorOf(...low, ...high))
}

// ---------------------------------------------------------------- SHA-512

const sigma1Of = (x: I64): I64 => x.rotr(14).xor(x.rotr(18)).xor(x.rotr(41))
const sigma0Of = (x: I64): I64 => x.rotr(28).xor(x.rotr(34)).xor(x.rotr(39))

function sha512h(c: ArmContext): void {
  const [d, n, m] = [c.readVector(R_D), c.readVector(R_N), c.readVector(R_M)]
  const [m0, m1] = [c.let(long(m, 0)), c.let(long(m, 1))]
  const high = c.let(choose(m1, long(n, 0), long(n, 1)).add(sigma1Of(m1)).add(long(d, 1)))
  const t = c.let(high.add(m0))
  const low = choose(t, m1, long(n, 0)).add(sigma1Of(t)).add(long(d, 0))
  c.writeVector(R_D, vectorOfLongs(low, high))
}

function sha512h2(c: ArmContext): void {
  const [d, n, m] = [c.readVector(R_D), c.readVector(R_N), c.readVector(R_M)]
  const [m0, m1, n0] = [c.let(long(m, 0)), c.let(long(m, 1)), c.let(long(n, 0))]
  const high = c.let(majority(n0, m1, m0).add(sigma0Of(m0)).add(long(d, 1)))
  const low = majority(high, m0, m1).add(sigma0Of(high)).add(long(d, 0))
  c.writeVector(R_D, vectorOfLongs(low, high))
}

function sha512Schedule0(c: ArmContext): void {
  const [d, n] = [c.readVector(R_D), c.readVector(R_N)]
  const sigma = (x: I64): I64 => x.rotr(1).xor(x.rotr(8)).xor(x.shrU(7))
  const [next, after] = [c.let(long(d, 1)), c.let(long(n, 0))]
  c.writeVector(R_D, vectorOfLongs(long(d, 0).add(sigma(next)), next.add(sigma(after))))
}

function sha512Schedule1(c: ArmContext): void {
  const [d, n, m] = [c.readVector(R_D), c.readVector(R_N), c.readVector(R_M)]
  const sigma = (x: I64): I64 => x.rotr(19).xor(x.rotr(61)).xor(x.shrU(6))
  const lane = (i: number): I64 =>
    long(d, i)
      .add(sigma(c.let(long(n, i))))
      .add(long(m, i))
  c.writeVector(R_D, vectorOfLongs(lane(0), lane(1)))
}

// ---------------------------------------------------------------- SHA-3

const longs = (c: ArmContext, operation: (lane: number) => I64): void =>
  c.writeVector(R_D, vectorOfLongs(operation(0), c.let(operation(1))))

/** XAR's rotation is in the small number. */
function exclusiveOrAndRotate(c: ArmContext): void {
  const sum = c.let(xor(c.readVector(R_N), c.readVector(R_M)))
  const amount = c.let(c.small.toI64U())
  longs(c, (lane) => long(sum, lane).rotr(amount))
}

function rotateAndExclusiveOr(c: ArmContext): void {
  const [n, m] = [c.readVector(R_N), c.readVector(R_M)]
  longs(c, (lane) => long(n, lane).xor(long(m, lane).rotl(1)))
}

// ----------------------------------------------------------------

const OPERATIONS: Readonly<Record<string, (c: ArmContext) => void>> = {
  SHA1C: (c) => sha1Rounds(c, choose),
  SHA1P: (c) => sha1Rounds(c, parity),
  SHA1M: (c) => sha1Rounds(c, majority),
  SHA1H: (c) => c.writeVector(R_D, vectorOf(word(c.readVector(R_N), 0).rotl(30))),
  SHA1SU0(c) {
    const [d, n, m] = [c.readVector(R_D), c.readVector(R_N), c.readVector(R_M)]
    c.writeVector(R_D, xor(moved(d, n, 2), d, m))
  },
  SHA1SU1: sha1Schedule1,
  SHA256H: (c) => sha256Rounds(c, c.readVector(R_D), c.readVector(R_N), c.readVector(R_M), 0),
  SHA256H2: (c) => sha256Rounds(c, c.readVector(R_N), c.readVector(R_D), c.readVector(R_M), 1),
  SHA256SU0: sha256Schedule0,
  SHA256SU1: sha256Schedule1,
  SHA512H: sha512h,
  SHA512H2: sha512h2,
  SHA512SU0: sha512Schedule0,
  SHA512SU1: sha512Schedule1,
  RAX1: rotateAndExclusiveOr,
  XAR: exclusiveOrAndRotate,
  EOR3: (c) => c.writeVector(R_D, xor(c.readVector(R_N), c.readVector(R_M), c.readVector(R_A))),
  BCAX(c) {
    const cleared = numeric('v128.andnot', c.readVector(R_M), c.readVector(R_A))
    c.writeVector(R_D, xor(c.readVector(R_N), cleared))
  },
}

/** The family's semantics of a row. */
export function sha(row: Row): Semantics | undefined {
  const operation = row.operation === 'sha' ? OPERATIONS[row.mnemonic] : undefined
  if (operation === undefined) return undefined
  return { selectors: '', small: (_row, encoding) => fieldOf(row, 'i', encoding), emit: operation }
}
