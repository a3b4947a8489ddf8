import { isElf } from './elf.ts'
import { LoaderError } from './errors.ts'
import type { GuestMemoryWriter } from './guest-memory.ts'
import { isLinux, loadLinux, type LinuxImages, type LoadedKernel } from './linux.ts'
import { isMultiboot, loadMultiboot } from './multiboot.ts'
import { hasPvhEntry, loadPvh, type BootModule } from './pvh.ts'

const DOS_MAGIC = 0x5a4d
const BOOT_FLAG = 0x1fe
const BOOT_FLAG_VALUE = 0xaa55

/** The images for {@link loadKernel}. */
export interface KernelImages extends LinuxImages {
  /** Further files for a multiboot or PVH kernel, behind the initrd. */
  readonly modules?: readonly BootModule[] | undefined
}

/** Whether {@link loadKernel} loads a kernel by the multiboot protocol, by which texts begin with the names of files. */
export const isMultibootKernel = (kernel: Uint8Array): boolean => !isLinux(kernel) && isMultiboot(kernel)

/**
 * Loads a kernel by whichever protocol it was made for: Linux bzImage,
 * multiboot 1, or PVH. The initrd is the first module of the latter two.
 *
 * @throws LoaderError `ERR_FORMAT` for an unknown format; otherwise whatever the protocol's own loader throws
 */
export function loadKernel(memory: GuestMemoryWriter, images: KernelImages): LoadedKernel {
  const { kernel, initrd, commandLine, rsdpAddress } = images
  const further = images.modules ?? []
  if (isLinux(kernel)) {
    if (further.length === 0) return loadLinux(memory, images)
    throw new LoaderError('ERR_FORMAT', 'modules', `${further.length}`, 'none: Linux takes an initrd and nothing else')
  }
  const modules = initrd === undefined || initrd.length === 0 ? further : [{ bytes: initrd }, ...further]
  if (isMultiboot(kernel)) return loadMultiboot(memory, { kernel, modules, commandLine })
  if (isElf(kernel)) {
    if (hasPvhEntry(kernel)) return loadPvh(memory, { kernel, modules, commandLine, rsdpAddress })
    throw new LoaderError(
      'ERR_FORMAT',
      'XEN_ELFNOTE_PHYS32_ENTRY',
      'an ELF file without it',
      'that note (PVH) or a multiboot header',
    )
  }
  // A file that begins like a bzImage gets the bzImage loader's complaint, which names the field.
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  const beginsLikeLinux =
    (kernel.length >= 2 && view.getUint16(0, true) === DOS_MAGIC) ||
    (kernel.length >= BOOT_FLAG + 2 && view.getUint16(BOOT_FLAG, true) === BOOT_FLAG_VALUE)
  if (beginsLikeLinux) return loadLinux(memory, images)
  throw new LoaderError(
    'ERR_FORMAT',
    'kernel',
    `a file of ${kernel.length} bytes of no known format`,
    'a Linux bzImage, an ELF file with a PVH note, or a multiboot image',
  )
}

/** The option ROMs of QEMU by which a BIOS starts a kernel that fw_cfg holds. */
export type KernelRom = 'linuxboot_dma.bin' | 'multiboot_dma.bin' | 'pvh.bin'

/**
 * The option ROM that starts a kernel from a BIOS.
 *
 * @throws LoaderError `ERR_FORMAT` for a file that is no kernel
 */
export function kernelRom(kernel: Uint8Array): KernelRom {
  if (isLinux(kernel)) return 'linuxboot_dma.bin'
  if (isMultiboot(kernel)) return 'multiboot_dma.bin'
  if (isElf(kernel) && hasPvhEntry(kernel)) return 'pvh.bin'
  throw new LoaderError(
    'ERR_FORMAT',
    'kernel',
    `a file of ${kernel.length} bytes that firmware cannot start`,
    'a Linux bzImage, an ELF file with a PVH note, or a multiboot image',
  )
}
