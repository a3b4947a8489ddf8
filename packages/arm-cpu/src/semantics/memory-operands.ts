import type { I64 } from '@retrap/wasm-emitter'
import { ACCESS_ALIGNED, ACCESS_ELEMENT_SHIFT } from '../access-flags.ts'
import type { ArmContext } from '../context.ts'
import type { ArmForm } from '../form.ts'

/** The operands that instructions on memory have in common. */

/** The base register; where it is a stack pointer that is not aligned, the exception for that. */
export function baseOf(c: ArmContext, form: ArmForm): I64 {
  const base = c.let(c.n(true))
  if (form.onStack) c.checkStackPointer(base)
  return base
}

/** Returns the kind of an access that must be aligned to its bytes. */
export const alignedKind = (bytes: number): number => ACCESS_ALIGNED | (Math.log2(bytes) << ACCESS_ELEMENT_SHIFT)
