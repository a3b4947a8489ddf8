import { I32, I64 } from '@retrap/wasm-emitter'
import {
  CS,
  FLAGS_ARITHMETIC,
  FLAG_AC,
  FLAG_DF,
  FLAG_IF,
  FLAG_RF,
  FLAG_TF,
  FS,
  GS,
  MODE_64,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_BYTES,
  SEG_CAN_READ,
  SEG_CAN_WRITE,
  SEG_FLAT,
  SEG_HIGH,
  SEG_LIMIT,
  SEG_LOW,
  SEG_RIGHTS,
  SEG_SELECTOR,
  SS,
  S_ACCESS_SET,
  S_CANONICAL_SHIFT,
  S_CPL,
  S_CR4,
  S_EFER,
  S_EFLAGS,
  S_EVENTS,
  S_EXECUTE_MODES,
  S_KERNEL_GS_BASE,
  S_LOGGED,
  S_LSTAR,
  S_MODE,
  S_MONITOR_LINE,
  S_PKRU,
  S_SEGMENTS,
  S_SFMASK,
  S_SHADOW,
  S_STAR,
  S_TLB,
  S_TLB_SETS,
} from '../state-layout.ts'
import {
  ATTR_DB,
  ATTR_DPL_SHIFT,
  ATTR_L,
  CR4_FSGSBASE,
  CR4_PKE,
  CR4_SMAP,
  EFER_SCE,
  FLAG_FIXED,
  FLAT_CODE,
  FLAT_STACK,
  R11,
  RAX,
  RCX,
  RDX,
} from '../system/architecture.ts'
import { S_PENDING_DEBUG, S_PENDING_FAULT } from '../system/system-state.ts'
import { TLB_SET_BYTES } from '../tlb-layout.ts'
import { TLB_SUPERVISOR, TLB_SUPERVISOR_SMAP, TLB_USER } from '../tlb-sets.ts'
import type { Context } from './context.ts'
import type { Semantics, SemanticsTable } from './table.ts'

/**
 * What a 64-bit kernel does each time that it is entered and left, where nothing else is due: no event, no trap, no
 * monitored line, no single step, no fault. All other cases are in `system/syscall.ts`, `system/flags.ts` and
 * `system/protection-keys.ts`.
 */

/** RFLAGS that SYSRET loads here; the handler loads the others. */
const USUAL_FLAGS = FLAGS_ARITHMETIC | FLAG_IF | FLAG_DF

function field(c: Context, offset: number): I32 {
  return c.f.loadExpression('i32.load', c.state, offset)
}

/** Leaves the instruction to its handler outside 64-bit mode, and where a bit of a register is clear. */
function require64(c: Context, register: number, bit: number): void {
  const disabled = field(c, register).and(bit).eqz()
  c.f.if(field(c, S_MODE).ne(MODE_64).or(disabled), () => c.useHandler())
}

/** Leaves the instruction to its handler where its retirement is more than a jump, or a logged pass runs. */
function requireNothingDue(c: Context): void {
  const due = [S_SHADOW, S_PENDING_DEBUG, S_PENDING_FAULT, S_EVENTS, S_LOGGED, S_MONITOR_LINE].map((at) => field(c, at))
  const stepping = field(c, S_EFLAGS).and(FLAG_TF)
  c.f.if(
    due.reduce((all, one) => all.or(one), stepping),
    () => c.useHandler(),
  )
}

/** Leaves the instruction to its handler where a TLB set has been used for code of another mode. */
function requireExecuteMode(c: Context, set: I32): void {
  const mode = c.f.loadExpression('i32.load8_u', c.state.add(set), S_EXECUTE_MODES)
  c.f.if(mode.ne(MODE_64), () => c.useHandler())
}

/** Accesses use another TLB set from the next instruction on. */
function useSet(c: Context, set: I32): void {
  c.f.store('i32.store', c.state, set, S_ACCESS_SET)
  c.f.store('i32.store', c.state, c.state.add(S_TLB_SETS).add(set.mul(TLB_SET_BYTES)), S_TLB)
}

/** The TLB set of a supervisor's accesses, from a flag image. */
function supervisorSet(c: Context, eflags: I32): I32 {
  const checked = field(c, S_CR4).and(CR4_SMAP).ne(0).and(eflags.and(FLAG_AC).eqz())
  return c.let(checked.mul(TLB_SUPERVISOR_SMAP - TLB_SUPERVISOR).add(TLB_SUPERVISOR))
}

/** Loads a segment register with all of 4 GiB from 0. */
function setFlat(c: Context, segment: number, selector: I32, attributes: number, rights: number): void {
  const { f, state } = c
  const at = S_SEGMENTS + SEG_BYTES * segment
  f.store('i64.store', state, I64.of(0), at + SEG_BASE)
  f.store('i32.store', state, I32.of(0), at + SEG_LOW)
  f.store('i32.store', state, I32.of(-1), at + SEG_HIGH)
  f.store('i32.store', state, I32.of(-1), at + SEG_LIMIT)
  f.store('i32.store', state, selector, at + SEG_SELECTOR)
  f.store('i32.store', state, I32.of(attributes), at + SEG_ATTRIBUTES)
  f.store('i32.store', state, I32.of(rights), at + SEG_RIGHTS)
}

/** Loads CS and SS for 64-bit code of a privilege level. */
function enterLevel(c: Context, level: number, code: I32, stack: I32): void {
  const dpl = level << ATTR_DPL_SHIFT
  setFlat(c, CS, code, FLAT_CODE | ATTR_L | dpl, SEG_CAN_READ)
  setFlat(c, SS, stack, FLAT_STACK | dpl, SEG_CAN_READ | SEG_CAN_WRITE | SEG_FLAT)
  c.f.store('i32.store', c.state, I32.of(level), S_CPL)
}

function setFlags(c: Context, image: I32): void {
  c.f.store('i32.store', c.state, image.and(~FLAGS_ARITHMETIC).or(FLAG_FIXED), S_EFLAGS)
  c.flagsExplicit(image.and(FLAGS_ARITHMETIC).toI64U())
}

const syscall: Semantics = {
  partial: true,
  emit: (c) => {
    require64(c, S_EFER, EFER_SCE)
    requireNothingDue(c)
    const { f, state } = c
    const image = c.let(field(c, S_EFLAGS).or(c.allFlags()).or(FLAG_FIXED).and(~FLAG_RF))
    const after = c.let(image.and(field(c, S_SFMASK).xor(-1)))
    const set = supervisorSet(c, after)
    requireExecuteMode(c, set)
    const selector = c.let(f.loadExpression('i32.load16_u', state, S_STAR + 4).and(0xfffc))
    c.setGpr(RCX, 8, c.let(c.nextLinear()))
    c.setGpr(R11, 8, image.toI64U())
    setFlags(c, after)
    enterLevel(c, 0, selector, selector.add(8).and(0xffff))
    useSet(c, set)
    c.jumpLinear(c.let(f.loadExpression('i64.load', state, S_LSTAR)))
  },
}

const sysret: Semantics = {
  partial: true,
  intel: true,
  emit: (c) => {
    require64(c, S_EFER, EFER_SCE)
    requireNothingDue(c)
    const { f, state } = c
    const target = c.let(c.gprU(RCX, 8))
    const shift = c.let(f.loadExpression('i64.load', state, S_CANONICAL_SHIFT))
    const image = c.let(c.gprU(R11, 4).toI32())
    const unusual = image.and(~(USUAL_FLAGS | FLAG_FIXED | FLAG_RF)).or(field(c, S_CPL))
    f.if(unusual.or(target.shl(shift).shrS(shift).ne(target)), () => c.useHandler())
    requireExecuteMode(c, I32.of(TLB_USER))
    const base = c.let(f.loadExpression('i32.load16_u', state, S_STAR + 6))
    setFlags(c, image.and(USUAL_FLAGS))
    enterLevel(c, 3, base.add(16).or(3).and(0xffff), base.add(8).or(3).and(0xffff))
    useSet(c, I32.of(TLB_USER))
    c.jumpLinear(target)
  },
}

/** CLAC and STAC. */
function changeAc(c: Context, on: boolean): void {
  require64(c, S_EFLAGS, FLAG_FIXED)
  const { f, state } = c
  f.if(field(c, S_CPL).or(field(c, S_LOGGED)).or(field(c, S_MONITOR_LINE)), () => c.useHandler())
  const flags = field(c, S_EFLAGS)
  const changed = c.let(on ? flags.or(FLAG_AC) : flags.and(~FLAG_AC))
  const set = supervisorSet(c, changed)
  requireExecuteMode(c, set)
  f.store('i32.store', state, changed, S_EFLAGS)
  useSet(c, set)
  c.jumpLinear(c.let(c.nextLinear()))
}

/** Sets the base of FS or GS, and notes whether the segment is flat with it. */
function setBase(c: Context, segment: number, base: I64): void {
  const { f, state } = c
  const at = S_SEGMENTS + SEG_BYTES * segment
  f.store('i64.store', state, base, at + SEG_BASE)
  const both = SEG_CAN_READ | SEG_CAN_WRITE
  f.if(
    field(c, at + SEG_RIGHTS)
      .and(both)
      .eq(both),
    () => {
      const whole = field(c, at + SEG_LOW)
        .eqz()
        .and(field(c, at + SEG_HIGH).eq(-1))
        .and(
          field(c, at + SEG_ATTRIBUTES)
            .and(ATTR_DB)
            .ne(0),
        )
      f.store('i32.store', state, whole.and(base.eqz()).mul(SEG_FLAT).or(both), at + SEG_RIGHTS)
    },
  )
}

const swapgs: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    const { f, state } = c
    f.if(field(c, S_MODE).ne(MODE_64).or(field(c, S_CPL)), () => c.useHandler())
    const current = c.let(c.segmentBase(GS))
    const kept = c.let(f.loadExpression('i64.load', state, S_KERNEL_GS_BASE))
    setBase(c, GS, kept)
    f.store('i64.store', state, current, S_KERNEL_GS_BASE)
  },
}

function readBase(segment: number): Semantics {
  return {
    partial: true,
    compiled: true,
    emit: (c) => {
      require64(c, S_CR4, CR4_FSGSBASE)
      c.write(0, c.segmentBase(segment))
    },
  }
}

function writeBase(segment: number): Semantics {
  return {
    partial: true,
    compiled: true,
    emit: (c) => {
      require64(c, S_CR4, CR4_FSGSBASE)
      const base = c.let(c.readU(0))
      c.f.if(base.shl(16).shrS(16).ne(base), () => c.useHandler())
      setBase(c, segment, base)
    },
  }
}

const readKeyRights: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    c.f.if(field(c, S_CR4).and(CR4_PKE).eqz().or(c.gprU(RCX, 4).ne(0)), () => c.useHandler())
    c.setGpr(RAX, 4, c.f.loadExpression('i64.load32_u', c.state, S_PKRU))
    c.setGpr(RDX, 4, I64.of(0))
  },
}

export const kernelEntry: SemanticsTable = {
  SYSCALL: syscall,
  SYSRETQ: sysret,
  CLAC: { partial: true, emit: (c) => changeAc(c, false) },
  STAC: { partial: true, emit: (c) => changeAc(c, true) },
  SWAPGS: swapgs,
  RDFSBASE: readBase(FS),
  RDGSBASE: readBase(GS),
  WRFSBASE: writeBase(FS),
  WRGSBASE: writeBase(GS),
  RDPKRU: readKeyRights,
}
