// The results of integer instructions whose operands are known when the code is generated
// (WebAssembly Core Specification 2.0, section 4.3.2, "Integer Operations").

/** Integer comparisons without their width. */
export type Comparison = 'eq' | 'ne' | `${'lt' | 'gt' | 'le' | 'ge'}_${'s' | 'u'}`

/** Results of 32 bits, modulo 2^32; `b` is ignored by instructions of one operand. */
export const FOLD_32 = {
  'i32.add': (a: number, b: number): number => a + b,
  'i32.sub': (a: number, b: number): number => a - b,
  'i32.mul': (a: number, b: number): number => Math.imul(a, b),
  'i32.and': (a: number, b: number): number => a & b,
  'i32.or': (a: number, b: number): number => a | b,
  'i32.xor': (a: number, b: number): number => a ^ b,
  'i32.shl': (a: number, b: number): number => a << b,
  'i32.shr_u': (a: number, b: number): number => a >>> b,
  'i32.shr_s': (a: number, b: number): number => a >> b,
  'i32.rotl': (a: number, b: number): number => (a << (b & 31)) | (a >>> ((32 - b) & 31)),
  'i32.rotr': (a: number, b: number): number => (a >>> (b & 31)) | (a << ((32 - b) & 31)),
  'i32.eq': (a: number, b: number): number => +(a === b),
  'i32.ne': (a: number, b: number): number => +(a !== b),
  'i32.lt_s': (a: number, b: number): number => +(a < b),
  'i32.lt_u': (a: number, b: number): number => +(a >>> 0 < b >>> 0),
  'i32.gt_s': (a: number, b: number): number => +(a > b),
  'i32.gt_u': (a: number, b: number): number => +(a >>> 0 > b >>> 0),
  'i32.le_s': (a: number, b: number): number => +(a <= b),
  'i32.le_u': (a: number, b: number): number => +(a >>> 0 <= b >>> 0),
  'i32.ge_s': (a: number, b: number): number => +(a >= b),
  'i32.ge_u': (a: number, b: number): number => +(a >>> 0 >= b >>> 0),
  'i32.eqz': (a: number, _b: number): number => +(a === 0),
  'i32.clz': (a: number, _b: number): number => Math.clz32(a),
  'i32.ctz': (a: number, _b: number): number => (a === 0 ? 32 : 31 - Math.clz32(a & -a)),
  'i32.extend8_s': (a: number, _b: number): number => (a << 24) >> 24,
  'i32.extend16_s': (a: number, _b: number): number => (a << 16) >> 16,
} as const

/** Results of 64 bits, modulo 2^64, of signed operands. */
export const FOLD_64 = {
  'i64.add': (a: bigint, b: bigint): bigint => a + b,
  'i64.sub': (a: bigint, b: bigint): bigint => a - b,
  'i64.mul': (a: bigint, b: bigint): bigint => a * b,
  'i64.and': (a: bigint, b: bigint): bigint => a & b,
  'i64.or': (a: bigint, b: bigint): bigint => a | b,
  'i64.xor': (a: bigint, b: bigint): bigint => a ^ b,
  'i64.shl': (a: bigint, b: bigint): bigint => a << (b & 63n),
  'i64.shr_u': (a: bigint, b: bigint): bigint => BigInt.asUintN(64, a) >> (b & 63n),
  'i64.shr_s': (a: bigint, b: bigint): bigint => a >> (b & 63n),
} as const

/** Comparisons of signed operands of 64 bits. */
export const COMPARE_64: Readonly<Record<Comparison, (a: bigint, b: bigint) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt_s: (a, b) => a < b,
  lt_u: (a, b) => BigInt.asUintN(64, a) < BigInt.asUintN(64, b),
  gt_s: (a, b) => a > b,
  gt_u: (a, b) => BigInt.asUintN(64, a) > BigInt.asUintN(64, b),
  le_s: (a, b) => a <= b,
  le_u: (a, b) => BigInt.asUintN(64, a) <= BigInt.asUintN(64, b),
  ge_s: (a, b) => a >= b,
  ge_u: (a, b) => BigInt.asUintN(64, a) >= BigInt.asUintN(64, b),
}
