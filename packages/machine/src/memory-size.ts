import { MIB } from '@retrap/basics'
import { SMRAM_BYTES } from './machine-type.ts'
import { THREAD_BYTES } from '@retrap/hvm'
import { CODE_CACHE_BYTES } from '@retrap/x86-cpu'
import { flashRoom } from './firmware/flash.ts'
import { networkRomBytes } from './options/network-card.ts'
import type { PcOptions } from './options/pc-options.ts'
import { vgaBytes } from './options/vga.ts'

/** vCPU state, logs, request pages and table frames, beside RAM and the code arena. */
const FIXED_OVERHEAD = 4 * MIB
const VCPU_OVERHEAD = 3584 * 1024
/** ROM and RAM below 1 MiB that is not shared, request pages, and tables that each guest has. */
const CLONE_OVERHEAD = 1.5 * MIB
/** Sixteen bytes for each frame of 4 KiB: its generation, its users, and its place in the allocator and the p2m. */
const FRAME_RECORD_SHARE = 256
/** Eight bytes more for each frame: which threads write it, and which hold its code. */
const THREAD_RECORD_SHARE = 512

/** Whether vCPUs execute in threads of their own. */
const isThreaded = ({ smp = 'turns' }: PcOptions): boolean => smp !== 'turns'

/**
 * Bytes of the machine memory of a PC: guest RAM, and memory of the hypervisor beside it.
 *
 * @param flash - contents of the flash memories
 */
export function machineMemoryBytes(options: PcOptions, flash: readonly Uint8Array[]): number {
  const { memoryBytes, forks } = options
  const bytes =
    roundToLargePage(memoryBytes) +
    FIXED_OVERHEAD +
    (options.codeCacheBytes ?? CODE_CACHE_BYTES) +
    besideRam(options, flashRoom(flash)) +
    memoryBytes / FRAME_RECORD_SHARE +
    (isThreaded(options) ? memoryBytes / THREAD_RECORD_SHARE : 0)
  if (forks === undefined) return bytes
  const clones = forks.clones * cloneBytes(options) + (forks.clones + 1) * roundToLargePage(forks.writtenBytes)
  return bytes + clones + clones / FRAME_RECORD_SHARE
}

/** Bytes of machine memory that a clone takes beside the RAM that it writes. */
export function cloneBytes(options: PcOptions): number {
  const flash = (options.flash ?? []).reduce((sum, { medium }) => sum + medium.properties.bytes + 2 * MIB, 0)
  // The tables of its map may all be its own: 8 bytes for each frame.
  return CLONE_OVERHEAD + options.memoryBytes / 512 + besideRam(options, flash)
}

/** @param flash - bytes for the flash memories */
function besideRam(options: PcOptions, flash: number): number {
  return (
    (options.cpus ?? 1) * (VCPU_OVERHEAD + (isThreaded(options) ? THREAD_BYTES : 0)) +
    (options.firmware?.length ?? 0) +
    flash +
    vgaBytes(options) +
    networkRomBytes(options) +
    (options.smm === true ? SMRAM_BYTES : 0) +
    (options.deviceMemoryBytes ?? 0)
  )
}

/** Guest RAM wants whole 2 MiB leaves. */
export function roundToLargePage(bytes: number): number {
  return Math.ceil(bytes / (2 * MIB)) * 2 * MIB
}
