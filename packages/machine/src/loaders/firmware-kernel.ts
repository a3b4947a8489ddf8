import { LoaderError, hex } from './errors.ts'
import { KERNEL_KEY as KEY } from './firmware-keys.ts'
import { commandLineBytes, pageDown, type GuestMemoryWriter } from './guest-memory.ts'
import { type KernelImages, kernelRom } from './kernel.ts'
import { parseHeader, prepareSetup } from './linux.ts'
import type { PcMemoryMap } from './memory-map.ts'
import { loadMultiboot } from './multiboot.ts'
import { loadPvh } from './pvh.ts'

/** A kernel as fw_cfg hands it to firmware. */
export interface FirmwareKernel {
  /** The fw_cfg items, by key. */
  readonly keys: readonly (readonly [key: number, bytes: Uint8Array])[]
  /** The pieces in RAM before firmware starts: the segments of a PVH kernel. */
  readonly loaded: readonly LoadedPiece[]
}

/** Bytes in RAM. */
export interface LoadedPiece {
  /** Guest-physical address of the first byte. */
  readonly gpa: number
  /** The contents. */
  readonly bytes: Uint8Array
}

// Where the boot ROMs put a Linux kernel: the setup sectors, the command line above their stack, and the rest.
const SETUP = 0x1_0000
const COMMAND_LINE = 0x2_0000
const ONE_MIB = 0x10_0000
/** Firmware keeps this much below the end of low RAM for tables and for itself. */
const FIRMWARE_SHARE = 0x2_8000
/** The ROM for multiboot writes the memory map here; the boot information follows. */
const MULTIBOOT_MEMORY_MAP = 0x9000
const MULTIBOOT_INFORMATION = 0x9500
const INFORMATION_BYTES = 88
const INFORMATION_MMAP_ADDRESS = 48
/** Bytes of an ELF file by which firmware identifies the kind of kernel. */
const ELF_HEADER_BYTES = 8192
const COMMAND_LINE_LIMIT = 4095

/**
 * Makes the items of fw_cfg from which firmware boots a kernel.
 *
 * @throws LoaderError naming the image that cannot be booted
 */
export function kernelForFirmware(images: KernelImages, map: PcMemoryMap): FirmwareKernel {
  switch (kernelRom(images.kernel)) {
    case 'linuxboot_dma.bin':
      return linuxItems(images, map)
    case 'multiboot_dma.bin':
      return multibootItems(images, map)
    case 'pvh.bin':
      return pvhItems(images, map)
  }
}

/** Source: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". */
function linuxItems({ kernel, initrd, commandLine, modules = [] }: KernelImages, map: PcMemoryMap): FirmwareKernel {
  if (modules.length > 0) {
    throw new LoaderError('ERR_FORMAT', 'modules', `${modules.length}`, 'none: Linux takes an initrd and nothing else')
  }
  const header = parseHeader(kernel)
  const text = commandLineBytes(commandLine ?? '', header.cmdlineSize)
  const disk = initrd ?? new Uint8Array(0)
  const top = header.initrdAbove4G ? map.lowRamBytes : Math.min(map.lowRamBytes, header.initrdAddressMax + 1)
  const start = placeInitrd(disk, Math.min(top, map.lowRamBytes - FIRMWARE_SHARE), ONE_MIB + header.payload.length)
  const setup = prepareSetup(header, {
    commandLineGpa: COMMAND_LINE,
    heapEnd: COMMAND_LINE - SETUP,
    initrd: { gpa: start, bytes: disk.length },
  })
  return {
    keys: [
      ...blob(KEY.kernelAddress, ONE_MIB, KEY.kernelSize, KEY.kernelData, header.payload),
      ...blob(KEY.setupAddress, SETUP, KEY.setupSize, KEY.setupData, setup),
      ...blob(KEY.commandLineAddress, COMMAND_LINE, KEY.commandLineSize, KEY.commandLineData, text),
      ...(disk.length > 0 ? blob(KEY.initrdAddress, start, KEY.initrdSize, KEY.initrdData, disk) : []),
    ],
    loaded: [],
  }
}

/** Kernel, modules and their texts are one piece; the boot information is where the initrd of a Linux kernel is. */
function multibootItems(images: KernelImages, map: PcMemoryMap): FirmwareKernel {
  const { kernel, initrd, commandLine } = images
  const pieces = new Pieces(map)
  const modules = [
    ...(initrd === undefined || initrd.length === 0 ? [] : [{ bytes: initrd }]),
    ...(images.modules ?? []),
  ]
  const { state } = loadMultiboot(pieces, { kernel, modules, commandLine })
  const { gpa, bytes } = pieces.joined()
  const at = state.registers.rbx - gpa
  const information = bytes.slice(at, at + INFORMATION_BYTES)
  new DataView(information.buffer).setUint32(INFORMATION_MMAP_ADDRESS, MULTIBOOT_MEMORY_MAP, true)
  return {
    keys: [
      ...blob(KEY.kernelAddress, gpa, KEY.kernelSize, KEY.kernelData, bytes),
      ...blob(KEY.initrdAddress, MULTIBOOT_INFORMATION, KEY.initrdSize, KEY.initrdData, information),
      [KEY.kernelEntry, word(state.registers.rip)],
    ],
    loaded: [],
  }
}

/** Items for PVH kernels: the ROM copies the kernel to its addresses in RAM, and makes its start structures. */
function pvhItems({ kernel, initrd, commandLine, modules = [] }: KernelImages, map: PcMemoryMap): FirmwareKernel {
  if (modules.length > 0) {
    const expected = 'none: firmware hands a PVH kernel an initrd and nothing else'
    throw new LoaderError('ERR_FORMAT', 'modules', `${modules.length}`, expected)
  }
  const pieces = new Pieces(map)
  const { state, kernelEnd } = loadPvh(pieces, { kernel })
  const disk = initrd ?? new Uint8Array(0)
  const start = placeInitrd(disk, map.lowRamBytes - FIRMWARE_SHARE, kernelEnd)
  const text = commandLineBytes(commandLine ?? '', COMMAND_LINE_LIMIT)
  return {
    keys: [
      [KEY.kernelEntry, word(state.registers.rip)],
      ...blob(KEY.setupAddress, 0, KEY.setupSize, KEY.setupData, kernel.subarray(0, ELF_HEADER_BYTES)),
      ...blob(KEY.commandLineAddress, COMMAND_LINE, KEY.commandLineSize, KEY.commandLineData, text),
      ...(disk.length > 0 ? blob(KEY.initrdAddress, start, KEY.initrdSize, KEY.initrdData, disk) : []),
    ],
    // Behind the kernel are structures of ours, which the ROM makes itself.
    loaded: pieces.list.filter(({ gpa }) => gpa < kernelEnd),
  }
}

/** @returns the address of an initrd that ends at or below `top` */
function placeInitrd(initrd: Uint8Array, top: number, kernelEnd: number): number {
  const start = pageDown(top - initrd.length)
  if (initrd.length > 0 && start < kernelEnd) {
    const room = `at most ${Math.max(0, top - kernelEnd)} bytes below ${hex(top)}; give the machine more memory`
    throw new LoaderError('ERR_NO_ROOM', 'initrd size', `${initrd.length} bytes`, room)
  }
  return start
}

const blob = (
  addressKey: number,
  gpa: number,
  sizeKey: number,
  dataKey: number,
  bytes: Uint8Array,
): FirmwareKernel['keys'] => [
  [addressKey, word(gpa)],
  [sizeKey, word(bytes.length)],
  [dataKey, bytes],
]

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

/** Collects a loader's writes instead of guest RAM. */
class Pieces implements GuestMemoryWriter {
  readonly ramBytes: number
  readonly e820: PcMemoryMap['e820']
  readonly list: LoadedPiece[] = []

  constructor(map: PcMemoryMap) {
    this.ramBytes = map.lowRamBytes + map.highRamBytes
    this.e820 = map.e820
  }

  write(gpa: number, bytes: Uint8Array): void {
    this.list.push({ gpa, bytes })
  }

  /** Returns all pieces as one, with zeroes between them. */
  joined(): LoadedPiece {
    const gpa = Math.min(...this.list.map((piece) => piece.gpa))
    const end = Math.max(...this.list.map((piece) => piece.gpa + piece.bytes.length))
    const bytes = new Uint8Array(end - gpa)
    for (const piece of this.list) bytes.set(piece.bytes, piece.gpa - gpa)
    return { gpa, bytes }
  }
}
