/** The guest of the tests of load and store forms: its memory, and its translation tables. */

/** Guest-physical addresses. RAM for tables and code, and where the pages of the test are. */
export const RAM = 0x4000_0000
export const RAM_PAGES = 64
const LEVEL1 = RAM
const LEVEL2 = RAM + 0x1000
const LEVEL3 = RAM + 0x2000
const CODE_FRAME = RAM + 0x4000
const VECTORS_FRAME = RAM + 0x5000
const RAM_FRAMES = RAM + 0x1_0000
/** The device: pages of it, which in the other machine are RAM. */
export const DEVICE = 0x1000_0000
export const DEVICE_PAGES = 16
/** Nothing answers here. */
const HOLE = 0x1800_0000

/** Virtual addresses. All that there is lies in 2 MiB, so that each literal can reach it. */
const VIRTUAL = 0x8000_0000
export const CODE = VIRTUAL + 200 * 4096
export const VECTORS = VIRTUAL + 201 * 4096

/** What a page of the test is: RAM, the device, nothing that answers, not mapped by stage 1, or of the device and read-only. */
export type PageKind = 'ram' | 'device' | 'hole' | 'unmapped' | 'read-only'

/** Pages side by side: an access may lie across each border. */
const KINDS: readonly PageKind[] = [
  'ram',
  'device',
  'device',
  'ram',
  'device',
  'hole',
  'device',
  'unmapped',
  'device',
  'read-only',
  'device',
]

/** How stage 1 maps them: Device-nGnRE, Normal write-back, Normal non-cacheable; the bytes of MAIR_EL1. */
export const MEMORY_TYPES = [0x04, 0xff, 0x44] as const
export const MAIR: bigint = MEMORY_TYPES.reduce((sum, type, i) => sum | (BigInt(type) << BigInt(8 * i)), 0n)

export interface TestPage {
  readonly kind: PageKind
  /** Its memory type, a place in {@link MEMORY_TYPES}. */
  readonly type: number
  readonly va: number
  readonly gpa: number
}

/** All pages of the test, in runs of one memory type. */
export const PAGES: readonly TestPage[] = MEMORY_TYPES.flatMap((_, type) => {
  let ram = 0
  let device = 0
  return KINDS.map((kind, i): TestPage => {
    const gpa =
      kind === 'hole' || kind === 'unmapped'
        ? HOLE
        : kind === 'ram'
          ? RAM_FRAMES + (4 * type + ram++) * 4096
          : DEVICE + device++ * 4096
    return { kind, type, va: VIRTUAL + (16 * (type + 1) + i) * 4096, gpa }
  })
})

const AF = 1n << 10n
const INNER_SHAREABLE = 3n << 8n
const EL0 = 1n << 6n
const READ_ONLY = 1n << 7n
const XN = 3n << 53n
const PAGE = 3n

/** TCR_EL1: 39 bits of the lower half, 4 KiB pages; the upper half is off. */
export const TCR: bigint = 25n | (1n << 8n) | (1n << 10n) | (3n << 12n) | (1n << 23n) | (2n << 32n) | (25n << 16n)
export const TTBR0: bigint = BigInt(LEVEL1)

/** The words of an A64 program, as bytes. */
export const words = (...program: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(program).buffer)

/** MSR TPIDR_EL1, X0; then PSCI SYSTEM_OFF by HVC: X0 is kept where the test finds it. */
const ENDS = words(0xd518_d080, 0xd2b0_8000, 0xf280_0100, 0xd400_0002)

/** What the guest's RAM begins with: tables, and vectors each of which ends the run. */
export function guestImage(): readonly { readonly gpa: number; readonly bytes: Uint8Array }[] {
  const level3 = new BigUint64Array(512)
  const at = (va: number): number => (va >>> 12) & 511
  for (const { kind, type, va, gpa } of PAGES) {
    if (kind === 'unmapped') continue
    const rights = kind === 'read-only' ? EL0 | READ_ONLY : EL0
    level3[at(va)] = BigInt(gpa) | XN | AF | INNER_SHAREABLE | rights | (BigInt(type) << 2n) | PAGE
  }
  const code = AF | INNER_SHAREABLE | EL0 | READ_ONLY | (1n << 2n) | PAGE
  level3[at(CODE)] = BigInt(CODE_FRAME) | code
  level3[at(VECTORS)] = BigInt(VECTORS_FRAME) | code
  const level2 = new BigUint64Array(512)
  level2[(VIRTUAL >>> 21) & 511] = BigInt(LEVEL3) | PAGE
  const level1 = new BigUint64Array(512)
  level1[VIRTUAL >>> 30] = BigInt(LEVEL2) | PAGE
  const tables = [level1, level2, level3].map((table, i) => ({
    gpa: LEVEL1 + i * 4096,
    bytes: new Uint8Array(table.buffer),
  }))
  return [...tables, ...[0, 0x200, 0x400].map((entry) => ({ gpa: VECTORS_FRAME + entry, bytes: ENDS }))]
}

/** Guest-physical address of an instruction's page. */
export const CODE_GPA: number = CODE_FRAME
