import type { Processor } from '../model/processor.ts'
import * as S from '../state/state-layout.ts'
import { R11, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from '../state/architecture.ts'
import { S_PENDING_DEBUG, S_SMBASE, S_STEPPING } from '../state/system-state.ts'

/**
 * A value of the state save area: where it is, and the field of the processor's state that it holds. `at` is an offset
 * from SMBASE.
 */
export type Slot = readonly [at: number, bytes: 2 | 4 | 8, state: number]

/** Values that are no field of the processor's state: offsets from SMBASE. */
export interface Places {
  /** RFLAGS, arithmetic flags included. */
  readonly flags: number
  /** Revision identifier. */
  readonly revision: number
  /** Bit 0: SMI came in HLT, and RSM is to go back to it. */
  readonly halt: number
  /** FFH in its low byte: RSM makes the I/O instruction again. */
  readonly restart: number
  /** The I/O instruction before SMI; see {@link SaveMap.io}. */
  readonly io: number
  /** Where it is, and RCX, RSI and RDI before its last iteration. */
  readonly ioRip: number
  readonly ioCount: number
  readonly ioSource: number
  readonly ioDestination: number
  /** Linear address of its memory operand; 0 where the map has none. */
  readonly ioAddress: number
  /** Bit 0: NMIs were blocked; 0 where the map has none, and RSM lets them in. */
  readonly nmi: number
  /** Non-zero: the processor had shut down. */
  readonly shutdown: number
}

/** How a processor lays out its state save area. */
export interface SaveMap {
  /** First byte of the area, as an offset from SMBASE; it ends at 10000H. */
  readonly start: number
  /** Bytes of a general register, of RIP, of RFLAGS. */
  readonly width: 4 | 8
  /** Revision identifier: I/O restart and relocation of SMBASE are there. */
  readonly revision: number
  readonly slots: readonly Slot[]
  readonly places: Places
  /** Bit of the I/O state that says whether there is one. */
  readonly ioValid: 1 | 2
  /** Turns the I/O state of Intel's map into this one's. */
  readonly io: (state: number, flags: number) => number
}

const segment = (number: number, field: number): number => S.S_SEGMENTS + number * S.SEG_BYTES + field
const general = (number: number): number => S.S_GPR + 8 * number
const DR6 = S.S_DR + 6 * 8
const DR7 = S.S_DR + 7 * 8
const FIRST_SIX = [S.ES, S.CS, S.SS, S.DS, S.FS, S.GS]
const ALL_SEGMENTS = [...FIRST_SIX, S.LDTR, S.TR]
/** In the order that both makers' maps have them in, from the highest address down. */
const GENERAL = [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI]

/**
 * State that manuals say is saved and that they give no place: it has one in what they call reserved. Descriptor caches,
 * PDPTEs, and what waits or is held off at the instruction boundary that SMI comes at.
 */
const BOUNDARY = [S.S_SHADOW, S_PENDING_DEBUG, S_STEPPING]

function descriptorCaches(at: number, base: 4 | 8): Slot[] {
  const bytes = base + 8
  return ALL_SEGMENTS.flatMap((number, i): Slot[] => [
    [at + bytes * i, base, segment(number, S.SEG_BASE)],
    [at + bytes * i + base, 4, segment(number, S.SEG_LIMIT)],
    [at + bytes * i + base + 4, 4, segment(number, S.SEG_ATTRIBUTES)],
  ])
}

const words = (at: number, states: readonly number[]): Slot[] => states.map((state, i): Slot => [at + 4 * i, 4, state])
const pdptes = (at: number): Slot[] => [0, 1, 2, 3].map((i): Slot => [at + 8 * i, 8, S.S_PDPTE + 8 * i])
const selectors = (first: number): Slot[] =>
  ALL_SEGMENTS.map((number, i): Slot => [first + 4 * i, 2, segment(number, S.SEG_SELECTOR)])

/**
 * Intel's map of 32-bit processors, and of AMD's before the Athlon 64.
 *
 * Source: SDM vol. 3C, table "SMRAM State Save Map". Reserved there and used here: FE00H–FEC7H.
 */
const INTEL_32: SaveMap = {
  start: 0xfe00,
  width: 4,
  revision: 0x0003_0004,
  slots: [
    [0xfffc, 4, S.S_CR0],
    [0xfff8, 4, S.S_CR3],
    [0xfff0, 4, S.S_RIP],
    ...GENERAL.toReversed().map((number, i): Slot => [0xffec - 4 * i, 4, general(number)]),
    [0xffcc, 4, DR6],
    [0xffc8, 4, DR7],
    ...selectors(0xffa8),
    [0xfef8, 4, S_SMBASE],
    ...descriptorCaches(0xfe00, 4),
    [0xfe60, 4, segment(S.GDTR, S.SEG_BASE)],
    [0xfe64, 4, segment(S.GDTR, S.SEG_LIMIT)],
    [0xfe68, 4, segment(S.IDTR, S.SEG_BASE)],
    [0xfe6c, 4, segment(S.IDTR, S.SEG_LIMIT)],
    [0xfe70, 4, S.S_CR4],
    [0xfe74, 4, S.S_EFER],
    ...pdptes(0xfe78),
    ...words(0xfe98, BOUNDARY),
  ],
  places: {
    flags: 0xfff4,
    revision: 0xfefc,
    halt: 0xff02,
    restart: 0xff00,
    io: 0xffa4,
    ioAddress: 0xffa0,
    ioRip: 0xfeb0,
    ioCount: 0xfeb4,
    ioSource: 0xfeb8,
    ioDestination: 0xfebc,
    nmi: 0,
    shutdown: 0xfea8,
  },
  ioValid: 1,
  io: (state) => state,
}

/**
 * Intel's map of processors with 64-bit mode, whatever mode SMI comes in.
 *
 * Source: SDM vol. 3C, table "SMRAM State Save Map for Intel 64 Architecture". Reserved there and used here:
 * FC00H–FCD7H.
 */
const INTEL_64: SaveMap = {
  start: 0xfc00,
  width: 8,
  revision: 0x0003_0101,
  slots: [
    [0xfff8, 8, S.S_CR0],
    [0xfff0, 8, S.S_CR3],
    [0xffe0, 8, S.S_EFER],
    [0xffd8, 8, S.S_RIP],
    [0xffd0, 8, DR6],
    [0xffc8, 8, DR7],
    ...selectors(0xffa8),
    ...GENERAL.toReversed().map((number, i): Slot => [0xff94 - 8 * i, 8, general(number)]),
    ...[8, 9, 10, R11, 12, 13, 14, 15].map((number, i): Slot => [0xff54 - 8 * i, 8, general(number)]),
    [0xfef8, 4, S_SMBASE],
    [0xfe9c, 4, segment(S.LDTR, S.SEG_BASE)],
    [0xfe94, 4, segment(S.IDTR, S.SEG_BASE)],
    [0xfe8c, 4, segment(S.GDTR, S.SEG_BASE)],
    [0xfe40, 8, S.S_CR4],
    [0xfdd8, 4, segment(S.IDTR, S.SEG_BASE + 4)],
    [0xfdd4, 4, segment(S.LDTR, S.SEG_BASE + 4)],
    [0xfdd0, 4, segment(S.GDTR, S.SEG_BASE + 4)],
    ...descriptorCaches(0xfc00, 8).filter(([, , state]) => state !== segment(S.LDTR, S.SEG_BASE)),
    [0xfc80, 4, segment(S.GDTR, S.SEG_LIMIT)],
    [0xfc84, 4, segment(S.IDTR, S.SEG_LIMIT)],
    ...pdptes(0xfc88),
    ...words(0xfca8, BOUNDARY),
  ],
  places: {
    flags: 0xffe8,
    revision: 0xfefc,
    halt: 0xff02,
    restart: 0xff00,
    io: 0xffa4,
    ioAddress: 0xff9c,
    ioRip: 0xfde8,
    ioCount: 0xfcc0,
    ioSource: 0xfcc8,
    ioDestination: 0xfcd0,
    nmi: 0,
    shutdown: 0xfcb8,
  },
  ioValid: 1,
  io: (state) => state,
}

/** AMD's I/O trap word: RW, V, STR, REP, SZ8 to SZ32, TF, port. */
function amdTrap(state: number, flags: number): number {
  if ((state & 1) === 0) return 0
  const type = (state >>> 4) & 0xf
  const length = (state >>> 1) & 7
  return (
    ((state & 0xffff_0000) |
      ((flags & 0x100) << 3) |
      (length << 4) |
      ((type & 4) << 1) |
      ((type & 2) << 1) |
      2 |
      (type & 1)) >>>
    0
  )
}

/**
 * AMD's map of processors with 64-bit mode.
 *
 * Source: AMD APM vol. 2, table "AMD64 Architecture SMM State-Save Area"; the NMI mask at FECAH as in AMD's BIOS and
 * kernel developer's guides, "SMM Save State". Reserved there and used here: FF08H–FF3BH.
 */
const AMD_64: SaveMap = {
  start: 0xfe00,
  width: 8,
  revision: 0x0003_0064,
  slots: [
    ...FIRST_SIX.flatMap((number, i) => amdSegment(0xfe00 + 16 * i, number)),
    [0xfe64, 4, segment(S.GDTR, S.SEG_LIMIT)],
    [0xfe68, 8, segment(S.GDTR, S.SEG_BASE)],
    ...amdSegment(0xfe70, S.LDTR),
    [0xfe84, 4, segment(S.IDTR, S.SEG_LIMIT)],
    [0xfe88, 8, segment(S.IDTR, S.SEG_BASE)],
    ...amdSegment(0xfe90, S.TR),
    [0xfed0, 8, S.S_EFER],
    [0xff00, 4, S_SMBASE],
    [0xff48, 8, S.S_CR4],
    [0xff50, 8, S.S_CR3],
    [0xff58, 8, S.S_CR0],
    [0xff60, 8, DR7],
    [0xff68, 8, DR6],
    [0xff78, 8, S.S_RIP],
    ...[15, 14, 13, 12, R11, 10, 9, 8].map((number, i): Slot => [0xff80 + 8 * i, 8, general(number)]),
    ...GENERAL.toReversed().map((number, i): Slot => [0xffc0 + 8 * i, 8, general(number)]),
    ...pdptes(0xff08),
    ...words(0xff28, BOUNDARY),
  ],
  places: {
    flags: 0xff70,
    revision: 0xfefc,
    halt: 0xfec9,
    restart: 0xfec8,
    io: 0xfec0,
    ioAddress: 0,
    ioRip: 0xfea0,
    ioCount: 0xfea8,
    ioSource: 0xfeb0,
    ioDestination: 0xfeb8,
    nmi: 0xfeca,
    shutdown: 0xff38,
  },
  ioValid: 2,
  io: amdTrap,
}

function amdSegment(at: number, number: number): Slot[] {
  return [
    [at, 2, segment(number, S.SEG_SELECTOR)],
    [at + 2, 2, segment(number, S.SEG_ATTRIBUTES)],
    [at + 4, 4, segment(number, S.SEG_LIMIT)],
    [at + 8, 8, segment(number, S.SEG_BASE)],
  ]
}

export function saveMapOf(processor: Processor): SaveMap {
  if (!processor.has('LM')) return INTEL_32
  return processor.amd || processor.model.saveArea === 'amd' ? AMD_64 : INTEL_64
}
