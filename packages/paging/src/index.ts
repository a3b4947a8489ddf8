/**
 * x86 guest page walks: every mode, exact rights and error codes, A and D bits.
 *
 * @packageDocumentation
 */
export {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_READ,
  ACCESS_SHADOW_STACK,
  ACCESS_USER,
  ACCESS_WRITE,
  MAP_DIRTY,
  MAP_GLOBAL,
  MAP_NX,
  MAP_SHADOW_STACK,
  MAP_USER,
  MAP_WRITABLE,
  PFEC_I,
  PFEC_P,
  PFEC_PK,
  PFEC_RSVD,
  PFEC_SS,
  PFEC_U,
  PFEC_W,
  SECOND_LEVEL_FAULT,
  WALK_FAULT,
  WALK_OK,
  WALK_SECOND_LEVEL,
} from './bits.ts'
export { PagingContext, PagingMode, reloadsPdptes, type PagingCpu } from './context.ts'
export { PagingError, type PagingErrorCode } from './errors.ts'
export { explain, type Explanation, type WalkStep } from './explain.ts'
export { effectiveMemoryType, MemoryType, mtrrType, type Mtrrs, PAT_RESET, patIndex, patType } from './memory-type.ts'
export { permission } from './permission.ts'
export { Invalidate, PagingStructureCache } from './structure-cache.ts'
export type { TableReader, TableStatus } from './table-reader.ts'
export { mappings, translate, type AccessOptions, type Mapping, type Translation } from './translate.ts'
export { probe, walk } from './walk.ts'
export { WalkResult } from './walk-result.ts'
