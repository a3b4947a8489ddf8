import { MIB } from '@retrap/basics'
import { CODE_CACHE_BYTES } from '@retrap/arm-cpu'
import { networkRomBytes } from '../options/network-card.ts'
import { roundToLargePage } from '../memory-size.ts'
import { vgaBytes } from '../options/vga.ts'
import { VIRT } from './layout.ts'
import type { ArmMachineOptions } from './machine-options.ts'

/** Logs, request pages, table frames and the interrupt controller, beside RAM and the code arena. */
const FIXED_OVERHEAD = 6 * MIB
/** Request pages, interrupt controller, and tables that each guest has. */
const CLONE_OVERHEAD = 2 * MIB
/** State and TLB of a vCPU. */
const VCPU_OVERHEAD = 5120 * 1024
/** Sixteen bytes for each frame of 4 KiB: its generation, its users, and its place in the allocator and the p2m. */
const FRAME_RECORD_SHARE = 256

/** Bytes of the machine memory of an Arm board: guest RAM, and memory of the hypervisor beside it. */
export function armMemoryBytes(options: ArmMachineOptions): number {
  const { memoryBytes, codeCacheBytes = CODE_CACHE_BYTES, forks } = options
  const bytes =
    roundToLargePage(memoryBytes) +
    FIXED_OVERHEAD +
    codeCacheBytes +
    besideRam(options) +
    memoryBytes / FRAME_RECORD_SHARE
  if (forks === undefined) return bytes
  const clones = forks.clones * armCloneBytes(options) + (forks.clones + 1) * roundToLargePage(forks.writtenBytes)
  return bytes + clones + clones / FRAME_RECORD_SHARE
}

/** Bytes of machine memory that a clone takes beside the RAM that it writes. */
export function armCloneBytes(options: ArmMachineOptions): number {
  // The stage-2 tables of an Arm machine take 8 bytes for each frame besides RAM.
  return CLONE_OVERHEAD + options.memoryBytes / 512 + besideRam(options)
}

function besideRam(options: ArmMachineOptions): number {
  const { memoryBytes, cpus = 1, deviceMemoryBytes = 0, vga = 'none' } = options
  return (
    cpus * VCPU_OVERHEAD +
    networkRomBytes(options) +
    vgaBytes({ memoryBytes, vga }) +
    (options.flash === undefined ? 0 : VIRT.flash.count * (VIRT.flash.bytes + 2 * MIB)) +
    deviceMemoryBytes
  )
}
