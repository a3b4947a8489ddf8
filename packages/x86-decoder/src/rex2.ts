/**
 * Which opcodes REX2 goes with.
 *
 * Source: Intel APX Architecture Specification, "REX2 Prefix".
 */
import { byteClasses, CLASS_OPCODE, CLASS_XOP } from './byte-classes.ts'
import * as kinds from './kinds.ts'
import { MAP_REX2 } from './tree.ts'

/** By map, bit n: the row of opcodes n0 to nF is not there. INC to Jcc, strings, I/O; WRMSR's row, near Jcc. */
const LACKS = [0x4490, 0x0108] as const

/** JMPABS takes none of these. */
const JMPABS_LACKS =
  kinds.PREFIX_LOCK | kinds.PREFIX_REP | kinds.PREFIX_REPNE | kinds.PREFIX_OPERAND_SIZE | kinds.PREFIX_ADDRESS_SIZE

/**
 * The decoder's map for an opcode after REX2, or -1. Prefixes and escapes are no opcodes there; PUSHP, POPP and JMPABS are new.
 *
 * @param map - 0 or 1, from the payload's M0
 * @param payload - W is bit 3
 */
export function rex2Map(map: number, opcode: number, payload: number, prefixes: number): number {
  if (map === 0 && opcode === 0xa1) return (prefixes & JMPABS_LACKS) === 0 ? MAP_REX2 : -1
  const row = opcode >> 4
  if ((((map === 0 ? LACKS[0] : LACKS[1]) >> row) & 1) !== 0) return -1
  if (map !== 0) return map
  if (row === 5 && (payload & 8) !== 0) return MAP_REX2
  const byteClass = byteClasses[256 + opcode]
  return byteClass === CLASS_OPCODE || byteClass === CLASS_XOP ? 0 : -1
}
