import type { EvexLowering } from '../interpreter/lower.ts'
import type { Semantics, SemanticsTable } from '../semantics/context.ts'
import { instructionSemantics } from '../semantics/index.ts'
import type { Form } from '../state/form.ts'
import type { Handler } from '../system/operands.ts'
import { tileRows } from './amx/tile-rows.ts'
import { wideApproximations } from './avx512/approximations.ts'
import { wideBytes } from './avx512/bytes.ts'
import { maskComparisons } from './avx512/comparisons.ts'
import { wideConversions } from './avx512/conversions.ts'
import { evexMoves } from './avx512/element-moves.ts'
import { wideFloats } from './avx512/floats.ts'
import { evexGathers } from './avx512/gather.ts'
import { wideIntegers } from './avx512/integers.ts'
import { wideMoves } from './avx512/moves.ts'
import { contexts, underEvex, type EvexContexts } from './evex/context.ts'
import { finish, formOf } from './evex/form.ts'
import { wideHalves } from './fp16/halves.ts'
import { digests } from './vex/digests.ts'
import { products } from './vex/products.ts'

/** Operations of EVEX alone and of newer VEX features, and operations that differ from VEX's of the same name. */
const own: SemanticsTable = {
  ...products,
  ...digests,
  ...wideIntegers,
  ...wideMoves,
  ...wideFloats,
  ...wideApproximations,
  ...wideBytes,
  ...wideConversions,
  ...wideHalves,
  ...maskComparisons,
  ...evexMoves,
}

const known = new Map<Semantics, Semantics>()

/** The operation of a form: one of its own, or that of VEX. */
function semanticsOf({ mnemonic, operands }: Form): Semantics | undefined {
  // Comparisons of VEX write vectors.
  const isVector = /^(xmm|mem|reg)$/.test(operands[0]!.kind)
  const semantics = own[mnemonic] ?? (isVector ? instructionSemantics[mnemonic] : undefined)
  if (semantics === undefined) return undefined
  const found = known.get(semantics) ?? underEvex(semantics)
  known.set(semantics, found)
  return found
}

const handlers: Readonly<Record<string, Handler>> = { ...evexGathers, ...tileRows }

/** All of EVEX on vectors, as engines use it. */
export interface EvexInstructions extends EvexLowering {
  readonly contexts: EvexContexts
  readonly handlers: Readonly<Record<string, Handler>>
  semanticsOf(form: Form): Semantics | undefined
}

export const evex: EvexInstructions = { contexts, finish, formOf, handlers, semanticsOf }
