import type { Form as Row } from '@retrap/arm-decoder'
import type { I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import type { ElementSize } from '../form.ts'
import { emitClearExclusive, emitLoadExclusive, emitStoreExclusive } from '../semantics/exclusives.ts'
import { low, type A32Semantics } from './semantics.ts'

/** Load-exclusive and store-exclusive: those of A64, at an address of 32 bits. Only T32's have an offset. */

const shapeOf = ({ size, attributes }: Row): readonly [size: ElementSize, count: number] => [
  size as ElementSize,
  attributes.has('couple') ? 2 : 1,
]

const addressOf = (c: ArmContext): I64 => c.let(low(c.n(false).add(c.immediate)))

const loadExclusive: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit: (c, { row }) => emitLoadExclusive(c, addressOf(c), ...shapeOf(row)),
}

const storeExclusive: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit: (c, { row }) => emitStoreExclusive(c, addressOf(c), ...shapeOf(row)),
}

const clearExclusive: A32Semantics = { selectors: '', keepsTarget: true, emit: (c) => emitClearExclusive(c) }

/** The family's semantics of a row. */
export function exclusives(row: Row): A32Semantics | undefined {
  switch (row.operation) {
    case 'load-exclusive':
      return loadExclusive
    case 'store-exclusive':
      return storeExclusive
    case 'barrier':
      return row.mnemonic.startsWith('CLREX') ? clearExclusive : undefined
    default:
      return undefined
  }
}
