import type { ProcessorExtension } from '../model/processor.ts'
import type { SemanticsTable } from '../semantics/context.ts'
import type { Handler } from '../system/operands.ts'
import { conversions } from './conversions.ts'
import { digests } from './digests.ts'
import { masks } from './masks.ts'
import { extension } from './processor.ts'
import { products } from './products.ts'
import { storeHandlers, stores } from './stores.ts'

/** Instructions of extended features, by mnemonic. A chunk of its own: see {@link loadInstructions}. */
export interface ExtendedInstructions {
  readonly semantics: SemanticsTable
  readonly handlers: Readonly<Record<string, Handler>>
  readonly processor: ProcessorExtension
}

export const extendedInstructions: ExtendedInstructions = {
  semantics: { ...conversions, ...digests, ...masks, ...products, ...stores },
  handlers: storeHandlers,
  processor: extension,
}
