import { GIB, PT_LOAD } from '@retrap/basics'
import { isElf, loadElf, parseElf } from '../loaders/elf.ts'
import { LoaderError } from '../loaders/errors.ts'
import { requireRam, writeZeroes, type GuestMemoryWriter } from '../loaders/guest-memory.ts'
import { E820, type GuestRange } from '../loaders/memory-map.ts'
import { ARM_KERNELS, type Decompress, IMAGE_ALIGNMENT, isImage, parseImage, unpackImage } from './kernel-image.ts'
import { VIRT } from './layout.ts'

/** e_machine of an ELF file for AArch64. */
const EM_AARCH64 = { value: 183, name: 'AArch64' }
/** Most bytes of a device tree: the kernel maps the tree by one block. */
const TREE_LIMIT = IMAGE_ALIGNMENT
/** Size of a window, at a multiple of 1 GiB, that must contain both initrd and kernel. */
const INITRD_WINDOW = 32 * GIB
/** PSTATE of EL1 on its own stack pointer, with debug exceptions, SErrors and interrupts masked. */
const PSTATE_EL1H_MASKED = 0x3c5

/** The board's RAM, for loaders. */
export interface ArmRamWriter {
  /** All RAM of the machine, from `VIRT.ram.base` on. */
  readonly ramBytes: number
  /** Copies bytes to RAM, in which the range lies. */
  write(gpa: number, bytes: Uint8Array): void
}

/** The images for {@link loadArmKernel}. */
export interface ArmKernelImages {
  /** An Image, one in a gzip file or in an EFI image with gzip or zstd, or an ELF file for AArch64. */
  readonly kernel: Uint8Array
  /** The initial RAM disk; absent: none. */
  readonly initrd?: Uint8Array | undefined
  /** Makes the device tree, once it is known where the initrd will be. */
  readonly deviceTree: (initrd: GuestRange | undefined) => Uint8Array
  /** Decompresses zstd, such as Node's; absent: images compressed with it are refused. */
  readonly unzstd?: Decompress | undefined
}

/** The first processor's registers at the kernel's entry. Those not named are 0; the MMU and caches are off. */
export interface ArmInitialState {
  /** X0 to X3. */
  readonly x: readonly [x0: number, x1: number, x2: number, x3: number]
  /** The entry point. */
  readonly pc: number
  /** PSTATE as SPSR_EL1 holds it: EL1 on SP_EL1, DAIF masked. */
  readonly pstate: number
}

/** Addresses of the loaded parts, and the boot registers. */
export interface LoadedArmKernel {
  /** How the kernel was loaded and is entered. */
  readonly protocol: 'linux' | 'elf'
  /** Registers of the first processor. */
  readonly state: ArmInitialState
  /** GPA of the first byte of the kernel. */
  readonly kernelStart: number
  /** GPA behind the last byte that the kernel needs. */
  readonly kernelEnd: number
  readonly deviceTree: GuestRange
  /** Range of the initrd, or null. */
  readonly initrd: GuestRange | null
}

/**
 * Loads a kernel with its device tree and initrd by the arm64 boot protocol. An ELF file is entered in the same way.
 *
 * The kernel lies at the beginning of RAM, the tree in the 2 MiB behind it, and the initrd behind that.
 *
 * @throws LoaderError naming the field that cannot be booted, or the image that has no room
 *
 * Source: Linux, Documentation/arch/arm64/booting.rst.
 */
export async function loadArmKernel(ram: ArmRamWriter, images: ArmKernelImages): Promise<LoadedArmKernel> {
  const memory: GuestMemoryWriter = {
    ramBytes: ram.ramBytes,
    e820: [{ gpa: VIRT.ram.base, bytes: ram.ramBytes, type: E820.ram }],
    write: (gpa, bytes) => ram.write(gpa, bytes),
  }
  const { initrd = new Uint8Array(0), deviceTree } = images
  const kernel = isElf(images.kernel)
    ? writeElf(memory, images.kernel)
    : writeImage(memory, await unpackImage(images.kernel, memory.ramBytes, images.unzstd))
  const treeStart = up(kernel.end)
  const initrdStart = treeStart + TREE_LIMIT
  const initrdRange = initrd.length === 0 ? undefined : { gpa: initrdStart, bytes: initrd.length }
  if (initrdRange !== undefined) {
    requireRam(memory, 'initrd size', initrdStart, initrd.length)
    const window = Math.floor(kernel.start / GIB) * GIB
    if (initrdStart + initrd.length > window + INITRD_WINDOW)
      throw new LoaderError(
        'ERR_NO_ROOM',
        'initrd size',
        `${initrd.length} bytes`,
        'an end within 32 GiB of the kernel',
      )
  }
  const tree = deviceTree(initrdRange)
  if (tree.length > TREE_LIMIT)
    throw new LoaderError('ERR_NO_ROOM', 'device tree', `${tree.length} bytes`, `at most ${TREE_LIMIT}`)
  requireRam(memory, 'device tree', treeStart, tree.length)
  memory.write(treeStart, tree)
  if (initrdRange !== undefined) memory.write(initrdStart, initrd)
  return {
    protocol: kernel.protocol,
    state: { x: [treeStart, 0, 0, 0], pc: kernel.entry, pstate: PSTATE_EL1H_MASKED },
    kernelStart: kernel.start,
    kernelEnd: kernel.end,
    deviceTree: { gpa: treeStart, bytes: tree.length },
    initrd: initrdRange ?? null,
  }
}

const up = (gpa: number): number => Math.ceil(gpa / IMAGE_ALIGNMENT) * IMAGE_ALIGNMENT

/** A kernel that has been written to guest memory. */
interface WrittenKernel {
  readonly protocol: 'linux' | 'elf'
  readonly entry: number
  readonly start: number
  readonly end: number
}

function writeImage(memory: GuestMemoryWriter, image: Uint8Array): WrittenKernel {
  if (!isImage(image))
    throw new LoaderError('ERR_FORMAT', 'kernel', `a file of ${image.length} bytes of no known format`, ARM_KERNELS)
  const { textOffset, imageBytes } = parseImage(image)
  const start = VIRT.ram.base + textOffset
  requireRam(memory, 'image_size', start, imageBytes)
  memory.write(start, image)
  writeZeroes(memory, start + image.length, imageBytes - image.length)
  return { protocol: 'linux', entry: start, start, end: start + imageBytes }
}

function writeElf(memory: GuestMemoryWriter, image: Uint8Array): WrittenKernel {
  const elf = parseElf(image, [EM_AARCH64])
  const { start, end } = loadElf(memory, image, elf)
  // The entry is a virtual address; the MMU is off.
  const home = elf.segments.find(
    ({ type, virtualAddress, memoryBytes }) =>
      type === PT_LOAD && elf.entry >= virtualAddress && elf.entry < virtualAddress + memoryBytes,
  )
  if (home === undefined) throw new LoaderError('ERR_FIELD', 'e_entry', elf.entry, 'an address in a segment to load')
  return { protocol: 'elf', entry: elf.entry - home.virtualAddress + home.physicalAddress, start, end }
}
