import type { SemanticsTable } from '../semantics/context.ts'
import type { Handler } from '../system/operands.ts'
import { conversions } from './conversions.ts'
import { digests } from './digests.ts'
import { masks } from './masks.ts'
import { products } from './products.ts'
import { storeHandlers, stores } from './stores.ts'

/** Instructions of extended features, by mnemonic. A chunk of its own: see {@link loadInstructions}. */
export interface ExtendedInstructions {
  readonly semantics: SemanticsTable
  readonly handlers: Readonly<Record<string, Handler>>
}

export const extendedInstructions: ExtendedInstructions = {
  semantics: { ...conversions, ...digests, ...masks, ...products, ...stores },
  handlers: storeHandlers,
}
