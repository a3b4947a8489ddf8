/** Geometry of the TLB, for generated code. */
export { TLB_INDEX_MASK, TLB_WRITE as TLB_WRITE_OFFSET } from '@retrap/engine'
