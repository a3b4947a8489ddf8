import { PAGE_BYTES } from '@retrap/memory'
import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import { ATTR_DPL_SHIFT, CR4_SMAP, FLAG_FIXED, FLAT_CODE, FLAT_STACK } from '../../state/architecture.ts'
import { S_PENDING_DEBUG, S_PENDING_FAULT } from '../../state/system-state.ts'
import type { Context } from '../context.ts'

/**
 * The common part of the usual cases of system instructions: their conditions, and the change of the privilege level. Where
 * something else holds, the instruction is left to its handler.
 */

/** A 32-bit field of the state. */
export function field(c: Context, offset: number): I32 {
  return c.f.loadExpression('i32.load', c.state, offset)
}

/** State offset of a part of a segment register. */
export function segmentAt(segment: number, part: number): number {
  return S.S_SEGMENTS + S.SEG_BYTES * segment + part
}

/**
 * Leaves the instruction to its handler where its retirement is more than a jump, or a logged pass runs.
 *
 * @param flags - RFLAGS after the instruction, by which an interrupt that waits may be taken
 */
export function requireNothingDue(c: Context, flags: I32): void {
  const due = [S.S_SHADOW, S_PENDING_DEBUG, S_PENDING_FAULT, S.S_LOGGED, S.S_MONITOR_LINE].map((at) => field(c, at))
  const events = c.let(field(c, S.S_EVENTS))
  const admitted = flags.and(S.FLAG_IF).ne(0).and(events)
  const stepping = field(c, S.S_EFLAGS).and(S.FLAG_TF)
  c.f.if(
    due.reduce((all, one) => all.or(one), stepping.or(events.and(~S.EVENT_INTERRUPT)).or(admitted)),
    () => c.useHandler(),
  )
}

/** Leaves the instruction to its handler where a TLB set has been used for code of another mode than the current one. */
export function requireExecuteMode(c: Context, set: I32): void {
  const mode = c.f.loadExpression('i32.load8_u', c.state.add(set), S.S_EXECUTE_MODES)
  c.f.if(mode.ne(field(c, S.S_MODE)), () => c.useHandler())
}

/** Has accesses use another TLB set from the next instruction on. */
export function useSet(c: Context, set: I32): void {
  c.f.store('i32.store', c.state, set, S.S_ACCESS_SET)
  c.f.store('i32.store', c.state, setAddress(c, set), S.S_TLB)
}

/**
 * Machine address of bytes that an implicit access of the supervisor reaches: SMAP applies to it whatever RFLAGS.AC says.
 *
 * @param at - linear address, in a local
 * @param table - TLB_READ or TLB_WRITE_OFFSET
 * @param otherwise - leaves where the TLB does not have all of them in one page
 */
export function implicitAddress(
  f: FunctionBuilder,
  state: I32,
  at: I64,
  bytes: number,
  table: number,
  otherwise: () => void,
): I32 {
  const hasSmap = f.loadExpression('i32.load', state, S.S_CR4).and(CR4_SMAP)
  const set = select(hasSmap.eqz(), I32.of(S.TLB_SUPERVISOR), I32.of(S.TLB_SUPERVISOR_SMAP))
  const sets = f.loadExpression('i32.load', state, S.S_TLB_BASE).add(set.mul(S.TLB_SET_BYTES))
  const entry = f.let(sets.add(at.toI32().shrU(8).and(S.TLB_INDEX_MASK)))
  const distance = f.let(at.sub(f.loadExpression('i64.load', entry, table)))
  f.if(distance.gtU(PAGE_BYTES - bytes), otherwise)
  return f.loadExpression('i32.load', entry, table + 8).add(distance.toI32())
}

/** Machine address of a TLB set. */
function setAddress(c: Context, set: I32): I32 {
  return field(c, S.S_TLB_BASE).add(set.mul(S.TLB_SET_BYTES))
}

/** The TLB set of a supervisor's accesses, from a flag image. */
export function supervisorSet(c: Context, eflags: I32): I32 {
  const checked = field(c, S.S_CR4).and(CR4_SMAP).ne(0).and(eflags.and(S.FLAG_AC).eqz())
  return c.let(checked.mul(S.TLB_SUPERVISOR_SMAP - S.TLB_SUPERVISOR).add(S.TLB_SUPERVISOR))
}

/** Loads a segment register with all of 4 GiB from 0. */
function setFlat(c: Context, segment: number, selector: I32, attributes: number, rights: number): void {
  const { f, state } = c
  const at = segmentAt(segment, 0)
  f.store('i64.store', state, I64.of(0), at + S.SEG_BASE)
  f.store('i32.store', state, I32.of(0), at + S.SEG_LOW)
  f.store('i32.store', state, I32.of(-1), at + S.SEG_HIGH)
  f.store('i32.store', state, I32.of(-1), at + S.SEG_LIMIT)
  f.store('i32.store', state, selector, at + S.SEG_SELECTOR)
  f.store('i32.store', state, I32.of(attributes), at + S.SEG_ATTRIBUTES)
  f.store('i32.store', state, I32.of(rights), at + S.SEG_RIGHTS)
}

/** Loads CS for code of a privilege level. @param size - ATTR_L or ATTR_DB */
export function setFlatCode(c: Context, level: number, selector: I32, size: number): void {
  setFlat(c, S.CS, selector, FLAT_CODE | size | (level << ATTR_DPL_SHIFT), S.SEG_CAN_READ)
}

/** Loads CS and SS for code of a privilege level. @param size - ATTR_L or ATTR_DB of CS */
export function enterLevel(c: Context, level: number, code: I32, stack: I32, size: number): void {
  setFlatCode(c, level, code, size)
  const rights = S.SEG_CAN_READ | S.SEG_CAN_WRITE | S.SEG_FLAT
  setFlat(c, S.SS, stack, FLAT_STACK | (level << ATTR_DPL_SHIFT), rights)
  c.f.store('i32.store', c.state, I32.of(level), S.S_CPL)
}

/** Sets RFLAGS. */
export function setFlags(c: Context, image: I32): void {
  c.f.store('i32.store', c.state, image.and(~S.FLAGS_ARITHMETIC).or(FLAG_FIXED), S.S_EFLAGS)
  c.flagsExplicit(image.and(S.FLAGS_ARITHMETIC).toI64U())
}
