import { PAGE_BYTES } from '@retrap/memory'
import { I32, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { PKRU } from '../state/state-components.ts'
import type { Context } from './context.ts'
import { leaveIf } from './privileged/flat-segments.ts'

/** Bytes of the longest area of XSAVE. */
export const XSAVE_BYTES: number = PKRU.standard + PKRU.size
const ALIGNMENT = 64

/** An area in one page or in two. */
export class Area {
  readonly f: FunctionBuilder
  /** Machine address of its first byte. */
  readonly first: I32
  /** Bytes up to the end of the first byte's page. */
  readonly left: I32
  /** By how much the second page lies farther off than directly behind the first. */
  readonly apart: I32

  constructor(f: FunctionBuilder, first: I32, left: I32, apart: I32) {
    this.f = f
    this.first = first
    this.left = left
    this.apart = apart
  }

  /** The arguments of {@link Area.of}, from a parameter on. */
  get operands(): readonly I32[] {
    return [this.first, this.left, this.apart]
  }

  static of(f: FunctionBuilder, parameter: number): Area {
    const [first, left, apart] = [0, 1, 2].map((i) => f.param(parameter + i, 'i32').get) as [I32, I32, I32]
    return new Area(f, first, left, apart)
  }

  /** Machine address of the aligned block of up to 64 bytes at an offset. */
  at(offset: I32 | number): I32 {
    const distance = I32.of(offset)
    return this.f.let(this.first.add(distance).add(select(distance.ltU(this.left), I32.of(0), this.apart)))
  }

  load(offset: number): I32 {
    return this.f.load('i32.load', this.at(offset))
  }

  store(offset: number, value: I32): void {
    this.f.store('i32.store', this.at(offset), value)
  }
}

/**
 * Leaves the instruction to its handler unless the area is aligned and may be accessed as a whole.
 *
 * @param bytes - that are accessed at most
 */
export function areaOf(c: Context, bytes: number, flags: number): Area {
  const { f } = c
  const ea = c.address(0, Math.max(1, c.sizeOf(0)))
  leaveIf(c, ea.toI32().and(ALIGNMENT - 1))
  const first = c.resident(ea, 1, flags)
  const left = c.let(I32.of(PAGE_BYTES).sub(ea.toI32().and(PAGE_BYTES - 1)))
  const apart = f.ifElse(
    'i32',
    left.ltU(bytes),
    () => c.resident(c.let(ea.add(left.toI64U())), 1, flags).sub(first.add(left)),
    () => I32.of(0),
  )
  return new Area(f, first, left, apart)
}
