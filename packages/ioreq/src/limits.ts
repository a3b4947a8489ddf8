/** Bytes of guest memory in one frame. */
export const MAX_DMA_BYTES: number = 1 << 16
