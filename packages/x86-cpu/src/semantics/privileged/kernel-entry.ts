import { I32, I64, select } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import { leaveIf, requireCanonical, requireFlat32 } from './flat-segments.ts'
import {
  enterLevel,
  field,
  requireExecuteMode,
  requireNothingDue,
  segmentAt,
  setFlags,
  supervisorSet,
  useSet,
} from './privilege.ts'

/**
 * The usual entry and exit of a kernel, where nothing else is due: no event, no trap, no monitored line, no single step, no
 * fault. All other cases are in `system/segments/syscall.ts`, `system/flags.ts` and `system/protection-keys.ts`.
 */

/** RFLAGS that SYSRET loads here; the handler loads the others. */
const USUAL_FLAGS = S.FLAGS_ARITHMETIC | S.FLAG_IF | S.FLAG_DF

/** Leaves the instruction to its handler outside 64-bit mode, and where a bit of a register is clear. */
function require64(c: Context, register: number, bit: number): void {
  const disabled = field(c, register).and(bit).eqz()
  c.f.if(field(c, S.S_MODE).ne(S.MODE_64).or(disabled), () => c.useHandler())
}

const syscall: Semantics = {
  partial: true,
  far: true,
  emit: (c) => {
    require64(c, S.S_EFER, architecture.EFER_SCE)
    const { f, state } = c
    const image = c.let(field(c, S.S_EFLAGS).or(c.allFlags()).or(architecture.FLAG_FIXED).and(~S.FLAG_RF))
    const after = c.let(image.and(field(c, S.S_SFMASK).xor(-1)))
    requireNothingDue(c, after)
    const set = supervisorSet(c, after)
    requireExecuteMode(c, set)
    const selector = c.let(f.loadExpression('i32.load16_u', state, S.S_STAR + 4).and(0xfffc))
    c.setGpr(architecture.RCX, 8, c.let(c.nextLinear()))
    c.setGpr(architecture.R11, 8, image.toI64U())
    setFlags(c, after)
    enterLevel(c, 0, selector, selector.add(8).and(0xffff), architecture.ATTR_L)
    useSet(c, set)
    c.jumpLinear(c.let(f.loadExpression('i64.load', state, S.S_LSTAR)))
  },
}

const sysret: Semantics = {
  partial: true,
  far: true,
  emit: (c) => {
    require64(c, S.S_EFER, architecture.EFER_SCE)
    const { f, state } = c
    const amd = c.let(field(c, S.S_AMD))
    // AMD's processors load the selector of SS and nothing else of it: here where all else is as Intel's have it.
    f.if(amd, () => leaveIf(c, isStackFlat(c).eqz()))
    const target = c.let(c.gprU(architecture.RCX, 8))
    const image = c.let(c.gprU(architecture.R11, 4).toI32())
    requireNothingDue(c, image)
    const unusual = image.and(~(USUAL_FLAGS | architecture.FLAG_FIXED | S.FLAG_RF)).or(field(c, S.S_CPL))
    leaveIf(c, unusual)
    requireCanonical(c, target, 8)
    requireExecuteMode(c, I32.of(S.TLB_USER))
    const base = c.let(f.loadExpression('i32.load16_u', state, S.S_STAR + 6))
    setFlags(c, image.and(USUAL_FLAGS))
    const stack = base.add(8).or(select(amd, I32.of(0), I32.of(3)))
    enterLevel(c, 3, base.add(16).or(3).and(0xffff), stack.and(0xffff), architecture.ATTR_L)
    useSet(c, I32.of(S.TLB_USER))
    c.jumpLinear(target)
  },
}

/** Whether SS has all of 4 GiB from 0, whatever its privilege level. */
function isStackFlat(c: Context): I32 {
  const part = (offset: number): I32 => field(c, segmentAt(S.SS, offset))
  const isUsual = part(S.SEG_ATTRIBUTES)
    .and(~(3 << architecture.ATTR_DPL_SHIFT))
    .eq(architecture.FLAT_STACK)
  const base = c.f.loadExpression('i64.load', c.state, segmentAt(S.SS, S.SEG_BASE))
  return isUsual.and(base.eqz()).and(part(S.SEG_LIMIT).eq(-1)).and(part(S.SEG_RIGHTS).and(S.SEG_FLAT).ne(0))
}

/**
 * Leaves SYSENTER and SYSEXIT to their handlers outside 32-bit protected mode and where they are off. CS is flat before
 * and after, so that no execute entry of the TLB goes.
 *
 * @returns IA32_SYSENTER_CS without its RPL
 */
function requireSysenter(c: Context): I32 {
  const selector = c.let(field(c, S.S_SYSENTER_CS).and(0xfffc))
  requireFlat32(c)
  leaveIf(c, selector.eqz())
  return selector
}

const sysenter: Semantics = {
  partial: true,
  far: true,
  emit: (c) => {
    const { f, state } = c
    const selector = requireSysenter(c)
    const flags = c.let(field(c, S.S_EFLAGS).and(~(S.FLAG_VM | S.FLAG_IF | S.FLAG_RF)))
    requireNothingDue(c, flags)
    const set = supervisorSet(c, flags)
    requireExecuteMode(c, set)
    f.store('i32.store', state, flags, S.S_EFLAGS)
    enterLevel(c, 0, selector, selector.add(8).and(0xffff), architecture.ATTR_DB)
    useSet(c, set)
    c.setGpr(architecture.RSP, 4, f.loadExpression('i64.load32_u', state, S.S_SYSENTER_ESP))
    c.jumpLinear(c.let(f.loadExpression('i64.load32_u', state, S.S_SYSENTER_EIP)))
  },
}

const sysexit: Semantics = {
  partial: true,
  far: true,
  emit: (c) => {
    const selector = requireSysenter(c)
    requireNothingDue(c, field(c, S.S_EFLAGS))
    c.f.if(field(c, S.S_CPL).or(field(c, S.S_EFLAGS).and(S.FLAG_AC)), () => c.useHandler())
    requireExecuteMode(c, I32.of(S.TLB_USER))
    const target = c.let(c.gprU(architecture.RDX, 4))
    enterLevel(c, 3, selector.add(16).or(3).and(0xffff), selector.add(24).or(3).and(0xffff), architecture.ATTR_DB)
    useSet(c, I32.of(S.TLB_USER))
    c.setGpr(architecture.RSP, 4, c.gprU(architecture.RCX, 4))
    c.jumpLinear(target)
  },
}

/** CLAC and STAC. */
function changeAc(c: Context, on: boolean): void {
  const { f, state } = c
  f.if(field(c, S.S_CPL).or(field(c, S.S_LOGGED)).or(field(c, S.S_MONITOR_LINE)), () => c.useHandler())
  const flags = field(c, S.S_EFLAGS)
  const changed = c.let(on ? flags.or(S.FLAG_AC) : flags.and(~S.FLAG_AC))
  const set = supervisorSet(c, changed)
  requireExecuteMode(c, set)
  f.store('i32.store', state, changed, S.S_EFLAGS)
  useSet(c, set)
  c.goOnInSet()
}

/** Sets the base of FS or GS, and notes whether the segment is flat with it. */
function setBase(c: Context, segment: number, base: I64): void {
  const { f, state } = c
  const at = segmentAt(segment, 0)
  f.store('i64.store', state, base, at + S.SEG_BASE)
  const both = S.SEG_CAN_READ | S.SEG_CAN_WRITE
  f.if(
    field(c, at + S.SEG_RIGHTS)
      .and(both)
      .eq(both),
    () => {
      const whole = field(c, at + S.SEG_LOW)
        .eqz()
        .and(field(c, at + S.SEG_HIGH).eq(-1))
        .and(
          field(c, at + S.SEG_ATTRIBUTES)
            .and(architecture.ATTR_DB)
            .ne(0),
        )
      f.store('i32.store', state, whole.and(base.eqz()).mul(S.SEG_FLAT).or(both), at + S.SEG_RIGHTS)
    },
  )
}

const swapgs: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    const { f, state } = c
    f.if(field(c, S.S_MODE).ne(S.MODE_64).or(field(c, S.S_CPL)), () => c.useHandler())
    const current = c.let(c.segmentBase(S.GS))
    const kept = c.let(f.loadExpression('i64.load', state, S.S_KERNEL_GS_BASE))
    setBase(c, S.GS, kept)
    f.store('i64.store', state, current, S.S_KERNEL_GS_BASE)
  },
}

function readBase(segment: number): Semantics {
  return {
    partial: true,
    compiled: true,
    emit: (c) => {
      require64(c, S.S_CR4, architecture.CR4_FSGSBASE)
      c.write(0, c.segmentBase(segment))
    },
  }
}

function writeBase(segment: number): Semantics {
  return {
    partial: true,
    compiled: true,
    emit: (c) => {
      require64(c, S.S_CR4, architecture.CR4_FSGSBASE)
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
    c.f.if(field(c, S.S_CR4).and(architecture.CR4_PKE).eqz().or(c.gprU(architecture.RCX, 4).ne(0)), () =>
      c.useHandler(),
    )
    c.setGpr(architecture.RAX, 4, c.f.loadExpression('i64.load32_u', c.state, S.S_PKRU))
    c.setGpr(architecture.RDX, 4, I64.of(0))
  },
}

export const kernelEntry: SemanticsTable = {
  SYSCALL: syscall,
  SYSRETQ: sysret,
  SYSENTER: sysenter,
  SYSEXIT: sysexit,
  CLAC: { partial: true, compiled: true, emit: (c) => changeAc(c, false) },
  STAC: { partial: true, compiled: true, emit: (c) => changeAc(c, true) },
  SWAPGS: swapgs,
  RDFSBASE: readBase(S.FS),
  RDGSBASE: readBase(S.GS),
  WRFSBASE: writeBase(S.FS),
  WRGSBASE: writeBase(S.GS),
  RDPKRU: readKeyRights,
}
