/** Random programs: loops with branches forward, calls, arithmetic, loads and stores. */
import { a64Forms, findA64, type Form as Row } from '@retrap/arm-decoder'
import type { Random } from './compare-instructions.ts'
import { semanticsOf } from '../../src/semantics/index.ts'

/** X28 points to data, X27 counts rounds, X30 is the link: random instructions write none of them. */
const RESERVED: readonly number[] = [27, 28, 29, 30]
const OPERATIONS =
  /^(?:add|add-carry|logical|move-wide|bitfield|extract|shift|reverse|count|multiply|divide|select|compare-conditional|flags|vector|copy|permute|table|immediate|vector-logical|aes|sha|crc|float|float-compare|convert|move|scalar|element|across)$/
const rows: readonly Row[] = a64Forms().filter(
  (row) => OPERATIONS.test(row.operation) && semanticsOf(row) !== undefined,
)

/** A random instruction that changes registers and flags alone. */
function plain(random: Random): number {
  for (;;) {
    const row = rows[random() % rows.length]!
    const word = row.fields.size === 0 ? row.value : ((random() & ~row.mask) | row.value) >>> 0
    if (findA64(word)?.index === row.index && !RESERVED.includes(word & 31)) return word
  }
}

/** LDR or STR of X0 to X15 at a multiple of 8 below 4096 + 64 from X28, or LDP of two. */
function access(random: Random): number {
  const t = random() & 15
  const offset = random() & 511
  switch (random() % 3) {
    case 0:
      return (0xf940_0000 | (offset << 10) | (28 << 5) | t) >>> 0
    case 1:
      return (0xf900_0000 | (offset << 10) | (28 << 5) | t) >>> 0
    default:
      return (0xa940_0000 | ((offset & 63) << 15) | (((t + 1) & 15) << 10) | (28 << 5) | t) >>> 0
  }
}

/** Bits 15:12 of LD1 to LD4 and ST1 to ST4 of whole registers. */
const STRUCTURES = [0b0000, 0b0010, 0b0100, 0b0110, 0b0111, 0b1000, 0b1010]

/** The same of vector registers: LDR, STR and LDP of V0 to V15; LD1 to LD4 and ST1 to ST4 of up to four, and of lanes, at X28. */
function vectorAccess(random: Random): number {
  const t = random() & 15
  const store = random() & 1
  const offset = random() & 255
  const sizes = (random() & 3) << 10
  switch (random() % 5) {
    case 0:
      return ((0x3dc0_0000 ^ (store << 22)) | (offset << 10) | (28 << 5) | t) >>> 0
    case 1:
      return ((0xfd40_0000 ^ (store << 22)) | (offset << 10) | (28 << 5) | t) >>> 0
    case 2:
      return ((0xad40_0000 ^ (store << 22)) | ((offset & 63) << 15) | (((t + 1) & 15) << 10) | (28 << 5) | t) >>> 0
    case 3:
      return (
        ((0x4c40_0000 ^ (store << 22)) | (STRUCTURES[random() % 7]! << 12) | sizes | (28 << 5) | (random() & 31)) >>> 0
      )
    default:
      // A byte of one register, or of two.
      return (
        ((0x4d40_0000 ^ (store << 22)) | ((random() & 1) << 21) | ((random() & 1) << 12) | sizes | (28 << 5) | t) >>> 0
      )
  }
}

/** A branch forward over some instructions: B.cond, CBZ, CBNZ, TBZ or TBNZ. */
function forward(distance: number, random: Random): number {
  const imm19 = distance << 5
  switch (random() % 3) {
    case 0:
      return (0x5400_0000 | imm19 | (random() & 15)) >>> 0
    case 1:
      return (0xb400_0000 | ((random() & 1) << 24) | ((random() & 1) << 31) | imm19 | (random() & 15)) >>> 0
    default:
      return (0x3600_0000 | ((random() & 1) << 24) | ((random() & 31) << 19) | (distance << 5) | (random() & 15)) >>> 0
  }
}

/** A program that ends with SVC #0, and within some thousand instructions. */
export function randomProgram(random: Random): number[] {
  const words: number[] = []
  // A function of a few instructions, behind a branch over it.
  const leaf = Array.from({ length: 1 + (random() % 4) }, () => plain(random))
  words.push((0x1400_0000 | (leaf.length + 2)) >>> 0, ...leaf, 0xd65f_03c0)
  const loops = 1 + (random() % 3)
  for (let i = 0; i < loops; i++) {
    // mov x27, #rounds
    words.push((0xd280_0000 | ((50 + (random() % 200)) << 5) | 27) >>> 0)
    const start = words.length
    const length = 4 + (random() % 24)
    for (let k = 0; k < length; k++) {
      const left = length - k
      const kind = random() % 8
      if (kind === 0 && left > 2) words.push(forward(1 + (random() % (left - 1)), random))
      else if (kind === 1) words.push((random() & 1) === 0 ? access(random) : vectorAccess(random))
      // bl to the function
      else if (kind === 2) words.push((0x9400_0000 | ((1 - words.length) & 0x3ff_ffff)) >>> 0)
      else words.push(plain(random))
    }
    // sub x27, x27, #1; cbnz x27, start
    words.push(0xd100_077b)
    words.push((0xb500_0000 | (((start - words.length) & 0x7_ffff) << 5) | 27) >>> 0)
  }
  words.push(0xd400_0001)
  return words
}
