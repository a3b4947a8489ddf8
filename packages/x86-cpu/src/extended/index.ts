import type { CodeInfo } from '@retrap/x86-decoder'
import type { ProcessorExtension } from '../model/processor.ts'
import type { Semantics, SemanticsTable } from '../semantics/context.ts'
import type { Form } from '../state/form.ts'
import type { Handler } from '../system/operands.ts'
import { apx, promotedSemantics } from './apx/apx.ts'
import { conversions } from './vex/conversions.ts'
import { digests } from './vex/digests.ts'
import { evex, type EvexInstructions } from './evex-instructions.ts'
import { masks } from './avx512/masks.ts'
import { extension } from './processor.ts'
import { products } from './vex/products.ts'
import { storeHandlers, stores } from './general/stores.ts'
import { tileProducts } from './amx/tile-products.ts'
import { tileHandlers } from './amx/tiles.ts'

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
