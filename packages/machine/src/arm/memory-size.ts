import { MIB } from '@retrap/basics'
import { CODE_CACHE_BYTES } from '@retrap/arm-cpu'
import { networkRomBytes } from '../devices/network-card.ts'
import type { PcOptions } from '../pc/pc-options.ts'
import { vgaBytes } from '../devices/vga.ts'
import { VIRT } from './layout.ts'

/** Logs, request pages, table frames and the interrupt controller, beside RAM and the code arena. */
const FIXED_OVERHEAD = 6 * MIB
/** State and TLB of a vCPU. */
const VCPU_OVERHEAD = 5120 * 1024
/** Sixteen bytes for each frame of 4 KiB: its generation, its users, and its place in the allocator and the p2m. */
const FRAME_RECORD_SHARE = 256

/** The options that {@link armMemoryBytes} counts. */
interface CountedOptions extends Pick<PcOptions, 'virtio' | 'networkCards' | 'flash' | 'vga'> {
  readonly memoryBytes: number
  readonly cpus?: number | undefined
  readonly codeCacheBytes?: number | undefined
  readonly deviceMemoryBytes?: number | undefined
}

/** Bytes of the machine memory of an Arm board: guest RAM, and what lies beside it. */
export function armMemoryBytes(options: CountedOptions): number {
  const { memoryBytes, cpus = 1, codeCacheBytes = CODE_CACHE_BYTES, deviceMemoryBytes = 0, vga = 'none' } = options
  // RAM wants whole 2 MiB leaves.
  const ram = Math.ceil(memoryBytes / (2 * MIB)) * 2 * MIB
  return (
    ram +
    FIXED_OVERHEAD +
    cpus * VCPU_OVERHEAD +
    codeCacheBytes +
    networkRomBytes(options) +
    vgaBytes({ memoryBytes, vga }) +
    (options.flash === undefined ? 0 : VIRT.flash.count * (VIRT.flash.bytes + 2 * MIB)) +
    deviceMemoryBytes +
    memoryBytes / FRAME_RECORD_SHARE
  )
}
