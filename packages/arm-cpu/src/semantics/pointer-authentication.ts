import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { ArmContext } from './context.ts'
import { fieldOf, valueOf } from '../state/form.ts'
import { branchKind, branchTypeOf, landingsOf } from '../system/branch-types.ts'
import { KEYS, type KeyName } from '../state/saved-state.ts'
import { R_M, R_N } from '../state/record.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import * as S from '../state/state-layout.ts'
import { branchIndirect } from './indirect-branches.ts'
import { buildQarma5 } from './qarma.ts'

/**
 * Pointer authentication.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "AddPAC", "Auth" and "Strip". FEAT_PAuth alone: a pointer that fails is
 * marked, and faults where it is used.
 */

/** 2^64 divided by the golden ratio, whose multiples are spread evenly. */
const GOLDEN: bigint = BigInt.asIntN(64, 0x9e37_79b9_7f4a_7c15n)

/** Offset of the result in an entry of S_SIGNATURES. */
const RESULT = 32

/** Receiver of code that computes with pointers: an instruction's, or a shared function's. */
type Place = Pick<ArmContext, 'f' | 'state' | 'library'>

/** QARMA5 as a function of the module: data, modifier, the state, and the place of the key in it. */
function cipher({ f, state, library }: Place, data: I64, modifier: I64, key: KeyName): I64 {
  const callee = library.function('qarma5', ['i64', 'i64', 'i32', 'i32'], 'i64', remembered)
  return f.call(callee, data, modifier, state, I32.of(S.S_KEYS + 16 * KEYS.indexOf(key)))
}

/** A return address is signed and authenticated soon after, often repeatedly: results are cached. */
function remembered(f: FunctionBuilder, data: I64, modifier: I64, state: I32, key: I32): I64 {
  const place = state.add(key)
  const high = f.load('i64.load', place, 8)
  const low = f.load('i64.load', place)
  // The upper bits of a product by the golden ratio: calls of one function from many places and depths are told apart.
  const hash = data.add(modifier.mul(GOLDEN)).xor(low).mul(GOLDEN)
  const index = hash.shrU(64 - Math.log2(S.SIGNATURES)).toI32()
  const entry = f.let(state.add(index.mul(S.SIGNATURE_BYTES)))
  const differs = (value: I64, field: number): I64 =>
    f.loadExpression('i64.load', entry, S.S_SIGNATURES + field).xor(value)
  const difference = differs(data, 0).or(differs(modifier, 8)).or(differs(high, 16)).or(differs(low, 24))
  const known = f.load('i64.load', entry, S.S_SIGNATURES + RESULT)
  return f.ifElse(
    'i64',
    difference.eqz().and(known.eqz().eqz()),
    () => known,
    () => {
      const result = f.let(buildQarma5(f, data, modifier, high, low))
      for (const [i, value] of [data, modifier, high, low, result].entries()) {
        f.store('i64.store', entry, value, S.S_SIGNATURES + 8 * i)
      }
      return result
    },
  )
}

/** Layout of a pointer. */
interface Pointer {
  /** Bits of the address. */
  readonly address: I64
  /** Bits that hold the code. */
  readonly code: I64
  /** The upper byte is a tag: 0 or 1. */
  readonly tagged: I32
}

const bit55 = (pointer: I64): I32 => pointer.shrU(55).toI32().and(1)

/**
 * The layout of a pointer.
 *
 * @param upper - 1 for a pointer of the upper range, whose addresses may have another size
 */
function layoutOf(f: FunctionBuilder, state: I32, pointer: I64, data: boolean, upper: I32): Pointer {
  const described = (half: I32): I32 => f.loadExpression('i32.load', state, S.S_POINTERS).shrU(half.shl(3))
  const tagged = f.let(
    described(bit55(pointer))
      .shrU(data ? S.POINTER_TAGGED : S.POINTER_TAGGED + 1)
      .and(1),
  )
  const address = f.let(I64.of(1).shl(described(upper).and(0x3f).toI64U()).sub(1))
  const beyond = select(tagged, I64.of(0x007f_ffff_ffff_ffffn), I64.of(0xff7f_ffff_ffff_ffffn))
  return { address, code: f.let(beyond.and(address.xor(-1))), tagged }
}

/** The pointer without a code: bits of the code and bit 55 are all one. */
function plain(pointer: I64, { address, tagged }: Pointer, one: I32): I64 {
  const upper = select(tagged, I64.of(0x00ff_ffff_ffff_ffffn), I64.of(-1)).and(address.xor(-1))
  return select(one, pointer.or(upper), pointer.and(upper.xor(-1)))
}

/** Bit 55, of a range where tags are in use; otherwise bit 63. */
function rangeOf(f: FunctionBuilder, state: I32, pointer: I64, data: boolean): I32 {
  const tagBits = data ? 0x0101 << S.POINTER_TAGGED : 0x0101 << (S.POINTER_TAGGED + 1)
  const anyTagged = f.loadExpression('i32.load', state, S.S_POINTERS).and(tagBits)
  return f.let(select(anyTagged, pointer.shrU(55), pointer.shrU(63)).toI32().and(1))
}

/** Adds an authentication code to a pointer. */
function signed(c: Place, pointer: I64, modifier: I64, key: KeyName): I64 {
  const { f, state } = c
  const data = key.startsWith('D')
  const one = rangeOf(f, state, pointer, data)
  const layout = layoutOf(f, state, pointer, data, one)
  const code = f.let(cipher(c, plain(pointer, layout, one), modifier, key))
  // A pointer without a sign or zero extension gets an invalid code: its topmost bit but one is inverted.
  const extension = f.let(layout.code.or(1n << 55n))
  const present = f.let(pointer.and(extension))
  const isSound = present.eqz().or(present.eq(extension))
  const spoiled = code.xor(select(layout.tagged, I64.of(1n << 54n), I64.of(1n << 62n)))
  const inserted = select(isSound, code, spoiled).and(layout.code)
  const kept = pointer.and(layout.code.or(1n << 55n).xor(-1))
  return kept.or(inserted).or(one.toI64U().shl(55))
}

/** A pointer whose code has been found right, or that is marked as not. */
function authenticated(c: Place, pointer: I64, modifier: I64, key: KeyName): I64 {
  const { f, state } = c
  const upper = f.let(bit55(pointer))
  const layout = layoutOf(f, state, pointer, key.startsWith('D'), upper)
  const original = f.let(plain(pointer, layout, upper))
  const code = cipher(c, original, modifier, key)
  const isRight = code.xor(pointer).and(layout.code).eqz()
  // Two bits below the tag, or below bit 63: 01 for an A key, 10 for a B key.
  const shift = f.let(select(layout.tagged, I32.of(53), I32.of(61)).toI64U())
  const marked = original.and(I64.of(3).shl(shift).xor(-1)).or(I64.of(key.endsWith('A') ? 1 : 2).shl(shift))
  return select(isRight, original, marked)
}

/**
 * {@link signed} or {@link authenticated} as a function of the module: what instructions have of it is short enough for units
 * to have it in place.
 */
function operated({ f, state, library }: Place, signs: boolean, pointer: I64, modifier: I64, key: KeyName): I64 {
  const name = `${signs ? 'sign' : 'authenticate'} ${key}`
  const callee = library.function(name, ['i64', 'i64', 'i32'], 'i64', (own, value, tweak, ownState) =>
    (signs ? signed : authenticated)({ f: own, state: ownState, library }, value, tweak, key),
  )
  return f.call(callee, pointer, modifier, state)
}

function stripped(c: ArmContext, pointer: I64, data: boolean): I64 {
  const upper = c.let(bit55(pointer))
  return plain(pointer, layoutOf(c.f, c.state, pointer, data, upper), upper)
}

/** Whether SCTLR_ELx enables a key. */
const isEnabled = ({ f, state }: ArmContext, key: KeyName): I32 =>
  f.loadExpression('i32.load', state, S.S_KEYS_ENABLED).and(1 << KEYS.indexOf(key))

/** The pointer authenticated, if the key is enabled. */
export function authenticatedIfEnabled(c: ArmContext, pointer: I64, modifier: I64, key: KeyName): I64 {
  return c.f.ifElse(
    'i64',
    isEnabled(c, key),
    () => operated(c, false, pointer, modifier, key),
    () => pointer,
  )
}

/** The operation of an instruction on a pointer: it signs or authenticates it, with which key and modifier. */
interface PointerOperation {
  readonly signs: boolean
  readonly key: KeyName
  readonly modifier: 'zero' | 'register'
}

/** Signs or authenticates the register of `R_D`, if the key is enabled; the modifier is in another. */
function operate(c: ArmContext, { signs, key, modifier }: PointerOperation, register: number): void {
  c.f.if(isEnabled(c, key), () => {
    const tweak = modifier === 'zero' ? I64.of(0) : c.read(register, true)
    c.setD(operated(c, signs, c.d(true), tweak, key), true)
  })
}

/** The operation of a hint, by CRm:op2: PACIA1716 is 8, PACIAZ is 24, PACIASP is 25; bit 1 is key B, bit 2 authenticates. */
function operationOfHint(number: number): PointerOperation | undefined {
  const group = number >> 3
  const isOdd = (number & 1) === 1
  if (group !== 3 && (group !== 1 || isOdd)) return undefined
  return {
    signs: (number & 4) === 0,
    key: (number & 2) === 0 ? 'IA' : 'IB',
    modifier: group === 3 && !isOdd ? 'zero' : 'register',
  }
}

const XPACLRI = 7
/** WFE, WFI, SEV, SEVL and ESB are TypeScript's. */
const HANDLED: ReadonlySet<number> = new Set([2, 3, 4, 5, 16])

/** All hints; other hints have no effect. */
const hint: Semantics = {
  selectors: 'yw',
  small: (_row, word) => landingsOf(word),
  emit(c, form) {
    const number = (valueOf(form, 'y') << 3) | valueOf(form, 'w')
    const operation = operationOfHint(number)
    if (operation !== undefined) operate(c, operation, R_M)
    else if (HANDLED.has(number)) c.useHandler()
    else if (number === XPACLRI) c.setD(stripped(c, c.d(true), false), true)
  },
}

/** PACIA to AUTDZB: bits 11:10 are the key; bit 12 is set of AUT, bit 13 where the modifier is zero. */
const direct: Semantics = {
  selectors: '',
  emit(c, form) {
    const { value } = form.row
    const key = (['IA', 'IB', 'DA', 'DB'] as const)[(value >>> 10) & 3]!
    const modifier = (value & 0x2000) === 0 ? 'register' : 'zero'
    operate(c, { signs: (value & 0x1000) === 0, key, modifier }, R_N)
  },
}

const generic: Semantics = {
  selectors: '',
  emit: (c) => c.setD(cipher(c, c.n(true), c.m(true), 'GA').and(I64.of(-1).shl(32)), true),
}

const strip: Semantics = {
  selectors: '',
  emit: (c, form) => c.setD(stripped(c, c.d(true), form.row.mnemonic === 'XPACD'), true),
}

/** Branches to an authenticated register. */
const branch: Semantics = {
  selectors: '',
  ends: true,
  small: (row, word) => branchTypeOf(row, fieldOf(row, 'n', word)),
  emit(c, form) {
    const { row } = form
    const kind = branchKind(row)
    // BRAAZ and its like name a target and no modifier, RETAA neither. Bit 10 is the key.
    const zero = kind !== 'return' && !row.fields.has('m')
    const key = (row.value & 0x400) === 0 ? 'IA' : 'IB'
    const target = c.let(authenticatedIfEnabled(c, c.n(true), zero ? I64.of(0) : c.m(true), key))
    if (kind === 'return') c.return(target)
    else branchIndirect(c, target, kind === 'call')
  },
}

/** The family's semantics of a row. */
export const pointerAuthentication: Family<Semantics> = familyOf<Semantics>({
  hint,
  'pointer-authentication': ({ name }) =>
    name === 'PACGA' ? generic : name === 'XPACI' || name === 'XPACD' ? strip : direct,
  'branch-register': ({ feature }) => (feature === 'PAuth' ? branch : undefined),
})
