/**
 * Decodes Arm instructions: all of A64 but SVE and SME, and the loads and stores of A32 and Thumb.
 *
 * @packageDocumentation
 */
export { a64Forms, findA64 } from './a64.ts'
export { bitmask } from './conditions.ts'
export { formatA64, type FormatA64Options } from './format-a64.ts'
export { formatLoadStore } from './format-load-store.ts'
export {
  decodeLoadStoreA32,
  decodeLoadStoreThumb,
  isWideThumb,
  loadStoreFormsA32,
  loadStoreFormsT16,
  loadStoreFormsT32,
} from './load-store-a32.ts'
export { decodeLoadStoreA64, loadStoreFormsA64 } from './load-store-a64.ts'
export { Addressing, Extend, InstructionSet, LoadStore, NO_REGISTER } from './load-store.ts'
export { extract, type Field, type Form } from './row.ts'
