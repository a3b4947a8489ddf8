import type * as engine from '@retrap/engine'

/** Geometry of the TLB: the engine's values, written out as in state-layout.ts. */
export const TLB_READ: typeof engine.TLB_READ = 0
export const TLB_WRITE_OFFSET: typeof engine.TLB_WRITE = 0x40000
export const TLB_INDEX_MASK: typeof engine.TLB_INDEX_MASK = 0x3fff0
export const TLB_SET_BYTES: typeof engine.TLB_SET_BYTES = 0xc0000
