/**
 * Patches the accesses of 32-bit guests to the task priority register into calls of an option ROM's helpers.
 *
 * @packageDocumentation
 */
export { VapicError } from './errors.ts'
export type { PollMethod, VapicHost, VapicRegisters } from './host.ts'
export { findBackward, findInstruction, patchFor, type TprAccess, tprInstructions } from './instructions.ts'
export { type TprReport, VapicPatcher, VapicState } from './patcher.ts'
export { decodeSaved, encodeSaved, SAVED_BYTES, type SavedVapic } from './saved.ts'
export { type Handlers, readStructure, ROM_BYTES, ROM_STRUCTURE, VAPIC_PORT } from './structure.ts'
