import type { RecordMemory, RegionFunction, StateAssumption } from '@retrap/engine'
import { I32, I64, type LoadOp, type Value } from '@retrap/wasm-emitter'
import * as S from '../state/state-layout.ts'
import type { KnownState } from './region-builder.ts'

/** A field of the state that code takes for granted. */
interface Assumption {
  /** The load that reads it. */
  readonly op: LoadOp
  readonly offset: number
  readonly value: bigint
}

/** Fields that system instructions and events change, and that a unit checks when it is entered. */
const ASSUMED: ReadonlySet<number> = new Set([
  S.S_SSE_GATE,
  S.S_X87_GATE,
  S.S_MMX_GATE,
  S.S_AVX_GATE,
  S.S_VEX_GATE,
  S.S_EVEX_GATE,
  S.S_APX_GATE,
  S.S_TILE_GATE,
  S.S_CANONICAL_SHIFT,
  S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE,
  S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT,
  ...[S.ES, S.CS, S.SS, S.DS].map((segment) => S.S_SEGMENTS + S.SEG_BYTES * segment + S.SEG_RIGHTS),
])

/** Bytes of the beginning of the state that has all of them. */
export const ASSUMED_BYTES: number = Math.max(...ASSUMED) + 8

/** A unit's knowledge of the state: constants, and fields that it assumes to be as they were when it was compiled. */
export class StateKnowledge implements KnownState {
  readonly #memory: RecordMemory
  readonly #state: number
  readonly #mode: number
  readonly #assumptions = new Map<number, Assumption>()
  /** Returns the linear address of the page of the current instruction. */
  pageBase: () => I64 = () => I64.of(0)

  /** @param state - machine address of the state whose fields are assumed */
  constructor(memory: RecordMemory, state: number, mode: number) {
    this.#memory = memory
    this.#state = state
    this.#mode = mode === S.MODE_64_APX ? S.MODE_64 : mode === S.MODE_16_EDGE ? S.MODE_16 : mode
  }

  field(op: LoadOp, offset: number): Value | undefined {
    switch (offset) {
      case S.S_ZERO:
        return constant(op, 0n)
      case S.S_TWO_TO_28:
        return constant(op, 0x1000_0000n)
      case S.S_LOGGED:
        return constant(op, 0n)
      case S.S_MODE:
        return constant(op, BigInt(this.#mode))
      case S.S_RIP_MASK:
        return constant(op, this.#mode === S.MODE_64 ? -1n : 0xffff_ffffn)
      case S.S_PAGE_BASE:
        return this.pageBase()
      default:
        return ASSUMED.has(offset) ? constant(op, this.#assume(op, offset)) : undefined
    }
  }

  record(op: LoadOp, address: number): Value {
    return constant(op, readMemory(this.#memory, op, address))
  }

  #assume(op: LoadOp, offset: number): bigint {
    const known = this.#assumptions.get(offset)
    if (known !== undefined) {
      if (known.op !== op) throw new TypeError(`state field ${offset} is read by ${known.op} and by ${op}`)
      return known.value
    }
    const value = readMemory(this.#memory, op, this.#state + offset)
    this.#assumptions.set(offset, { op, offset, value })
    return value
  }

  /** The assumptions so far, as the engine has them. */
  get fields(): readonly StateAssumption[] {
    return [...this.#assumptions.values()].map(({ op, offset, value }) => {
      const { bits } = bitsOf(op)
      return { offset, bytes: bits >>> 3, value: BigInt.asUintN(bits, value) }
    })
  }

  /** Emits the checks of what has been assumed. */
  check(f: RegionFunction, leaveIf: (condition: I32) => void): void {
    const state = f.param(0, 'i32').get
    for (const { op, offset, value } of this.#assumptions.values()) {
      const wide = op.startsWith('i64')
      const differs = wide
        ? (f.loadExpression(op as 'i64.load', state, offset) as I64).ne(value)
        : (f.loadExpression(op as 'i32.load', state, offset) as I32).ne(Number(BigInt.asIntN(32, value)))
      leaveIf(differs)
    }
  }
}

function constant(op: LoadOp, value: bigint): Value {
  return op.startsWith('i64') ? I64.of(BigInt.asIntN(64, value)) : I32.of(Number(BigInt.asIntN(32, value)))
}

/** A load of an integer: its type's bits, those that it reads if these are fewer, and whether they are not signed. */
const INTEGER_LOAD = /^i(\d+)\.load(\d*)(_u)?/

/** The bits that a load reads, and whether they have a sign. */
function bitsOf(op: LoadOp): { readonly bits: number; readonly isSigned: boolean } {
  const [, width, narrow, unsigned] = INTEGER_LOAD.exec(op) ?? []
  if (width === undefined) throw new TypeError(`a known field is not read by ${op}`)
  return { bits: Number(narrow || width), isSigned: unsigned === undefined }
}

function readMemory({ u8 }: RecordMemory, op: LoadOp, at: number): bigint {
  const { bits, isSigned } = bitsOf(op)
  let value = 0n
  for (let i = bits >>> 3; i-- > 0;) value = (value << 8n) | BigInt(u8[at + i]!)
  return isSigned ? BigInt.asIntN(bits, value) : value
}
