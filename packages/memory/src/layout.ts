/**
 * Counts the bytes of the smallest page of a guest and of the smallest machine frame. Code that runs for each access or
 * table walk writes 0xfff instead: V8 folds constants of the module that it compiles, and loads other modules'.
 */
export const PAGE_BYTES = 4096

/** Shifts an address below 2^32 to its frame number. */
export const PAGE_SHIFT = 12

/** Frames of order 0, 9 and 18 are 4 KiB, 2 MiB and 1 GiB, as in x86 and LPAE tables. */
export const ORDER_4K = 0
/** See {@link ORDER_4K}. */
export const ORDER_2M = 9
/** See {@link ORDER_4K}. */
export const ORDER_1G = 18

/** The whole of a 32-bit WebAssembly memory. */
export const MAX_MACHINE_BYTES = 0x1_0000_0000

/**
 * The most guest RAM a machine can have: the remainder of 4 GiB once the hypervisor's own structures (generations, p2m
 * tables, replay logs, devices' frame buffers) have room.
 */
export const MAX_GUEST_RAM_BYTES = 0xe000_0000

/** Bits of `MachineMemory.codeBits` that count the code caches which hold decoded code of the frame. */
export const FRAME_DECODED = 0xf8
/** One code cache in the count. */
export const FRAME_OWNER = 8
/** Bit of `MachineMemory.codeBits`: a vCPU monitors a line of the frame, as MONITOR and MWAIT of x86 do. */
export const FRAME_MONITORED = 2
/** Bit of `MachineMemory.codeBits`: a debugger watches all writes to the frame. */
export const FRAME_WATCHED = 4

/** The unit of a WebAssembly memory's size. */
export const WASM_PAGE_BYTES = 0x1_0000

/*
 * Machine memory begins with:
 *
 *   frame 0      never used, so that a zero MA is always a mistake and harms nothing
 *   frame 1      the header below
 *   frame 2 ...  the fixed area
 *   after it     generation, u32 per frame
 *                code bits, u8 per frame
 *                allocation bitmap, a bit per frame (1: in use)
 *
 * All of it is in machine memory, and not in JavaScript objects, because vCPUs on other threads read the first two and
 * hypercalls on any thread may allocate.
 */

export const HEADER_MA: number = 1 * PAGE_BYTES
/** Index of the header's first word in `MachineMemory.u32`. */
export const HEADER_WORD: number = HEADER_MA >>> 2
/** "RTRP", little-endian. */
export const HEADER_MAGIC = 0x5052_5452
/** Changes whenever the layout does. */
export const HEADER_VERSION = 2

/** MA of the area that `MachineMemory.allocateFixed` cuts regions from: the same in machines of every size. */
export const FIXED_MA: number = 2 * PAGE_BYTES
/** Size of that area: room for the counters of hot code, which a generated interpreter has as constants. */
export const FIXED_BYTES: number = 17 * PAGE_BYTES

/** Frames of a machine that has an area for four such regions: for the engines of vCPUs in threads. */
const LARGE_FRAMES = 4096
/** Bytes of the area for regions with addresses of their own, in a machine with this many frames. */
export const fixedBytes = (frames: number): number => (frames < LARGE_FRAMES ? 1 : 4) * FIXED_BYTES

// Header words, as indices into `u32` relative to HEADER_MA / 4.
export const H_MAGIC = 0
export const H_VERSION = 1
export const H_FRAMES = 2
export const H_GENERATION_MA = 3
export const H_CODE_BITS_MA = 4
export const H_BITMAP_MA = 5
/** Frames still free. */
export const H_FREE = 6
/** 0: the allocator is free; 1: a thread is in it. */
export const H_LOCK = 7
/** No frame below this one is free. */
export const H_LOWEST_FREE = 8
/** Bounds of the arena for small regions; equal: no arena. */
export const H_ARENA_NEXT = 9
export const H_ARENA_END = 10
/** Number of free frames when the machine was made. */
export const H_TOTAL_FREE = 11
/** Bytes of the fixed area that are in use. */
export const H_FIXED_USED = 12
