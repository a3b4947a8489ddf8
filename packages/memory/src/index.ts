/**
 * Machine memory: the one buffer a machine lives in, its allocator, page generations and code bits.
 *
 * @packageDocumentation
 */
export { MemoryError } from './errors.ts'
export { FrameAllocator } from './frames.ts'
export {
  FIXED_BYTES,
  FIXED_MA,
  FRAME_DECODED,
  FRAME_MONITORED,
  FRAME_OWNER,
  FRAME_WATCHED,
  MAX_GUEST_RAM_BYTES,
  ORDER_1G,
  ORDER_2M,
  ORDER_4K,
  PAGE_BYTES,
  PAGE_SHIFT,
} from './layout.ts'
export type { WasmMemory } from './header.ts'
export { MachineMemory, type Region } from './machine-memory.ts'
export type { Neighbour } from './neighbours/neighbour.ts'
export { Neighbours } from './neighbours/neighbours.ts'
export { machineBytesFor } from './sizes.ts'
export { MOST_NEIGHBOURS } from './neighbours/request-table.ts'
