/**
 * The instructions of WebAssembly by their text names: encoding and signature.
 *
 * Source: WebAssembly core specification, "Index of Instructions" (with SIMD), and the threads proposal for `atomic`.
 */

/** Value types by name. */
export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128'

type Signature = `${string}:${ValueType}`

/** Instructions with consecutive opcodes: the name before the dot, the first opcode, the signature, the names behind the dot. */
type Run = readonly [prefix: string, opcode: number, signature: Signature, names: string]

/** Instructions without side effects. Of an opcode behind a prefix the prefix is the number above the low 12 bits. */
const RUNS = [
  ['i32', 0x45, 'i32:i32', 'eqz'],
  ['i32', 0x46, 'i32 i32:i32', 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'],
  ['i64', 0x50, 'i64:i32', 'eqz'],
  ['i64', 0x51, 'i64 i64:i32', 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'],
  ['f32', 0x5b, 'f32 f32:i32', 'eq ne lt gt le ge'],
  ['f64', 0x61, 'f64 f64:i32', 'eq ne lt gt le ge'],
  ['i32', 0x67, 'i32:i32', 'clz ctz popcnt'],
  ['i32', 0x6a, 'i32 i32:i32', 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr'],
  ['i64', 0x79, 'i64:i64', 'clz ctz popcnt'],
  ['i64', 0x7c, 'i64 i64:i64', 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr'],
  ['f32', 0x8b, 'f32:f32', 'abs neg ceil floor trunc nearest sqrt'],
  ['f32', 0x92, 'f32 f32:f32', 'add sub mul div min max copysign'],
  ['f64', 0x99, 'f64:f64', 'abs neg ceil floor trunc nearest sqrt'],
  ['f64', 0xa0, 'f64 f64:f64', 'add sub mul div min max copysign'],
  ['i32', 0xa7, 'i64:i32', 'wrap_i64'],
  ['i32', 0xa8, 'f32:i32', 'trunc_f32_s trunc_f32_u'],
  ['i32', 0xaa, 'f64:i32', 'trunc_f64_s trunc_f64_u'],
  ['i64', 0xac, 'i32:i64', 'extend_i32_s extend_i32_u'],
  ['i64', 0xae, 'f32:i64', 'trunc_f32_s trunc_f32_u'],
  ['i64', 0xb0, 'f64:i64', 'trunc_f64_s trunc_f64_u'],
  ['f32', 0xb2, 'i32:f32', 'convert_i32_s convert_i32_u'],
  ['f32', 0xb4, 'i64:f32', 'convert_i64_s convert_i64_u'],
  ['f32', 0xb6, 'f64:f32', 'demote_f64'],
  ['f64', 0xb7, 'i32:f64', 'convert_i32_s convert_i32_u'],
  ['f64', 0xb9, 'i64:f64', 'convert_i64_s convert_i64_u'],
  ['f64', 0xbb, 'f32:f64', 'promote_f32'],
  ['i32', 0xbc, 'f32:i32', 'reinterpret_f32'],
  ['i64', 0xbd, 'f64:i64', 'reinterpret_f64'],
  ['f32', 0xbe, 'i32:f32', 'reinterpret_i32'],
  ['f64', 0xbf, 'i64:f64', 'reinterpret_i64'],
  ['i32', 0xc0, 'i32:i32', 'extend8_s extend16_s'],
  ['i64', 0xc2, 'i64:i64', 'extend8_s extend16_s extend32_s'],
  ['i32', 0xfc_000, 'f32:i32', 'trunc_sat_f32_s trunc_sat_f32_u'],
  ['i32', 0xfc_002, 'f64:i32', 'trunc_sat_f64_s trunc_sat_f64_u'],
  ['i64', 0xfc_004, 'f32:i64', 'trunc_sat_f32_s trunc_sat_f32_u'],
  ['i64', 0xfc_006, 'f64:i64', 'trunc_sat_f64_s trunc_sat_f64_u'],
  ['i8x16', 0xfd_00e, 'v128 v128:v128', 'swizzle'],
  ['i8x16', 0xfd_00f, 'i32:v128', 'splat'],
  ['i16x8', 0xfd_010, 'i32:v128', 'splat'],
  ['i32x4', 0xfd_011, 'i32:v128', 'splat'],
  ['i64x2', 0xfd_012, 'i64:v128', 'splat'],
  ['f32x4', 0xfd_013, 'f32:v128', 'splat'],
  ['f64x2', 0xfd_014, 'f64:v128', 'splat'],
  ['i8x16', 0xfd_023, 'v128 v128:v128', 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'],
  ['i16x8', 0xfd_02d, 'v128 v128:v128', 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'],
  ['i32x4', 0xfd_037, 'v128 v128:v128', 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'],
  ['f32x4', 0xfd_041, 'v128 v128:v128', 'eq ne lt gt le ge'],
  ['f64x2', 0xfd_047, 'v128 v128:v128', 'eq ne lt gt le ge'],
  ['v128', 0xfd_04d, 'v128:v128', 'not'],
  ['v128', 0xfd_04e, 'v128 v128:v128', 'and andnot or xor'],
  ['v128', 0xfd_052, 'v128 v128 v128:v128', 'bitselect'],
  ['v128', 0xfd_053, 'v128:i32', 'any_true'],
  ['f32x4', 0xfd_05e, 'v128:v128', 'demote_f64x2_zero'],
  ['f64x2', 0xfd_05f, 'v128:v128', 'promote_low_f32x4'],
  ['i8x16', 0xfd_060, 'v128:v128', 'abs neg popcnt'],
  ['i8x16', 0xfd_063, 'v128:i32', 'all_true bitmask'],
  ['i8x16', 0xfd_065, 'v128 v128:v128', 'narrow_i16x8_s narrow_i16x8_u'],
  ['f32x4', 0xfd_067, 'v128:v128', 'ceil floor trunc nearest'],
  ['i8x16', 0xfd_06b, 'v128 i32:v128', 'shl shr_s shr_u'],
  ['i8x16', 0xfd_06e, 'v128 v128:v128', 'add add_sat_s add_sat_u sub sub_sat_s sub_sat_u'],
  ['f64x2', 0xfd_074, 'v128:v128', 'ceil floor'],
  ['i8x16', 0xfd_076, 'v128 v128:v128', 'min_s min_u max_s max_u'],
  ['f64x2', 0xfd_07a, 'v128:v128', 'trunc'],
  ['i8x16', 0xfd_07b, 'v128 v128:v128', 'avgr_u'],
  ['i16x8', 0xfd_07c, 'v128:v128', 'extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u'],
  ['i32x4', 0xfd_07e, 'v128:v128', 'extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u'],
  ['i16x8', 0xfd_080, 'v128:v128', 'abs neg'],
  ['i16x8', 0xfd_082, 'v128 v128:v128', 'q15mulr_sat_s'],
  ['i16x8', 0xfd_083, 'v128:i32', 'all_true bitmask'],
  ['i16x8', 0xfd_085, 'v128 v128:v128', 'narrow_i32x4_s narrow_i32x4_u'],
  ['i16x8', 0xfd_087, 'v128:v128', 'extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u extend_high_i8x16_u'],
  ['i16x8', 0xfd_08b, 'v128 i32:v128', 'shl shr_s shr_u'],
  ['i16x8', 0xfd_08e, 'v128 v128:v128', 'add add_sat_s add_sat_u sub sub_sat_s sub_sat_u'],
  ['f64x2', 0xfd_094, 'v128:v128', 'nearest'],
  ['i16x8', 0xfd_095, 'v128 v128:v128', 'mul min_s min_u max_s max_u'],
  [
    'i16x8',
    0xfd_09b,
    'v128 v128:v128',
    'avgr_u extmul_low_i8x16_s extmul_high_i8x16_s extmul_low_i8x16_u extmul_high_i8x16_u',
  ],
  ['i32x4', 0xfd_0a0, 'v128:v128', 'abs neg'],
  ['i32x4', 0xfd_0a3, 'v128:i32', 'all_true bitmask'],
  ['i32x4', 0xfd_0a7, 'v128:v128', 'extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u'],
  ['i32x4', 0xfd_0ab, 'v128 i32:v128', 'shl shr_s shr_u'],
  ['i32x4', 0xfd_0ae, 'v128 v128:v128', 'add'],
  ['i32x4', 0xfd_0b1, 'v128 v128:v128', 'sub'],
  ['i32x4', 0xfd_0b5, 'v128 v128:v128', 'mul min_s min_u max_s max_u dot_i16x8_s'],
  [
    'i32x4',
    0xfd_0bc,
    'v128 v128:v128',
    'extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u',
  ],
  ['i64x2', 0xfd_0c0, 'v128:v128', 'abs neg'],
  ['i64x2', 0xfd_0c3, 'v128:i32', 'all_true bitmask'],
  ['i64x2', 0xfd_0c7, 'v128:v128', 'extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u'],
  ['i64x2', 0xfd_0cb, 'v128 i32:v128', 'shl shr_s shr_u'],
  ['i64x2', 0xfd_0ce, 'v128 v128:v128', 'add'],
  ['i64x2', 0xfd_0d1, 'v128 v128:v128', 'sub'],
  [
    'i64x2',
    0xfd_0d5,
    'v128 v128:v128',
    'mul eq ne lt_s gt_s le_s ge_s extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u extmul_high_i32x4_u',
  ],
  ['f32x4', 0xfd_0e0, 'v128:v128', 'abs neg'],
  ['f32x4', 0xfd_0e3, 'v128:v128', 'sqrt'],
  ['f32x4', 0xfd_0e4, 'v128 v128:v128', 'add sub mul div min max pmin pmax'],
  ['f64x2', 0xfd_0ec, 'v128:v128', 'abs neg'],
  ['f64x2', 0xfd_0ef, 'v128:v128', 'sqrt'],
  ['f64x2', 0xfd_0f0, 'v128 v128:v128', 'add sub mul div min max pmin pmax'],
  ['i32x4', 0xfd_0f8, 'v128:v128', 'trunc_sat_f32x4_s trunc_sat_f32x4_u'],
  ['f32x4', 0xfd_0fa, 'v128:v128', 'convert_i32x4_s convert_i32x4_u'],
  ['i32x4', 0xfd_0fc, 'v128:v128', 'trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero'],
  ['f64x2', 0xfd_0fe, 'v128:v128', 'convert_low_i32x4_s convert_low_i32x4_u'],
  // Relaxed SIMD: whether the product is rounded before the sum is the host's choice.
  ['f32x4', 0xfd_105, 'v128 v128 v128:v128', 'relaxed_madd'],
  ['f64x2', 0xfd_107, 'v128 v128 v128:v128', 'relaxed_madd'],
] as const

type Words<Text extends string> = Text extends `${infer First} ${infer Rest}` ? First | Words<Rest> : Text

type Table<Rows extends Run> = {
  readonly [Row in Rows as `${Row[0]}.${Words<Row[3]>}`]: readonly [code: readonly number[], signature: Row[2]]
}

/** An opcode as its bytes: behind a prefix it is a LEB128 number. */
function encoded(opcode: number): readonly number[] {
  if (opcode < 0x100) return [opcode]
  const number = opcode & 0xfff
  return [opcode >> 12, ...(number < 0x80 ? [number] : [(number & 0x7f) | 0x80, number >> 7])]
}

type Entries = Readonly<Record<string, readonly [code: readonly number[], fact: string | number]>>

const entriesOf = (runs: readonly Run[]): Entries =>
  Object.fromEntries(
    runs.flatMap(([prefix, first, signature, names]) =>
      names.split(' ').map((name, i) => [`${prefix}.${name}`, [encoded(first + i), signature] as const]),
    ),
  )

/** Instructions without side effects: encoding, then `operands:result`. */
export const NUMERIC: Table<(typeof RUNS)[number]> = /*#__PURE__*/ entriesOf(RUNS) as Table<(typeof RUNS)[number]>

/** Loads: encoding, and log2 of the alignment that an atomic one requires. */
export const LOADS = {
  'i32.load': [[0x28]],
  'i64.load': [[0x29]],
  'f32.load': [[0x2a]],
  'f64.load': [[0x2b]],
  'i32.load8_s': [[0x2c]],
  'i32.load8_u': [[0x2d]],
  'i32.load16_s': [[0x2e]],
  'i32.load16_u': [[0x2f]],
  'i64.load8_s': [[0x30]],
  'i64.load8_u': [[0x31]],
  'i64.load16_s': [[0x32]],
  'i64.load16_u': [[0x33]],
  'i64.load32_s': [[0x34]],
  'i64.load32_u': [[0x35]],
  'v128.load': [[0xfd, 0x00]],
  'v128.load8x8_s': [[0xfd, 0x01]],
  'v128.load8x8_u': [[0xfd, 0x02]],
  'v128.load16x4_s': [[0xfd, 0x03]],
  'v128.load16x4_u': [[0xfd, 0x04]],
  'v128.load32x2_s': [[0xfd, 0x05]],
  'v128.load32x2_u': [[0xfd, 0x06]],
  'v128.load8_splat': [[0xfd, 0x07]],
  'v128.load16_splat': [[0xfd, 0x08]],
  'v128.load32_splat': [[0xfd, 0x09]],
  'v128.load64_splat': [[0xfd, 0x0a]],
  'v128.load32_zero': [[0xfd, 0x5c]],
  'v128.load64_zero': [[0xfd, 0x5d]],
  'i32.atomic.load': [[0xfe, 0x10], 2],
  'i64.atomic.load': [[0xfe, 0x11], 3],
  'i32.atomic.load8_u': [[0xfe, 0x12], 0],
  'i32.atomic.load16_u': [[0xfe, 0x13], 1],
  'i64.atomic.load8_u': [[0xfe, 0x14], 0],
  'i64.atomic.load16_u': [[0xfe, 0x15], 1],
  'i64.atomic.load32_u': [[0xfe, 0x16], 2],
} as const

/** Stores: encoding, and log2 of the alignment that an atomic one requires. */
export const STORES = {
  'i32.store': [[0x36]],
  'i64.store': [[0x37]],
  'f32.store': [[0x38]],
  'f64.store': [[0x39]],
  'i32.store8': [[0x3a]],
  'i32.store16': [[0x3b]],
  'i64.store8': [[0x3c]],
  'i64.store16': [[0x3d]],
  'i64.store32': [[0x3e]],
  'v128.store': [[0xfd, 0x0b]],
  'i32.atomic.store': [[0xfe, 0x17], 2],
  'i64.atomic.store': [[0xfe, 0x18], 3],
  'i32.atomic.store8': [[0xfe, 0x19], 0],
  'i32.atomic.store16': [[0xfe, 0x1a], 1],
  'i64.atomic.store8': [[0xfe, 0x1b], 0],
  'i64.atomic.store16': [[0xfe, 0x1c], 1],
  'i64.atomic.store32': [[0xfe, 0x1d], 2],
} as const

const RMW_NAMES = ['add', 'sub', 'and', 'or', 'xor', 'xchg', 'cmpxchg'] as const
type RmwName = (typeof RMW_NAMES)[number]
/** Accesses of each read-modify-write, in the order of their opcodes: the text around its name, and log2 of the alignment. */
const RMW_ACCESSES = [
  ['i32.atomic.rmw.', '', 2],
  ['i64.atomic.rmw.', '', 3],
  ['i32.atomic.rmw8.', '_u', 0],
  ['i32.atomic.rmw16.', '_u', 1],
  ['i64.atomic.rmw8.', '_u', 0],
  ['i64.atomic.rmw16.', '_u', 1],
  ['i64.atomic.rmw32.', '_u', 2],
] as const
type RmwAccess = (typeof RMW_ACCESSES)[number]

/** Names of atomic read-modify-write instructions. */
export type AtomicRmwOp = { [A in RmwAccess as A[0]]: `${A[0]}${RmwName}${A[1]}` }[RmwAccess[0]]

const rmwEntries = (): Entries =>
  Object.fromEntries(
    RMW_NAMES.flatMap((name, i) =>
      RMW_ACCESSES.map(([before, after, alignment], j) => [
        before + name + after,
        [encoded(0xfe_01e + RMW_ACCESSES.length * i + j), alignment] as const,
      ]),
    ),
  )

/** Atomic read-modify-write: encoding and log2 of the required alignment. All return the old value. */
export const ATOMIC_RMW: Readonly<Record<AtomicRmwOp, readonly [code: readonly number[], alignment: number]>> =
  /*#__PURE__*/ rmwEntries() as Record<AtomicRmwOp, readonly [readonly number[], number]>

/** Lane access: encoding and the type of a lane. */
export const LANES = {
  'i8x16.extract_lane_s': [[0xfd, 0x15], 'i32'],
  'i8x16.extract_lane_u': [[0xfd, 0x16], 'i32'],
  'i8x16.replace_lane': [[0xfd, 0x17], 'i32'],
  'i16x8.extract_lane_s': [[0xfd, 0x18], 'i32'],
  'i16x8.extract_lane_u': [[0xfd, 0x19], 'i32'],
  'i16x8.replace_lane': [[0xfd, 0x1a], 'i32'],
  'i32x4.extract_lane': [[0xfd, 0x1b], 'i32'],
  'i32x4.replace_lane': [[0xfd, 0x1c], 'i32'],
  'i64x2.extract_lane': [[0xfd, 0x1d], 'i64'],
  'i64x2.replace_lane': [[0xfd, 0x1e], 'i64'],
  'f32x4.extract_lane': [[0xfd, 0x1f], 'f32'],
  'f32x4.replace_lane': [[0xfd, 0x20], 'f32'],
  'f64x2.extract_lane': [[0xfd, 0x21], 'f64'],
  'f64x2.replace_lane': [[0xfd, 0x22], 'f64'],
} as const

/** Names of side-effect free instructions. */
export type NumericOp = keyof typeof NUMERIC
/** Names of loads, including atomic ones. */
export type LoadOp = keyof typeof LOADS
/** Names of stores, including atomic ones. */
export type StoreOp = keyof typeof STORES
/** Names of instructions that read or replace a lane of a vector. */
export type LaneOp = keyof typeof LANES

/** The type an instruction leaves on the stack. */
export type ResultOf<K extends NumericOp> = (typeof NUMERIC)[K][1] extends `${string}:${infer R}`
  ? Extract<R, ValueType>
  : never
/** The operand types of an instruction as one string, separated by spaces. */
export type OperandsOf<K extends NumericOp> = (typeof NUMERIC)[K][1] extends `${infer P}:${string}` ? P : never
/** The type that a load, or an atomic, yields: the name before the first dot. */
export type PrefixType<K extends string> = K extends `${infer T}.${string}` ? Extract<T, ValueType> : never
