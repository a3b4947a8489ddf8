// What Arm processors do to each other at the same time: programs of two threads.
import { LINEAR, OTHER_ROUNDS, ROUNDS, STOP, TABLE, VERSION, WRONG } from './threads.ts'

// Words of instructions, by registers: W or X n.
const movz = (d: number, value: number, half = 0): number => 0xd280_0000 | (half << 21) | (value << 5) | d
const movk = (d: number, value: number, half: number): number => 0xf280_0000 | (half << 21) | (value << 5) | d
const mov = (d: number, value: number): number[] => [movz(d, value & 0xffff), movk(d, value >>> 16, 1)]
const add = (d: number, n: number, value: number): number => 0x9100_0000 | (value << 10) | (n << 5) | d
const ldr = (t: number, n: number): number => 0xb940_0000 | (n << 5) | t
const str = (t: number, n: number): number => 0xb900_0000 | (n << 5) | t
const ldar = (t: number, n: number): number => 0x88df_fc00 | (n << 5) | t
const stlr = (t: number, n: number): number => 0x889f_fc00 | (n << 5) | t
/** Branches by a number of instructions. */
const cbz = (t: number, by: number): number => 0x3400_0000 | ((by & 0x7_ffff) << 5) | t
const cbnz = (t: number, by: number): number => 0x3500_0000 | ((by & 0x7_ffff) << 5) | t
const blr = (n: number): number => 0xd63f_0000 | (n << 5)
const cmp = (n: number, m: number): number => 0x6b00_001f | (m << 16) | (n << 5)
const bhs = (by: number): number => 0x5400_0002 | ((by & 0x7_ffff) << 5)
const [RET, ISB, DSB, HVC] = [0xd65f_03c0, 0xd503_3fdf, 0xd503_3b9f, 0xd400_0002]
/** DC CVAU and IC IVAU. */
const dcCvau = (t: number): number => 0xd50b_7b20 | t
const icIvau = (t: number): number => 0xd50b_7520 | t
/** TLBI VAE1IS. */
const tlbi = (t: number): number => 0xd508_8320 | t

/** The function whose result is in its first instruction. */
const FUNCTION = 0x9000
/** X9 to X14 hold the addresses of words. */
const WORDS = [VERSION, ROUNDS, OTHER_ROUNDS, WRONG, STOP, TABLE].flatMap((at, i) => mov(9 + i, at))

/** Does something again and again until it is to end. */
const loop = (body: readonly number[], rounds = 10): number[] => {
  const round = [...body, ldr(7, rounds), add(7, 7, 1), str(7, rounds), ldr(7, 13)]
  return [...WORDS, ...round, cbz(7, -round.length), HVC]
}
/** W0 has a version; W1 is to be that or a later one. */
const checked = (look: readonly number[]): number[] =>
  loop([ldar(0, 9), cbz(0, look.length + 6), ...look, cmp(1, 0), bhs(4), ldr(7, 12), add(7, 7, 1), str(7, 12)])

/** Versions have 16 bits: the writer waits at the last one. */
const versions = (change: readonly number[]): number[] =>
  loop([...mov(3, 0xfff0), cmp(6, 3), bhs(change.length + 3), add(6, 6, 1), ...change, stlr(6, 9)], 11)
/** The code at X5 gets version W6. */
const patch = [...mov(2, movz(1, 0) >>> 0), 0x2a06_1442, str(2, 5), dcCvau(5), DSB, icIvau(5), DSB]

const inline = checked([ISB, movz(1, 0)])
const patched = 0x1000 + 4 * inline.indexOf(movz(1, 0))
/** X8 has the address of what both add to. */
export const DATA = 0x1_2000

/** What the first thread sees is counted at WRONG if it is of before what the second has made public. */
export const SEEN: readonly (readonly [name: string, reader: readonly number[], writer: readonly number[]])[] = [
  ['code behind ISB', inline, versions([...mov(5, patched), ...patch])],
  [
    'code that is called',
    checked([ISB, ...mov(5, FUNCTION), blr(5)]),
    versions([...mov(5, FUNCTION), ...mov(2, RET), 0xb900_04a2, ...patch]),
  ],
  [
    'a table, by TLBI and DSB',
    checked([...mov(5, LINEAR), ldr(1, 5)]),
    // The version's frame is one of two; the other one is cleared when nobody has it any more.
    versions([
      ...[...mov(3, 1), 0x0a03_00c3, 0x5310_3c63, ...mov(4, 0x3_0000), 0x8b04_0063, str(6, 3), str(3, 14), DSB],
      ...[...mov(5, LINEAR >>> 12), tlbi(5), DSB, ISB, 0xd270_0863, str(31, 3)],
    ]),
  ],
  ['their translations, each of the other', loop([tlbi(5), DSB]), loop([tlbi(5), DSB], 11)],
]

/** Each thread adds 1 to the first word of each of 8 bytes, once a round. */
export const ADDED: readonly (readonly [name: string, bytes: number, programs: readonly (readonly number[])[]])[] = (
  [
    // ldxr w1, [x8]; add w1, w1, #1; stxr w2, w1, [x8]; cbnz w2
    ['LDXR and STXR', 4, [0x885f_7d01, add(1, 1, 1), 0x8802_7d01, cbnz(2, -3)]],
    // ldadd w1, w2, [x8]
    ['LDADD', 4, [movz(1, 1), 0xb821_0102]],
    // ldxp x2, x3, [x8]; stxp w1, x2, x3, [x8]; cbnz w1
    ['LDXP and STXP', 16, [0xc87f_0d02, add(2, 2, 1), add(3, 3, 1), 0xc821_0d02, cbnz(1, -4)]],
    // ldp x0, x1, [x8]; mov x2, x0; mov x3, x1; casp x2, x3, x4, x5, [x8]; cmp x2, x0; ccmp x3, x1, #0, eq; b.ne
    [
      'CASP',
      16,
      [0xa940_0500, 0xaa00_03e2, 0xaa01_03e3, add(4, 0, 1), add(5, 1, 1), 0x4822_7d04, 0xeb00_005f, 0xfa41_0060].concat(
        0x5400_0001 | ((-8 & 0x7_ffff) << 5),
      ),
    ],
  ] as const
).map(([name, bytes, body]) => [name, bytes, [10, 11].map((rounds) => loop([...mov(8, DATA), ...body], rounds))])
