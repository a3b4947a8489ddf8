/**
 * Patches the accesses of 32-bit guests to the task priority register into calls of an option ROM's helpers.
 *
 * @packageDocumentation
 */
export { VapicError, type VapicErrorCode } from './errors.ts'
export type { PollMethod, VapicHost, VapicRegisters } from './host.ts'
export {
  findBackward,
  findInstruction,
  patchFor,
  type FoundInstruction,
  type HandlerName,
  type TprAccess,
  type TprInstruction,
  tprInstructions,
} from './instructions.ts'
export { type TprReport, type VapicCounts, VapicPatcher, VapicState } from './patcher.ts'
export { decodeSaved, encodeSaved, SAVED_BYTES, type SavedHandlers, type SavedVapic } from './saved.ts'
export type { PatchedSite } from './sites.ts'
export { type Handlers, readStructure, ROM_BYTES, ROM_STRUCTURE, type RomStructure, VAPIC_PORT } from './structure.ts'
