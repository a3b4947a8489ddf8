import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { R_REG0, R_REG1 } from '../../state/record.ts'
import * as S from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import type { Context, Semantics } from '../context.ts'
import { loadStack, storeStack } from '../control.ts'
import type { Form } from '../../state/form.ts'
import { field, implicitAddress, segmentAt } from './privilege.ts'

/**
 * MOV, PUSH and POP with segment registers and MOV from control registers, in the usual cases: writable data segments of
 * the GDT that have been marked as accessed, null selectors, segments of real mode, a flat stack. All others, SS among
 * them, are in `system/segments/segment-instructions.ts` and `system/control-registers.ts`.
 */

/** The bits of a descriptor's attributes that are looked at, and their values for a data segment. */
const DATA_MASK =
  architecture.ATTR_P |
  architecture.ATTR_S |
  architecture.TYPE_CODE |
  architecture.TYPE_EXPAND_DOWN |
  architecture.TYPE_WRITABLE |
  architecture.TYPE_ACCESSED
const DATA = architecture.ATTR_P | architecture.ATTR_S | architecture.TYPE_WRITABLE | architecture.TYPE_ACCESSED

type I64Function = FunctionBuilder & { readonly signature: { readonly result: 'i64' } }
type I32Function = FunctionBuilder & { readonly signature: { readonly result: 'i32' } }

/** SEG_ATTRIBUTES of a descriptor. */
export function attributesOf(descriptor: I64): I32 {
  return descriptor.shrU(40).toI32().and(0xf0ff)
}

/**
 * `(state, selector) → descriptor` from the GDT; 0, which is never present, where the table ends before it or its page is
 * not in the TLB.
 */
export function descriptorReader(c: Context): I64Function {
  return c.shared('readDescriptor', ['i32', 'i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const selector = f.param(1, 'i32').get
    const word = (offset: number): I32 => f.loadExpression('i32.load', state, offset)
    f.if(selector.and(4).or(selector.or(7).gtU(word(segmentAt(S.GDTR, S.SEG_LIMIT)))), () => f.return(I64.of(0)))
    const base = f.loadExpression('i64.load', state, segmentAt(S.GDTR, S.SEG_BASE))
    const at = f.let(base.add(selector.and(0xfff8).toI64U()))
    f.return(
      f.loadExpression(
        'i64.load',
        implicitAddress(f, state, at, 8, S.TLB_READ, () => f.return(I64.of(0))),
      ),
    )
  })
}

/** `(address of a segment register, selector, descriptor)`: loads a writable data segment that does not expand down. */
export function dataSegmentSetter(c: Context): FunctionBuilder {
  return c.shared('setDataSegment', ['i32', 'i32', 'i64'], undefined, (f) => {
    const at = f.param(0, 'i32').get
    const descriptor = f.param(2, 'i64').get
    const low = f.let(descriptor.toI32())
    const high = f.let(descriptor.shrU(32).toI32())
    const attributes = f.let(attributesOf(descriptor))
    const base = f.let(low.shrU(16).or(high.and(0xff).shl(16)).or(high.and(0xff00_0000)))
    const raw = f.let(low.and(0xffff).or(high.and(0xf_0000)))
    const limit = f.let(select(attributes.and(architecture.ATTR_G).eqz(), raw, raw.shl(12).or(0xfff)))
    const isFlat = attributes.and(architecture.ATTR_DB).ne(0).and(limit.eq(-1)).and(base.eqz())
    f.store('i64.store', at, base.toI64U(), S.SEG_BASE)
    f.store('i32.store', at, I32.of(0), S.SEG_LOW)
    f.store('i32.store', at, limit, S.SEG_HIGH)
    f.store('i32.store', at, limit, S.SEG_LIMIT)
    f.store('i32.store', at, f.param(1, 'i32').get, S.SEG_SELECTOR)
    f.store('i32.store', at, attributes, S.SEG_ATTRIBUTES)
    f.store('i32.store', at, isFlat.mul(S.SEG_FLAT).or(S.SEG_CAN_READ | S.SEG_CAN_WRITE), S.SEG_RIGHTS)
  })
}

/** `(address of a segment register, selector)`: loads a null selector of RPL 0, or for another register than SS. */
export function nullSegmentSetter(c: Context): FunctionBuilder {
  return c.shared('setNullSegment', ['i32', 'i32'], undefined, (f) => {
    const at = f.param(0, 'i32').get
    f.store('i64.store', at, I64.of(0), S.SEG_BASE)
    f.store('i32.store', at, I32.of(1), S.SEG_LOW)
    f.store('i32.store', at, I32.of(0), S.SEG_HIGH)
    f.store('i32.store', at, I32.of(0), S.SEG_LIMIT)
    f.store('i32.store', at, f.param(1, 'i32').get, S.SEG_SELECTOR)
    f.store('i32.store', at, I32.of(0), S.SEG_ATTRIBUTES)
    f.store('i32.store', at, I32.of(0), S.SEG_RIGHTS)
  })
}

/** `(state, address of a segment register, selector) → 1` if the segment has been loaded, 0 if nothing has changed. */
function segmentLoader(c: Context): I32Function {
  return c.shared('loadDataSegment', ['i32', 'i32', 'i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const at = f.param(1, 'i32').get
    const selector = f.param(2, 'i32').get
    f.if(f.loadExpression('i32.load', state, S.S_CR0).and(architecture.CR0_PE).eqz(), () => {
      const attributes = f.loadExpression('i32.load', at, S.SEG_ATTRIBUTES)
      f.if(attributes.and(architecture.ATTR_P).eqz(), () => f.return(I32.of(0)))
      // The required kind of access, and the segment's length, stay.
      f.store('i64.store', at, selector.shl(4).toI64U(), S.SEG_BASE)
      f.store('i32.store', at, selector, S.SEG_SELECTOR)
      f.store('i32.store', at, I32.of(S.SEG_CAN_READ | S.SEG_CAN_WRITE), S.SEG_RIGHTS)
      f.return(I32.of(1))
    })
    f.if(selector.ltU(4), () => {
      f.call(nullSegmentSetter(c), at, selector)
      f.return(I32.of(1))
    })
    const descriptor = f.let(f.call(descriptorReader(c), state, selector) as I64)
    const attributes = f.let(attributesOf(descriptor))
    const level = f.let(attributes.shrU(architecture.ATTR_DPL_SHIFT).and(3))
    const hidden = selector
      .and(3)
      .gtU(level)
      .or(f.loadExpression('i32.load', state, S.S_CPL).gtU(level))
    f.if(attributes.and(DATA_MASK).ne(DATA).or(hidden), () => f.return(I32.of(0)))
    f.call(dataSegmentSetter(c), at, selector, descriptor)
    f.return(I32.of(1))
  })
}

/** Loads the segment register that operand 0 names, or leaves that to the handler. */
function load(c: Context, selector: I32): void {
  const done = c.f.call(segmentLoader(c), c.state, c.registerAddress(0), selector) as I32
  c.f.if(done.eqz(), () => c.useHandler())
}

/** Leaves instructions that are executed alone or in logged passes to the handler. */
function requireFree(c: Context): void {
  c.f.if(field(c, S.S_LOGGED), () => c.useHandler())
}

/** The same, and loads in virtual-8086 mode and those of SS. */
function requireLoad(c: Context): void {
  const { f } = c
  requireFree(c)
  const register = f.loadExpression('i32.load16_u', c.record, R_REG0)
  const isCodeOrStack = register.eq(segmentAt(S.SS, 0)).or(register.eq(segmentAt(S.CS, 0)))
  f.if(isCodeOrStack.or(field(c, S.S_EFLAGS).and(S.FLAG_VM)), () => c.useHandler())
}

/** The linear address that the stack pointer names, moved by some bytes; other stacks than flat ones are the handler's. */
function stackAt(c: Context, distance: number): I64 {
  if (c.form.long) return c.let(c.gprU(architecture.RSP, 8).add(distance))
  const rights = c.f.loadExpression('i32.load8_u', c.state, segmentAt(S.SS, S.SEG_RIGHTS))
  c.f.if(rights.and(S.SEG_FLAT).eqz(), () => c.useHandler())
  return c.let(c.gprU(architecture.RSP, 4).add(distance).and(0xffff_ffffn))
}

function setStackPointer(c: Context, value: I64): void {
  c.setGpr(architecture.RSP, c.form.long ? 8 : 4, value)
}

/** Bytes of a selector on the stack: a push of 32 bits writes half of them, and a pop reads as many. */
function selectorBytes({ size }: Form): number {
  return size === 4 ? 2 : size
}

function selectorOf(c: Context, i: number): I64 {
  return c.f.loadExpression('i64.load32_u', c.registerAddress(i), S.SEG_SELECTOR)
}

const moveToSegment: Semantics = {
  partial: true,
  compiled: true,
  intel: true,
  emit: (c) => {
    requireLoad(c)
    load(c, c.let(c.readU(1).toI32().and(0xffff)))
    c.segmentLoaded()
  },
}

const moveFromSegment: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    requireFree(c)
    c.write(0, selectorOf(c, 1))
  },
}

const push: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    requireFree(c)
    const at = stackAt(c, -c.form.size)
    storeStack(c, at, selectorBytes(c.form), c.let(selectorOf(c, 0)))
    setStackPointer(c, at)
  },
}

const pop: Semantics = {
  partial: true,
  compiled: true,
  intel: true,
  emit: (c) => {
    requireLoad(c)
    const at = stackAt(c, 0)
    load(c, c.let(loadStack(c, at, selectorBytes(c.form)).toI32().and(0xffff)))
    setStackPointer(c, at.add(c.form.size))
    c.segmentLoaded()
  },
}

const moveFromControl: Semantics = {
  partial: true,
  compiled: true,
  emit: (c) => {
    requireFree(c)
    const { f } = c
    const register = f.loadExpression('i32.load16_u', c.record, R_REG1)
    const isOther = register.eq(S.S_CR8).or(register.geU(S.S_DR))
    f.if(isOther.or(field(c, S.S_CPL)), () => c.useHandler())
    c.write(0, f.loadExpression('i64.load', c.registerAddress(1)))
  },
}

/** Returns the executor of a form that has a segment, control or debug register as an operand; undefined: its handler. */
export function systemRegisterSemantics({ mnemonic, operands }: Form): Semantics | undefined {
  const [first, second] = operands
  if (mnemonic === 'PUSH') return push
  if (mnemonic === 'POP') return pop
  // Segment registers have 2 bytes, control and debug registers more.
  if (first?.kind === 'system') return first.size === 2 ? moveToSegment : undefined
  return second?.size === 2 ? moveFromSegment : moveFromControl
}
