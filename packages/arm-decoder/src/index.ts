/**
 * Decodes Arm instructions: all of A64 but SVE and SME, A32 and Thumb.
 *
 * @packageDocumentation
 */
export { expandImmediateA32, expandImmediateT32, expandVectorImmediate } from './aarch32-immediates.ts'
export { a32Forms, findA32, findThumb, t16Forms, t32Forms } from './aarch32.ts'
export { a64Forms, findA64 } from './a64.ts'
export { bitmask, advanceIfThen } from './conditions.ts'
export { formatA32, formatThumb } from './format-a32.ts'
export { formatA64, formatLoadStore } from './format-a64.ts'
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
