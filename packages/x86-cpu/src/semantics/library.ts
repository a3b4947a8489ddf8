import { PAGE_BYTES } from '@retrap/memory'
import { I32, I64, type Callee, type FunctionBuilder, type ModuleBuilder, type ValueType } from '@retrap/wasm-emitter'
import {
  ADDRESS_16,
  ADDRESS_32,
  ADDRESS_CHECKED,
  ADDRESS_DISP64,
  R_ADDRESS,
  R_BASE,
  R_DISP,
  R_IMM,
  R_INDEX,
  R_SCALE,
  R_SEGMENT,
} from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { SLOW_DIRECT, SLOW_MODIFY, SLOW_WRITE } from '../state/host.ts'
import { VECTOR_GP, VECTOR_SS } from '../state/vectors.ts'
import { flatOffset, isFlat32, productOverflows } from './integer.ts'
import { flagBits, flagsOf, resultParts } from './flag-parts.ts'
import type { FloatModule, SharedFunction } from '@retrap/soft-float'

/** Functions of the generated module that semantics may call. */
export interface Library extends SharedFunctions {
  /** Bytes of the vector registers that the processor has: 32, or 64. */
  readonly vectorBytes: number
  /** Whether this thread alone accesses machine memory. Known of compiled code only. */
  readonly isPrivate?: boolean | undefined
  /** (state, address low, address high, flags) → status; data in S_DATA. */
  readonly slowAccess: Callee & { readonly signature: { readonly result: 'i32' } }
  /** (state, record) → offset within the segment, for any addressing form. */
  readonly offset: Callee & { readonly signature: { readonly result: 'i64' } }
  /** (state, segment, offset, size | SLOW_WRITE | SLOW_MODIFY) → linear address outside 64-bit mode, checked; raises by setting S_FAULT_VECTOR ≠ -1. */
  readonly checkSegment: Callee & { readonly signature: { readonly result: 'i64' } }
  /** (state, record, size | SLOW_WRITE | SLOW_MODIFY) → linear address; raises by setting S_FAULT_VECTOR ≠ -1. For anything but R_ADDRESS = 0. */
  readonly slowAddress: Callee & { readonly signature: { readonly result: 'i64' } }
  /** slowAddress, quicker in 32-bit code. */
  readonly checkedAddress: Callee & { readonly signature: { readonly result: 'i64' } }
  /** slowAddress with a signed displacement added to the offset before it is truncated. */
  readonly slowAddressMoved: Callee & { readonly signature: { readonly result: 'i64' } }
  /** (kind, a, b, result) → the six arithmetic flags. */
  readonly flags: Callee & { readonly signature: { readonly result: 'i32' } }
  /** () → nothing; the host's time-stamp counter in S_DATA. */
  readonly timestamp: Callee
}

/** (address low, address high, flags) → status; data in S_DATA. */
type AccessImport = Callee & { readonly signature: { readonly result: 'i32' } }

/**
 * Declares and builds the functions that every form may call. Imports must be complete.
 *
 * @param access - the import that makes the accesses which generated code does not finish by itself
 * @param timestamp - the import that reads the host's time-stamp counter
 * @param vectorBytes - of the registers that the processor has
 */
export function buildLibrary(
  module: ModuleBuilder,
  access: AccessImport,
  timestamp: Callee,
  vectorBytes: number,
): Library {
  const exported = { export: true }
  const slowAccess = module.function(
    'slowAccess',
    { params: ['i32', 'i32', 'i32', 'i32'], result: 'i32' } as const,
    exported,
  )
  buildSlowAccess(slowAccess, access)
  const flags = module.function('flags', { params: ['i32', 'i64', 'i64', 'i64'], result: 'i32' } as const, exported)
  const functions: SharedFunctions = {
    shared: new Map(),
    define: (name, params, result) => module.function(name, { params, result }),
    complete: (f) => module.complete(f),
  }
  buildFlags(flags, functions)
  const movedOffset = module.function('movedOffset', { params: ['i32', 'i32', 'i64'], result: 'i64' } as const)
  buildMovedOffset(movedOffset)
  const offset = module.function('offset', { params: ['i32', 'i32'], result: 'i64' } as const)
  offset.return(offset.call(movedOffset, offset.param(0, 'i32').get, offset.param(1, 'i32').get, I64.of(0)))
  const checkSegment = module.function(
    'checkSegment',
    { params: ['i32', 'i32', 'i64', 'i32'], result: 'i64' } as const,
    exported,
  )
  buildCheckSegment(checkSegment)
  const slowAddressMoved = module.function('slowAddressMoved', {
    params: ['i32', 'i32', 'i32', 'i64'],
    result: 'i64',
  } as const)
  buildSlowAddress(slowAddressMoved, movedOffset, checkSegment)
  const slowAddress = module.function('slowAddress', { params: ['i32', 'i32', 'i32'], result: 'i64' } as const)
  const [state, record, sizeAndFlags] = [
    slowAddress.param(0, 'i32').get,
    slowAddress.param(1, 'i32').get,
    slowAddress.param(2, 'i32').get,
  ]
  slowAddress.return(slowAddress.call(slowAddressMoved, state, record, sizeAndFlags, I64.of(0)))
  const checkedAddress = module.function('checkedAddress', { params: ['i32', 'i32', 'i32'], result: 'i64' } as const)
  buildCheckedAddress(checkedAddress, slowAddress)
  const address = module.function('address', { params: ['i32', 'i32', 'i32'], result: 'i32' } as const, {
    export: true,
  })
  buildAddress(address, slowAddress)
  return {
    slowAccess,
    flags,
    offset,
    checkSegment,
    slowAddress,
    checkedAddress,
    slowAddressMoved,
    timestamp,
    vectorBytes,
    ...functions,
  }
}

/** Functions that families share. */
export interface SharedFunctions {
  /** Functions by name: see {@link sharedFunction}. */
  readonly shared: Map<string, FunctionBuilder>
  /** Declares another function of the module. */
  define(name: string, params: readonly ValueType[], result: ValueType | undefined): FunctionBuilder
  /** Its body has been built. */
  complete(f: FunctionBuilder): void
}

/** A module function that several families share, generated on first use. */
export function sharedFunction<R extends ValueType | undefined>(
  functions: SharedFunctions,
  name: string,
  params: readonly ValueType[],
  result: R,
  build: (f: FunctionBuilder) => void,
): SharedFunction<R> {
  let known = functions.shared.get(name)
  if (known === undefined) {
    known = functions.define(name, params, result)
    functions.shared.set(name, known)
    build(known)
    functions.complete(known)
  }
  return known as SharedFunction<R>
}

/**
 * Makes an access that generated code cannot finish by itself. An access that waited for its device has its answer by now.
 *
 * A device may raise an event or change the map, which precede the next instruction: then its instruction retires alone
 * (STATUS_RETRY, with S_ANSWERED). `MemoryAccess.access` sees to that by itself; the quick way to the last device's page leaves it to
 * this function, where the check costs least.
 *
 * Registers of a device that are words in memory are read here, as a processor reads most registers of its local APIC
 * from a page of memory (SDM vol. 3C, "Virtualizing Reads from the APIC-Access Page").
 */
function buildSlowAccess(f: FunctionBuilder, access: AccessImport): void {
  const state = f.param(0, 'i32').get
  f.if(f.load('i32.load', state, S.S_ANSWERED), () => {
    f.store('i32.store', state, I32.of(0), S.S_ANSWERED)
    f.return(S.STATUS_DONE)
  })
  buildRegisterRead(f, state)
  f.store('i32.store', state, f.loadExpression('i32.load', state, S.S_TLB_MISSES).add(1), S.S_TLB_MISSES)
  f.store('i32.store', state, I32.of(1), S.S_MADE_AGAIN)
  const status = f.let(f.call(access, f.param(1, 'i32').get, f.param(2, 'i32').get, f.param(3, 'i32').get))
  f.if(f.loadExpression('i32.load', state, S.S_ATTENTION), () => {
    const alone = f.loadExpression('i32.load', state, S.S_LOGGED)
    const made = f.loadExpression('i32.load', state, S.S_MADE_AGAIN)
    f.if(status.or(alone).eqz().and(made), () => {
      f.store('i32.store', state, I32.of(1), S.S_ANSWERED)
      f.return(S.STATUS_RETRY)
    })
  })
  f.return(status)
}

/** Returns from an access that reads a register which is a word in memory: see `DeviceAccess.remember`. */
function buildRegisterRead(f: FunctionBuilder, state: I32): void {
  const [lo, hi, flags] = [f.param(1, 'i32').get, f.param(2, 'i32').get, f.param(3, 'i32').get]
  const word = (offset: number): I32 => f.loadExpression('i32.load', state, offset)
  const isPage = lo
    .and(-PAGE_BYTES)
    .eq(word(S.S_REGISTER_PAGE))
    .and(hi.eq(word(S.S_REGISTER_PAGE + 4)))
  f.if(flags.eq(4 | SLOW_DIRECT).and(isPage), () => {
    f.if(word(S.S_TLB).eq(word(S.S_REGISTER_SET)), () => {
      const isCurrent = word(S.S_TLB_CHANGES).eq(word(S.S_REGISTER_CHANGES))
      // Beyond 64 registers, and between them, nothing is stored.
      const isRegister = lo.and(0xc0f).eqz()
      const mask = f.loadExpression('i64.load', state, S.S_REGISTER_MASK)
      const isStored = mask.shrU(lo.shrU(4).and(63).toI64U()).toI32().and(1)
      f.if(isCurrent.and(isRegister).and(isStored), () => {
        const register = f.loadExpression('i32.load', word(S.S_REGISTER_WORDS).add(lo.shrU(2).and(0xfc)))
        f.store('i32.store', state, register, S.S_DATA)
        f.return(S.STATUS_DONE)
      })
    })
  })
}

/** The six arithmetic flags at their RFLAGS positions, from the lazy state. */
function buildFlags(f: FunctionBuilder, functions: SharedFunctions): void {
  const kind = f.param(0, 'i32').get
  const a = f.param(1, 'i64').get
  const b = f.param(2, 'i64').get
  const result = f.param(3, 'i64').get
  for (const each of [S.FLAGS_EXPLICIT, S.FLAGS_SUB, S.FLAGS_ADD]) {
    f.if(kind.eq(each), () => f.return(flagBits(each, a, b, result)))
  }
  f.if(kind.eq(S.FLAGS_MULTIPLY), () => {
    const high = { f, shared: sharedFunction.bind(undefined, functions) as FloatModule['shared'] }
    const overflow = productOverflows(high, a, b, result)
    f.return(flagsOf({ ...resultParts(result), carry: overflow, overflow }))
  })
  f.return(flagBits(S.FLAGS_RESULT, a, b, result))
}

/** The offset within the segment, moved before it is truncated to the address size. */
function buildMovedOffset(f: FunctionBuilder): void {
  const state = f.param(0, 'i32').get
  const record = f.param(1, 'i32').get
  const register = (field: number): I64 =>
    f.loadExpression('i64.load', state.add(f.loadExpression('i32.load16_u', record, field)), 0)
  const kind = f.load('i32.load8_u', record, R_ADDRESS)
  const sum = f.local('i64')
  f.set(sum, register(R_BASE).add(register(R_INDEX).shl(f.loadExpression('i64.load8_u', record, R_SCALE))))
  f.if(
    kind.and(ADDRESS_DISP64),
    () => f.set(sum, sum.get.add(f.loadExpression('i64.load', record, R_IMM))),
    () => f.set(sum, sum.get.add(f.loadExpression('i64.load32_s', record, R_DISP))),
  )
  f.set(sum, sum.get.add(f.param(2, 'i64').get))
  f.if(kind.and(ADDRESS_32), () => f.set(sum, sum.get.and(0xffff_ffffn)))
  f.if(kind.and(ADDRESS_16), () => f.set(sum, sum.get.and(0xffffn)))
  f.return(sum.get)
}

/** Segment limit and rights outside 64-bit mode (SDM vol. 3A, "Limit Checking", "Type Checking"). */
function buildCheckSegment(f: FunctionBuilder): void {
  const state = f.param(0, 'i32').get
  const segment = f.param(1, 'i32').get
  const offset = f.param(2, 'i64').get
  const sizeAndFlags = f.param(3, 'i32').get
  const base = f.let(state.add(segment.mul(S.SEG_BYTES)).add(S.S_SEGMENTS))
  // Areas of more than 255 bytes have their size in the upper half.
  const bytes = sizeAndFlags.and(0xff).add(sizeAndFlags.shrU(16))
  const last = f.let(offset.add(bytes.toI64U()).sub(1))
  const low = f.loadExpression('i64.load32_u', base, S.SEG_LOW)
  const high = f.loadExpression('i64.load32_u', base, S.SEG_HIGH)
  const rights = f.load('i32.load', base, S.SEG_RIGHTS)
  // A write needs SEG_CAN_WRITE; everything but a pure write needs SEG_CAN_READ.
  const write = sizeAndFlags.and(SLOW_WRITE).ne(0)
  const pureWrite = sizeAndFlags.and(SLOW_WRITE | SLOW_MODIFY).eq(SLOW_WRITE)
  const badWrite = write.and(rights.and(S.SEG_CAN_WRITE).eqz())
  const badRead = pureWrite.eqz().and(rights.and(S.SEG_CAN_READ).eqz())
  f.if(offset.ltU(low).or(last.gtU(high)).or(badWrite).or(badRead), () => {
    f.if(
      segment.eq(S.SS),
      () => f.store('i32.store', state, I32.of(VECTOR_SS), S.S_FAULT_VECTOR),
      () => f.store('i32.store', state, I32.of(VECTOR_GP), S.S_FAULT_VECTOR),
    )
    f.store('i32.store', state, I32.of(0), S.S_FAULT_ERROR)
    f.store('i32.store', state, I32.of(1), S.S_FAULT_HAS_ERROR)
  })
  f.return(f.loadExpression('i64.load', base, S.SEG_BASE).add(offset).and(0xffff_ffffn))
}

function buildSlowAddress(
  f: FunctionBuilder,
  movedOffset: Library['offset'],
  checkSegment: Library['checkSegment'],
): void {
  const state = f.param(0, 'i32').get
  const record = f.param(1, 'i32').get
  const sizeAndFlags = f.param(2, 'i32').get
  const value = f.call(movedOffset, state, record, f.param(3, 'i64').get)
  const segment = f.let(f.loadExpression('i32.load8_u', record, R_SEGMENT).and(7))
  f.if(f.loadExpression('i32.load8_u', record, R_ADDRESS).and(ADDRESS_CHECKED), () => {
    f.return(f.call(checkSegment, state, segment, value, sizeAndFlags))
  })
  // 64-bit mode: only FS and GS have a base, whatever the caches of the others hold.
  f.if(segment.geU(S.FS), () => {
    f.return(f.loadExpression('i64.load', state.add(segment.mul(S.SEG_BYTES)), S.S_SEGMENTS + S.SEG_BASE).add(value))
  })
  f.return(value)
}

/** Anything but R_ADDRESS = 0. */
function buildCheckedAddress(f: FunctionBuilder, slowAddress: Library['slowAddress']): void {
  const [state, record, sizeAndFlags] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
  const kind = f.load('i32.load8_u', record, R_ADDRESS)
  f.if(isFlat32(f, state, record, kind), () => f.return(flatOffset(f, state, record).and(0xffff_ffffn)))
  f.return(f.call(slowAddress, state, record, sizeAndFlags))
}

/** For TypeScript handlers: (state, record, size and flags) → status, the linear address in S_EA. */
function buildAddress(f: FunctionBuilder, slowAddress: Library['slowAddress']): void {
  const state = f.param(0, 'i32').get
  f.store('i64.store', state, f.call(slowAddress, state, f.param(1, 'i32').get, f.param(2, 'i32').get), S.S_EA)
  f.return(f.loadExpression('i32.load', state, S.S_FAULT_VECTOR).ne(-1))
}
