import type { CodeInfo } from '@retrap/x86-decoder'
import type { ProcessorExtension } from '../model/processor.ts'
import type { Semantics, SemanticsTable } from '../semantics/context.ts'
import type { Form } from '../state/form.ts'
import type { Handler } from '../system/operands.ts'
import { apx, promotedSemantics } from './apx/apx.ts'
import { conversions } from './vex/conversions.ts'
import { digests } from './vex/digests.ts'
import { masks } from './avx512/masks.ts'
import { extension } from './processor.ts'
import { products } from './vex/products.ts'
import { storeHandlers, stores } from './general/stores.ts'
import { tileProducts } from './amx/tile-products.ts'
import { tileHandlers } from './amx/tiles.ts'
import type { EvexLowering } from '../interpreter/lower.ts'
import { instructionSemantics } from '../semantics/index.ts'
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

const ownAndVex: SemanticsTable = { ...instructionSemantics, ...own }

const known = new Map<Semantics, Semantics>()

/** The operation of a form: one of its own, or that of VEX. */
function semanticsOf({ mnemonic, operands }: Form): Semantics | undefined {
  // Comparisons of VEX write vectors.
  const isVector = /^(xmm|mem|reg)$/.test(operands[0]!.kind)
  const semantics = (isVector ? ownAndVex : own)[mnemonic]
  if (semantics === undefined) return undefined
  const found = known.get(semantics) ?? underEvex(semantics)
  known.set(semantics, found)
  return found
}

const handlers: Readonly<Record<string, Handler>> = { ...evexGathers, ...tileRows }

/** All of EVEX on vectors, as engines use it. */
interface EvexInstructions extends EvexLowering {
  readonly contexts: EvexContexts
  readonly handlers: Readonly<Record<string, Handler>>
  semanticsOf(form: Form): Semantics | undefined
}

const evex: EvexInstructions = { contexts, finish, formOf, handlers, semanticsOf }

/** Instructions of extended features, by mnemonic. A chunk of its own: see {@link loadInstructions}. */
export interface ExtendedInstructions {
  readonly semantics: SemanticsTable
  readonly handlers: Readonly<Record<string, Handler>>
  readonly processor: ProcessorExtension
  /** Returns the operation of an instruction that APX has in EVEX. */
  promoted(info: CodeInfo, form: Form): Semantics | undefined
  /** Instructions with EVEX on vectors: forms, records, classes that generate them. */
  readonly evex: EvexInstructions
}

const semantics: SemanticsTable = { ...conversions, ...digests, ...masks, ...products, ...stores, ...apx }

export const extendedInstructions: ExtendedInstructions = {
  semantics,
  handlers: { ...storeHandlers, ...tileHandlers, ...tileProducts },
  processor: extension,
  promoted: (info, form) => promotedSemantics(info, form.noFlags === true, semantics),
  evex,
}
