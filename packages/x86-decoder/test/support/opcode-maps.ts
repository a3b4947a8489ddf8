/**
 * Every opcode of every map, after many patterns of prefixes, with every ModRM byte or a sample of each class of them, as
 * slots of 16 bytes.
 */

/** Bytes of a slot: an instruction is at most 15. */
export const SLOT = 16

/** A block of slots that have a pattern in common. */
export interface Block {
  /** Prefixes and map, for messages. */
  readonly name: string
  readonly bytes: Uint8Array
  readonly count: number
}

/** How much of the maps. */
export interface Extent {
  /** Prefix patterns before legacy opcodes: as hexadecimal text, without REX outside 64-bit mode. */
  readonly prefixes: readonly string[]
  /** All 256 ModRM bytes, those of each class, or each mod and reg once. */
  readonly modrm: 'all' | 'classes' | 'few'
}

/** Prefixes alone, doubled and in both orders; REX where it counts and where it does not. */
export const ALL_PREFIXES: readonly string[] = [
  '',
  '66',
  'f2',
  'f3',
  'f0',
  '67',
  '2e',
  '64',
  '48',
  '41',
  '4d',
  '42',
  '66 48',
  '66 41',
  'f2 48',
  'f3 48',
  'f3 41',
  'f2 66',
  '66 f2',
  'f3 66',
  '66 f3',
  'f2 f3',
  'f3 f2',
  'f2 f0',
  'f0 f3',
  'f0 66',
  '67 66',
  '67 48',
  '48 66',
  '66 66',
  'f3 66 48',
  '3e',
  '26 64',
  '65 2e',
  '48 f3',
  'f0 48',
]

/** Those that make the most difference. */
export const SOME_PREFIXES: readonly string[] = [
  '',
  '66',
  'f2',
  'f3',
  '67',
  '64',
  '48',
  '4d',
  '66 48',
  'f3 66',
  'f3 41',
  'f0',
  'f2 f3',
  '66 f2',
  'f3 48',
]

const LEGACY_PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3])

const ESCAPES: readonly (readonly [name: string, bytes: readonly number[]])[] = [
  ['one-byte map', []],
  ['map 0F', [0x0f]],
  ['map 0F 38', [0x0f, 0x38]],
  ['map 0F 3A', [0x0f, 0x3a]],
]

const ALL_MODRM = Array.from({ length: 256 }, (_, i) => i)
/** Each mod with each reg, with a SIB byte, as disp32 or [BP], and as another register. */
const MODRM_CLASSES = ALL_MODRM.filter((modrm) => {
  const rm = modrm & 7
  return rm === 4 || rm === 5 || rm === ((modrm >> 3) * 3 + 1) % 4 || (modrm >= 0xc0 && (modrm & 0x38) === rm << 3)
})

const FEW_MODRM = ALL_MODRM.filter((modrm) => (modrm & 7) === ((modrm >> 3) & 1 ? 4 : ((modrm >> 3) * 5 + 1) & 7))
const modrmsOf = (modrm: Extent['modrm']): readonly number[] =>
  modrm === 'all' ? ALL_MODRM : modrm === 'classes' ? MODRM_CLASSES : FEW_MODRM

const toBytes = (hex: string): number[] => (hex === '' ? [] : hex.split(' ').map((byte) => parseInt(byte, 16)))

/** SIB bytes, displacements and immediates take many values, of both signs. */
function fill(bytes: Uint8Array, at: number, seed: number): void {
  for (let i = 0; i < SLOT; i++) bytes[at + i] = seed * 7 + i * 0x51 + 0x8c
}

/** Opcodes without VEX, by prefix and map. */
export function* legacyMaps(mode: 16 | 32 | 64, { prefixes, modrm }: Extent): Generator<Block> {
  const modrms = modrmsOf(modrm)
  for (const prefix of prefixes) {
    if (mode !== 64 && /\b4[0-9a-f]\b/.test(prefix)) continue
    for (const [name, escape] of ESCAPES) {
      const head = [...toBytes(prefix), ...escape]
      const bytes = new Uint8Array(256 * modrms.length * SLOT)
      let at = 0
      for (let opcode = 0; opcode < 256; opcode++) {
        const isPrefix = LEGACY_PREFIXES.has(opcode) || opcode === 0x0f || (mode === 64 && (opcode & 0xf0) === 0x40)
        if (escape.length === 0 && isPrefix) continue
        if (escape.length === 1 && (opcode === 0x38 || opcode === 0x3a)) continue
        // VEX, XOP, EVEX and REX2 have enumerations of their own; what is C4 without VEX is here.
        for (const byte of modrms) {
          if (escape.length === 0 && isOtherEncoding(opcode, byte, mode)) continue
          fill(bytes, at, byte)
          bytes.set(head, at)
          bytes[at + head.length] = opcode
          bytes[at + head.length + 1] = byte
          at += SLOT
        }
      }
      yield { name: `${prefix === '' ? 'no prefix' : prefix}, ${name}`, bytes: bytes.subarray(0, at), count: at / SLOT }
    }
  }
}

function isOtherEncoding(opcode: number, next: number, mode: number): boolean {
  switch (opcode) {
    case 0xc4:
    case 0xc5:
    case 0x62:
      return mode === 64 || next >= 0xc0
    case 0xd5:
      return mode === 64
    case 0x8f:
      return (next & 31) >= 8
    default:
      return false
  }
}

/** The opcodes of 3DNow!, each after the operands. */
export function* amd3dNow(): Generator<Block> {
  const bytes = new Uint8Array(256 * 8 * SLOT)
  for (let i = 0; i < 256 * 8; i++) {
    fill(bytes, i * SLOT, i)
    bytes.set([0x0f, 0x0f, 0xc0 | ((i & 7) * 9), i >> 3], i * SLOT)
  }
  yield { name: '3DNow!', bytes, count: 256 * 8 }
}

/** Instructions with a SIB byte: plain, with a vector of indices, of tiles, and one that ends in an immediate. */
const WITH_SIB: readonly (readonly number[])[] = [
  [0x8b],
  [0x0f, 0x58],
  [0x69],
  [0xc4, 0xe2, 0x69, 0x92],
  [0xc4, 0xa2, 0xf9, 0x91],
  [0xc4, 0xc2, 0xed, 0x93],
  [0xc4, 0xe2, 0x7b, 0x4b],
]

/** Every SIB byte with every mod, and address sizes and REX that change what it means. */
export function* sibBytes(mode: 16 | 32 | 64): Generator<Block> {
  const prefixes = ['', '67', ...(mode === 64 ? ['41', '42', '43', '4f', '67 42'] : ['64'])]
  const bytes = new Uint8Array(prefixes.length * WITH_SIB.length * 3 * 256 * SLOT)
  let at = 0
  for (const prefix of prefixes) {
    for (const opcode of WITH_SIB) {
      // REX before VEX has its place among the prefixes of the maps.
      if (opcode[0] === 0xc4 && /4/.test(prefix.slice(-2)) && prefix !== '64') continue
      for (let mod = 0; mod < 3; mod++) {
        for (let sib = 0; sib < 256; sib++) {
          fill(bytes, at, sib)
          bytes.set([...toBytes(prefix), ...opcode, (mod << 6) | ((sib & 1) << 3) | 4, sib], at)
          at += SLOT
        }
      }
    }
  }
  yield { name: 'SIB bytes', bytes: bytes.subarray(0, at), count: at / SLOT }
}

/** VEX and XOP: every map, pp, W, L and opcode, with vvvv = 1111b and without, and one prefix pattern before. */
export function* vexMaps(mode: 16 | 32 | 64, modrm: Extent['modrm']): Generator<Block> {
  const modrms = modrmsOf(modrm)
  const heads: (readonly [name: string, byte: number, map: number])[] = [
    ...Array.from({ length: 32 }, (_, map) => ['VEX', 0xc4, map] as const),
    ...Array.from({ length: 24 }, (_, i) => ['XOP', 0x8f, i + 8] as const),
  ]
  for (const [name, byte, map] of heads) {
    const exists = byte === 0xc4 ? [1, 2, 3, 5, 6, 7].includes(map) : map >= 8 && map <= 10
    const bytes = new Uint8Array(16 * 256 * modrms.length * SLOT)
    let at = 0
    for (let payload = 0; payload < 16; payload++) {
      for (let opcode = 0; opcode < 256; opcode += exists ? 1 : 23) {
        for (const [i, rm] of modrms.entries()) {
          // Every second one has vvvv in use; R, X and B go through all values in 64-bit mode. Elsewhere R and X are ones, or it is LES.
          const inverted = mode === 64 ? (i * 3 + opcode) & 7 : 6 | ((i >> 1) & 1)
          const vvvv = ((i + opcode) & 1) === 0 ? 15 : (i * 5 + opcode) & 15
          fill(bytes, at, i * 29)
          bytes[at] = byte
          bytes[at + 1] = (inverted << 5) | map
          bytes[at + 2] = ((payload & 8) << 4) | (vvvv << 3) | (payload & 7)
          bytes[at + 3] = opcode
          bytes[at + 4] = rm
          at += SLOT
        }
      }
    }
    yield { name: `${name} map ${map}`, bytes: bytes.subarray(0, at), count: at / SLOT }
  }
  // The short form, and prefixes before VEX.
  for (const prefix of ['', '66', 'f2', 'f3', 'f0', '64', '67', '48', '2e']) {
    if (mode !== 64 && prefix === '48') continue
    const head = toBytes(prefix)
    const bytes = new Uint8Array(8 * 256 * 4 * SLOT)
    for (let i = 0; i < 8 * 256 * 4; i++) {
      const at = i * SLOT
      fill(bytes, at, i)
      bytes.set(head, at)
      bytes.set(
        [
          0xc5,
          0xc0 | ((i & 8) << 2) | (i & 7) | ((i & 16) === 0 ? 0x38 : (i >> 2) & 0x38),
          (i >> 3) & 255,
          (i * 37) & 255,
        ],
        at + head.length,
      )
    }
    yield { name: `${prefix === '' ? 'no prefix' : prefix}, VEX of two bytes`, bytes, count: 8 * 256 * 4 }
  }
}
