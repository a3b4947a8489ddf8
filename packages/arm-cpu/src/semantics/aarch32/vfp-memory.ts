import { decodeLoadStoreA32, LoadStore, type Form as Row } from '@retrap/arm-decoder'
import type { I32, I64 } from '@retrap/wasm-emitter'
import { ACCESS_ALIGNED, ACCESS_ELEMENT_SHIFT } from '../../state/access-rights.ts'
import type { ArmContext } from '../context.ts'
import { R_D, R_N } from '../../state/record.ts'
import { hasFeature } from '../../system/id-registers.ts'
import { type OwnForm, coreRegister, doubleAt, ownKey, singleAt, type VectorPlan } from './vfp-record.ts'
import { low, type A32Semantics } from './semantics.ts'
import { FRAME_WHOLE, planned } from './vfp-frame.ts'

/** Loads and stores of VFP's registers: one, or several that lie side by side, here as in the state. */

const PC = 15
/** Registers of 16 doubles: the most that VLDM transfers. */
const MOST_WORDS = 32

/** Words, each of which must be aligned, or one halfword. */
const kindOf = (bytes: number): number => ACCESS_ALIGNED | ((bytes === 2 ? 1 : 2) << ACCESS_ELEMENT_SHIFT)

/** A signed number of 16 bits in the immediate. */
const part = (c: ArmContext, shift: number): I64 => c.immediate.shrU(shift).toI32().extend16S().toI64S()
const STEP = 16

/** Returns the address; a program counter as base is aligned first. */
function addressOf(c: ArmContext): I64 {
  const base = c.n(false).and(c.small.toI64U().xor(-1))
  return c.let(low(base.add(part(c, 0))))
}

function moveBase(c: ArmContext): void {
  const step = c.let(part(c, STEP))
  c.f.if(step.ne(0), () => c.write(R_N, low(c.n(false).add(step)), false))
}

const registersAt = (c: ArmContext): I32 => c.let(c.state.add(c.f.loadExpression('i32.load16_u', c.record, R_D)))

/** Copies bytes, a multiple of 4. */
function copy({ f }: ArmContext, to: I32, from: I32, bytes: number): void {
  let at = 0
  for (; bytes - at >= 16; at += 16) f.store('v128.store', to, f.load('v128.load', from, at), at)
  for (; bytes - at >= 4; at += 4) f.store('i32.store', to, f.load('i32.load', from, at), at)
}

const load =
  (bytes: number): OwnForm =>
  (c) => {
    c.load(addressOf(c), bytes, kindOf(bytes), (host) => {
      moveBase(c)
      const to = registersAt(c)
      if (bytes === 2) c.f.store('i32.store', to, c.f.load('i32.load16_u', host))
      else copy(c, to, host, bytes)
    })
  }

const store =
  (bytes: number): OwnForm =>
  (c) => {
    c.store(addressOf(c), bytes, kindOf(bytes), (host) => {
      const from = registersAt(c)
      if (bytes === 2) c.f.store('i32.store16', host, c.f.load('i32.load', from))
      else copy(c, host, from, bytes)
    })
    moveBase(c)
  }

/** Returns the forms by key. */
export function* vfpAccesses(): Iterable<readonly [key: string, emit: OwnForm]> {
  const sizes = [2, ...Array.from({ length: MOST_WORDS }, (_, i) => 4 * (i + 1))]
  for (const bytes of sizes) yield* [[`VLDM.${bytes}`, load(bytes)] as const, [`VSTM.${bytes}`, store(bytes)] as const]
}

const access: LoadStore = /*#__PURE__*/ new LoadStore()

/** Returns the access of an instruction of VFP or Advanced SIMD. Those of T32 have other bits above. */
export function decodedVector(word: number): LoadStore {
  const isStructure = word >>> 24 === 0xf9
  decodeLoadStoreA32(isStructure ? ((word & 0xff_ffff) | 0xf400_0000) >>> 0 : word, access)
  return access
}

function planOf(row: Row, word: number): VectorPlan {
  const { rt, rn, elementSize, registerSize, elements, start, offset, addressing } = decodedVector(word)
  const isOne = !row.attributes.has('vectors')
  const bytes = isOne ? elementSize : registerSize * elements
  const [first, step] = isOne ? [offset, 0] : [start, addressing === 0 ? 0 : offset]
  return {
    key: ownKey(`${row.operation === 'load' ? 'VLDM' : 'VSTM'}.${bytes}`),
    frame: FRAME_WHOLE,
    d: registerSize === 8 ? doubleAt(rt) : singleAt(rt),
    n: coreRegister(rn),
    m: 0,
    a: 0,
    small: rn === PC ? 3 : 0,
    immediate: BigInt((first & 0xffff) | ((step & 0xffff) << STEP)),
    readsPc: rn === PC,
  }
}

/** The family's semantics of a row. */
export function vfpMemory(row: Row): A32Semantics | undefined {
  const { attributes, operation, operands } = row
  if ((operation !== 'load' && operation !== 'store') || !hasFeature(row)) return undefined
  if (!attributes.has('vectors') && !/^<[HSD]t>/.test(operands)) return undefined
  return planned((word) => planOf(row, word))
}
