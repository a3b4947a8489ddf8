/**
 * Guest page walks. x86: every mode, exact rights and error codes, A and D bits. Arm: stage 1 of the EL1&0 regime.
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
  PDPTE_RESERVED_LO,
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
export {
  CR0_CD,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_CET,
  CR4_LA57,
  CR4_PAE,
  CR4_PCIDE,
  CR4_PGE,
  CR4_PKE,
  CR4_PKS,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
} from './control-registers.ts'
export { PagingContext, PagingMode, reloadsPdptes, type PagingCpu } from './context.ts'
export { PagingError } from './errors.ts'
export { type CachedStep, explain, type Explanation } from './explain.ts'
export { effectiveMemoryType, MemoryType, mtrrType, type Mtrrs, PAT_RESET, patIndex, patType } from './memory-type.ts'
export { permission } from './permission.ts'
export { Invalidate, PagingStructureCache } from './structure-cache.ts'
export type { TableReader, TableStatus } from './table-reader.ts'
export {
  mappings,
  translate,
  type AccessOptions,
  type LinearRange,
  type Mapping,
  type Translation,
} from './translate.ts'
export { probe, walk } from './walk.ts'
export { WalkResult } from './walk-result.ts'
export { ArmFormat, ArmPagingContext, type ArmTranslationRegisters } from './arm/context.ts'
export {
  ARM_FETCH,
  ARM_PAN,
  ARM_READ,
  ARM_UNPRIVILEGED,
  ARM_WALK_FAULT,
  ARM_WALK_OK,
  ARM_WALK_TABLE,
  ARM_WRITE,
  ArmWalkResult,
  shortFaultStatus,
} from './arm/walk-result.ts'
export { type ArmExplanation, type ArmWalkStep, explainArm } from './arm/explain.ts'
export { walkArm } from './arm/walk.ts'
