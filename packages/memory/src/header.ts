import { describeArgument } from '@retrap/basics'
import { wasmPages } from './atomics64.ts'
import { MemoryError } from './errors.ts'
import * as L from './layout.ts'
import { tooLarge } from './sizes.ts'

/** A machine is rounded up to this, so that the allocation bitmap is whole words. */
const GRANULE_BYTES = 0x2_0000

/** Options of `MachineMemory.create`. */
export interface MachineMemoryOptions {
  /** All of machine memory, guest RAM and hypervisor structures; rounded up to 128 KiB. */
  readonly bytes: number
  /** Backed by a `SharedArrayBuffer`, so that vCPUs may run in Workers. Default: false. */
  readonly shared?: boolean
}

/**
 * A `WebAssembly.Memory`, by its shape. Its own type exists only where lib.dom does, and this package's users may have
 * Node's types alone.
 */
export interface WasmMemory {
  /** The bytes. */
  readonly buffer: ArrayBuffer
  /** Never called: a machine's memory does not grow. */
  grow(pages: number): number
}

/**
 * Makes a machine's memory with its header, all zero otherwise.
 *
 * @throws MemoryError `ERR_TOO_LARGE`, `ERR_RANGE`, or `ERR_NO_MEMORY` where the host refuses
 */
export function createMemory(options: MachineMemoryOptions): WasmMemory {
  const asked: unknown = (options as MachineMemoryOptions | undefined | null)?.bytes
  if (typeof asked !== 'number') {
    throw new MemoryError('ERR_ARGUMENT', `bytes is ${describeArgument(asked)}: expected a number of bytes`)
  }
  const bytes = Math.ceil(options.bytes / GRANULE_BYTES) * GRANULE_BYTES
  if (!(bytes >= 2 * GRANULE_BYTES)) {
    throw new MemoryError('ERR_RANGE', `machine memory of ${options.bytes} bytes: expected 256 KiB or more`, {
      requestedBytes: options.bytes,
    })
  }
  if (bytes > L.MAX_MACHINE_BYTES) throw tooLarge('machine memory', options.bytes, L.MAX_MACHINE_BYTES)
  const pages = wasmPages(bytes)
  const shared = options.shared ?? false
  let memory: WebAssembly.Memory
  try {
    memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MemoryError('ERR_NO_MEMORY', `the host refused ${bytes} bytes of machine memory: ${reason}`, {
      requestedBytes: bytes,
    })
  }
  format(new Uint32Array(memory.buffer), bytes / L.PAGE_BYTES)
  return memory
}

/** Checks that a machine was made in a memory. @throws MemoryError `ERR_HEADER` */
export function checkHeader(memory: WasmMemory): void {
  const buffer: unknown = (memory as WasmMemory | undefined | null)?.buffer
  if (!isBuffer(buffer) || buffer.byteLength % 4 !== 0 || buffer.byteLength < 2 * GRANULE_BYTES) {
    throw new MemoryError('ERR_HEADER', `${describeArgument(memory)} is no WebAssembly memory with a machine`)
  }
  const u32 = new Uint32Array(buffer)
  if (
    u32[L.HEADER_WORD + L.H_MAGIC] !== L.HEADER_MAGIC ||
    u32[L.HEADER_WORD + L.H_VERSION] !== L.HEADER_VERSION ||
    u32[L.HEADER_WORD + L.H_FRAMES] !== memory.buffer.byteLength / L.PAGE_BYTES
  ) {
    throw new MemoryError('ERR_HEADER', 'this WebAssembly memory holds no machine of this version')
  }
}

function isBuffer(value: unknown): value is ArrayBuffer | SharedArrayBuffer {
  return value instanceof ArrayBuffer || (typeof SharedArrayBuffer === 'function' && value instanceof SharedArrayBuffer)
}

/** Writes the header of a fresh, all-zero memory. */
function format(u32: Uint32Array, frames: number): void {
  const endian = new Uint8Array(Uint32Array.of(1).buffer)
  if (endian[0] !== 1) throw new MemoryError('ERR_HOST', 'machine memory needs a little-endian host')
  const generation = L.FIXED_MA + L.fixedBytes(frames)
  const codeBits = generation + frames * 4
  const bitmap = codeBits + frames
  const used = Math.ceil((bitmap + frames / 8) / L.PAGE_BYTES)
  for (let frame = 0; frame < used; frame++) u32[(bitmap >>> 2) + (frame >>> 5)]! |= 1 << (frame & 31)
  u32[L.HEADER_WORD + L.H_VERSION] = L.HEADER_VERSION
  u32[L.HEADER_WORD + L.H_FRAMES] = frames
  u32[L.HEADER_WORD + L.H_GENERATION_MA] = generation
  u32[L.HEADER_WORD + L.H_CODE_BITS_MA] = codeBits
  u32[L.HEADER_WORD + L.H_BITMAP_MA] = bitmap
  u32[L.HEADER_WORD + L.H_FREE] = frames - used
  u32[L.HEADER_WORD + L.H_TOTAL_FREE] = frames - used
  u32[L.HEADER_WORD + L.H_LOWEST_FREE] = used
  u32[L.HEADER_WORD + L.H_MAGIC] = L.HEADER_MAGIC
}
