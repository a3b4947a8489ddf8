import { CODE_CACHE_BYTES } from '@retrap/x86-cpu'
import { flashRoom } from './flash.ts'
import { networkRomBytes } from './network-card.ts'
import type { PcOptions } from './pc-options.ts'
import { SMRAM_BYTES } from './smram.ts'
import { vgaBytes } from './vga.ts'

const MIB = 1 << 20
/** vCPU state, logs, request pages and table frames, beside RAM and the code arena. */
const FIXED_OVERHEAD = 4 * MIB
const VCPU_OVERHEAD = 3584 * 1024
/** Sixteen bytes for each frame of 4 KiB: its generation, its users, and its place in the allocator and the p2m. */
const FRAME_RECORD_SHARE = 256

/**
 * Bytes of the machine memory of a PC: guest RAM, and what lies beside it.
 *
 * @param flash - contents of the flash memories
 */
export function machineMemoryBytes(options: PcOptions, flash: readonly Uint8Array[]): number {
  const { memoryBytes } = options
  return (
    roundToLargePage(memoryBytes) +
    FIXED_OVERHEAD +
    (options.cpus ?? 1) * VCPU_OVERHEAD +
    (options.codeCacheBytes ?? CODE_CACHE_BYTES) +
    (options.firmware?.length ?? 0) +
    flashRoom(flash) +
    vgaBytes(options) +
    networkRomBytes(options) +
    (options.smm === true ? SMRAM_BYTES : 0) +
    (options.deviceMemoryBytes ?? 0) +
    memoryBytes / FRAME_RECORD_SHARE
  )
}

/** Guest RAM wants whole 2 MiB leaves. */
function roundToLargePage(bytes: number): number {
  return Math.ceil(bytes / (2 * MIB)) * 2 * MIB
}
