import { I32, type I64 } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import { S_NMI_BLOCKED } from '../../state/system-state.ts'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import { hasBreakpoints, leaveIf, requireCanonical, requireCode, requireMode } from './flat-segments.ts'
import {
  field,
  requireExecuteMode,
  requireNothingDue,
  segmentAt,
  setFlags,
  setFlatCode,
  supervisorSet,
  useSet,
} from './privilege.ts'
import { attributesOf, dataSegmentSetter, descriptorReader, nullSegmentSetter } from './segment-registers.ts'

/**
 * IRET from privilege level 0 to level 0 or 3, where code is flat and of the current size, and nothing else is due: no
 * event, no trap, no task switch, no virtual-8086 mode. All other cases are in `system/segments/interrupt-return.ts`.
 */

/** RFLAGS that are loaded here; images with others are the handler's. RF is dropped, as no instruction breakpoint is on. */
const LOADED_FLAGS = S.FLAGS_ARITHMETIC | S.FLAG_IF | S.FLAG_DF | S.FLAG_IOPL | S.FLAG_AC | S.FLAG_ID
const DPL = 3 << architecture.ATTR_DPL_SHIFT

/** The values of the frame on the stack, all in one page. */
function readFrame(c: Context, size: number): (i: number) => I64 {
  const { f } = c
  const stack = c.let(size === 8 ? c.gprU(architecture.RSP, 8) : c.gprU(architecture.RSP, 4))
  leaveIf(
    c,
    stack
      .toI32()
      .and(size - 1)
      .ne(0),
  )
  const frame = c.resident(stack, 5 * size)
  return (i) => c.let(f.loadExpression(size === 8 ? 'i64.load' : 'i64.load32_u', frame, i * size))
}

/** Loads SS:RSP, from a data segment of the level that is returned to. */
function loadStack(c: Context, selector: I32, pointer: I64, level: number): void {
  const { f, state } = c
  const segment = state.add(segmentAt(S.SS, 0))
  const load = (): void => {
    const descriptor = c.let(f.call(descriptorReader(c), state, selector) as I64)
    // Its base and its limit may be any.
    const isOther = attributesOf(descriptor)
      .or(architecture.ATTR_G)
      .ne(architecture.FLAT_STACK | (level << architecture.ATTR_DPL_SHIFT))
    leaveIf(c, isOther.or(selector.and(3).ne(level)))
    f.call(dataSegmentSetter(c), segment, selector, descriptor)
  }
  // A 64-bit kernel may have none.
  if (c.form.size === 8 && level === 0) f.if(selector, load, () => f.call(nullSegmentSetter(c), segment, selector))
  else load()
  c.setGpr(architecture.RSP, c.form.size, pointer)
}

/** Data segments that level 3 may not see become null: here those that are null already, whose selectors are cleared. */
function checkDataSegments(c: Context): void {
  for (const segment of [S.ES, S.DS, S.FS, S.GS]) {
    const attributes = c.let(field(c, segmentAt(segment, S.SEG_ATTRIBUTES)))
    leaveIf(c, attributes.and(architecture.ATTR_P).ne(0).and(attributes.and(DPL).ne(DPL)))
  }
}

function clearNullSelectors(c: Context): void {
  const { f, state } = c
  for (const segment of [S.ES, S.DS, S.FS, S.GS]) {
    f.if(field(c, segmentAt(segment, S.SEG_ATTRIBUTES)).and(architecture.ATTR_P).eqz(), () => {
      f.store('i32.store', state, I32.of(0), segmentAt(segment, S.SEG_SELECTOR))
      f.store('i32.store', state, I32.of(0), segmentAt(segment, S.SEG_ATTRIBUTES))
    })
  }
}

function interruptReturn(c: Context): void {
  const { f, state } = c
  const { size } = c.form
  requireMode(c, size)
  const before = field(c, S.S_EFLAGS).and(~(LOADED_FLAGS | architecture.FLAG_FIXED))
  // IRET serialises: its handler serves the requests of other threads.
  leaveIf(c, field(c, S.S_CPL).or(before).or(hasBreakpoints(c)).or(field(c, S.S_ATTENTION)))
  const value = readFrame(c, size)
  const target = value(0)
  const selector = c.let(value(1).toI32().and(0xffff))
  const image = c.let(value(2).toI32())
  requireNothingDue(c, image)
  const level = c.let(selector.and(3))
  leaveIf(
    c,
    image
      .and(~(LOADED_FLAGS | architecture.FLAG_FIXED | S.FLAG_RF))
      .ne(0)
      .or(level.ne(0).and(level.ne(3))),
  )
  requireCode(c, selector, size)
  requireCanonical(c, target, size)
  const set = f.local('i32')
  f.if(
    level,
    () => {
      // An alignment check needs each access to be looked at.
      leaveIf(c, image.and(S.FLAG_AC))
      checkDataSegments(c)
      f.set(set, I32.of(S.TLB_USER))
    },
    () => f.set(set, supervisorSet(c, image)),
  )
  requireExecuteMode(c, set.get)
  const enter = (to: 0 | 3): void => {
    // IRETQ loads SS:RSP whatever the privilege level, others where it changes.
    if (size === 8 || to === 3) {
      loadStack(c, c.let(value(4).toI32().and(0xffff)), value(3), to)
    } else c.setGpr(architecture.RSP, 4, c.gprU(architecture.RSP, 4).add(3 * size))
    setFlatCode(c, to, selector, size === 8 ? architecture.ATTR_L : architecture.ATTR_DB)
    f.store('i32.store', state, I32.of(to), S.S_CPL)
  }
  f.if(
    level,
    () => {
      enter(3)
      clearNullSelectors(c)
    },
    () => enter(0),
  )
  setFlags(c, image.and(LOADED_FLAGS))
  f.store('i32.store', state, I32.of(0), S_NMI_BLOCKED)
  useSet(c, set.get)
  c.jumpLinear(target)
}

const semantics: Semantics = { partial: true, far: true, emit: interruptReturn }

export const interruptReturns: SemanticsTable = { IRETD: semantics, IRETQ: semantics }
