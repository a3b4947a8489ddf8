import * as kinds from './kinds.ts'
import { MAP_REX2 } from './tree.ts'

/** The role of a byte where an instruction begins or continues after a prefix. */

/** The role of a byte before the opcode: prefixes between REX and REP. */
export const CLASS_OPCODE = 0
export const CLASS_REX = 1
export const CLASS_SEGMENT = 2
export const CLASS_OPERAND_SIZE = 3
export const CLASS_ADDRESS_SIZE = 4
export const CLASS_LOCK = 5
export const CLASS_REPNE = 6
export const CLASS_REP = 7
/** C4, C5: VEX, or LES and LDS. */
export const CLASS_VEX = 8
/** 0F. */
export const CLASS_ESCAPE = 9
/** 8F: XOP, or POP. */
export const CLASS_XOP = 10
/** 62: EVEX, or BOUND. */
export const CLASS_EVEX = 11
/** D5 in 64-bit mode: REX2. */
export const CLASS_REX2 = 12

/** `CLASS_*` by byte; the second half is 64-bit mode. */
export const byteClasses: Uint8Array = /*#__PURE__*/ makeByteClasses()

function makeByteClasses(): Uint8Array {
  const classes = new Uint8Array(512)
  for (const base of [0, 256]) {
    for (const segment of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) classes[base + segment] = CLASS_SEGMENT
    classes[base + 0x66] = CLASS_OPERAND_SIZE
    classes[base + 0x67] = CLASS_ADDRESS_SIZE
    classes[base + 0xf0] = CLASS_LOCK
    classes[base + 0xf2] = CLASS_REPNE
    classes[base + 0xf3] = CLASS_REP
    classes[base + 0xc4] = CLASS_VEX
    classes[base + 0xc5] = CLASS_VEX
    classes[base + 0x0f] = CLASS_ESCAPE
    classes[base + 0x8f] = CLASS_XOP
    classes[base + 0x62] = CLASS_EVEX
  }
  classes[256 + 0xd5] = CLASS_REX2
  for (let rex = 0x40; rex < 0x50; rex++) classes[256 + rex] = CLASS_REX
  return classes
}

/**
 * Which opcodes REX2 goes with.
 *
 * Source: Intel APX Architecture Specification, "REX2 Prefix".
 */

/** By map, bit n: the row of opcodes n0 to nF is not there. INC to Jcc, strings, I/O; WRMSR's row, near Jcc. */
const LACKS = [0x4490, 0x0108] as const

/** JMPABS excludes these classes; REX2.W has to be 0, and its other bits are ignored ("JMPABS"). */
const JMPABS_LACKS =
  kinds.PREFIX_LOCK | kinds.PREFIX_REP | kinds.PREFIX_REPNE | kinds.PREFIX_OPERAND_SIZE | kinds.PREFIX_ADDRESS_SIZE

/**
 * The decoder's map for an opcode after REX2, or -1. Prefixes and escapes are no opcodes there; PUSHP, POPP and JMPABS are new.
 *
 * @param map - 0 or 1, from the payload's M0
 * @param payload - W is bit 3
 */
export function rex2Map(map: number, opcode: number, payload: number, prefixes: number): number {
  if (map === 0 && opcode === 0xa1) return (prefixes & JMPABS_LACKS) === 0 && (payload & 8) === 0 ? MAP_REX2 : -1
  const row = opcode >> 4
  if ((((map === 0 ? LACKS[0] : LACKS[1]) >> row) & 1) !== 0) return -1
  if (map !== 0) return map
  if (row === 5 && (payload & 8) !== 0) return MAP_REX2
  const byteClass = byteClasses[256 + opcode]
  return byteClass === CLASS_OPCODE || byteClass === CLASS_XOP ? 0 : -1
}
