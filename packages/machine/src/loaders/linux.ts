import { FOUR_GIB } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { LoaderError, hex } from './errors.ts'
import {
  commandLineBytes,
  pageDown,
  pageUp,
  ramFrom,
  requireRam,
  writeZeroes,
  type GuestMemoryWriter,
} from './guest-memory.ts'
import { flatProtectedState, longModeState, realModeState, type InitialState } from './guest.ts'

/** The images for {@link loadLinux}. */
export interface LinuxImages {
  /** A bzImage. */
  readonly kernel: Uint8Array
  /** The initial RAM disk; absent: none. */
  readonly initrd?: Uint8Array | undefined
  /** The kernel’s command line, passed as it is given; default empty. */
  readonly commandLine?: string | undefined
  /** GPA of the ACPI RSDP, or 0. */
  readonly rsdpAddress?: number | undefined
  /** Whether there is a graphics card, in text mode 3 as a BIOS leaves it; default false. */
  readonly hasScreen?: boolean | undefined
}

/** Addresses of the loaded parts, and the boot registers. */
export interface LoadedKernel {
  /** How the kernel was loaded and is entered. */
  readonly protocol: 'linux-64' | 'linux-32' | 'linux-16' | 'pvh' | 'multiboot'
  /** Registers of the first processor. */
  readonly state: InitialState
  /** GPA of the first byte of the kernel. */
  readonly kernelStart: number
  /** GPA behind the last byte that the kernel needs. */
  readonly kernelEnd: number
  /** GPA of the initrd or of the first module, or null. */
  readonly initrdStart: number | null
}

// Setup header, offsets in the file and in boot_params alike.
const SETUP_SECTS = 0x1f1
const SYSSIZE = 0x1f4
const BOOT_FLAG = 0x1fe
const JUMP_OFFSET = 0x201
const HEADER = 0x202
const VERSION = 0x206
const TYPE_OF_LOADER = 0x210
const LOADFLAGS = 0x211
const CODE32_START = 0x214
const RAMDISK_IMAGE = 0x218
const RAMDISK_SIZE = 0x21c
const HEAP_END_PTR = 0x224
const CMD_LINE_PTR = 0x228
const INITRD_ADDR_MAX = 0x22c
const KERNEL_ALIGNMENT = 0x230
const RELOCATABLE_KERNEL = 0x234
const XLOADFLAGS = 0x236
const CMDLINE_SIZE = 0x238
const PREF_ADDRESS = 0x258
const INIT_SIZE = 0x260
/** End of the header that version 2.10 has. */
const HEADER_BYTES = 0x264

// The rest of boot_params ("zero page"). `screen_info` is at its beginning.
const ORIG_VIDEO_MODE = 0x006
const ORIG_VIDEO_COLS = 0x007
const ORIG_VIDEO_EGA_BX = 0x00a
const ORIG_VIDEO_LINES = 0x00e
const ORIG_VIDEO_IS_VGA = 0x00f
const ORIG_VIDEO_POINTS = 0x010
const ACPI_RSDP_ADDR = 0x070
const EXT_RAMDISK_IMAGE = 0x0c0
const EXT_RAMDISK_SIZE = 0x0c4
const E820_ENTRIES = 0x1e8
const E820_TABLE = 0x2d0
const E820_ENTRY_BYTES = 20
const E820_LIMIT = 128
const BOOT_PARAMS_BYTES = 4096

const BOOT_FLAG_VALUE = 0xaa55
/** Mode 3: 80 by 25 characters of 16 lines. */
const TEXT_MODE = 3
/** Memory of an EGA, as function 12h of the video BIOS tells it in BL. */
const EGA_256_KIB = 3
const HDRS = 0x5372_6448
const LOADED_HIGH = 0x01
const CAN_USE_HEAP = 0x80
const XLF_KERNEL_64 = 0x01
const XLF_CAN_BE_LOADED_ABOVE_4G = 0x02
/** "No assigned id". */
const LOADER_UNKNOWN = 0xff
const ENTRY_64_OFFSET = 0x200
const SECTOR_BYTES = 512
const DEFAULT_SETUP_SECTS = 4
const PARAGRAPH_BYTES = 16
const OLDEST_VERSION = 0x206

// The loader's own structures: below 640 KiB, away from the BIOS data area and from addresses that kernels use first.
const GDT = 0x8000
const STACK_TOP = 0x8000
const PAGE_TABLES = 0x9000
const BOOT_PARAMS = 0x1_0000
const COMMAND_LINE = 0x2_0000
const BOOT_CS = 0x10
const BOOT_DS = 0x18
const ONE_MIB = 0x10_0000
/** Addresses in the segment of the setup sectors: their entry; the end of heap and stack, where the command line begins. */
const SETUP_BASE = 0x200
const REAL_MODE_STACK = 0xe000
const COMMAND_LINE_LIMIT = 0x1fff

/** Whether an image is a bzImage, which has both magic numbers. */
export function isLinux(image: Uint8Array): boolean {
  if (image.length < HEADER + 4) return false
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  return view.getUint16(BOOT_FLAG, true) === BOOT_FLAG_VALUE && view.getUint32(HEADER, true) === HDRS
}

/**
 * Loads a bzImage by the 64-bit boot protocol, by the 32-bit one where the
 * kernel has no 64-bit entry, or by the 16-bit one where it has no entry in
 * protected mode, as programs that ask the BIOS for everything (iPXE).
 *
 * @throws LoaderError naming the field of the setup header that cannot be booted
 *
 * Source: Linux, Documentation/arch/x86/boot.rst, "The Linux/x86 Boot
 * Protocol"; zero-page.rst.
 */
export function loadLinux(memory: GuestMemoryWriter, images: LinuxImages): LoadedKernel {
  const header = parseHeader(images.kernel)
  if (header.realModeOnly) return loadRealMode(memory, header, images)
  const commandLine = commandLineBytes(images.commandLine ?? '', header.cmdlineSize)
  const kernelStart = placeKernel(memory, header)
  const kernelEnd = kernelStart + header.initSize
  const initrd = images.initrd ?? new Uint8Array(0)
  const initrdStart = initrd.length === 0 ? null : placeInitrd(memory, header, kernelStart, kernelEnd, initrd.length)

  const params = new Uint8Array(BOOT_PARAMS_BYTES)
  const view = new DataView(params.buffer)
  // The header ends at the target of its jump instruction.
  const headerEnd = HEADER + images.kernel[JUMP_OFFSET]!
  params.set(images.kernel.subarray(SETUP_SECTS, headerEnd), SETUP_SECTS)
  params[TYPE_OF_LOADER] = LOADER_UNKNOWN
  view.setUint32(CODE32_START, kernelStart, true)
  view.setUint32(CMD_LINE_PTR, COMMAND_LINE, true)
  if (initrdStart !== null) {
    view.setUint32(RAMDISK_IMAGE, initrdStart % FOUR_GIB, true)
    view.setUint32(RAMDISK_SIZE, initrd.length % FOUR_GIB, true)
    view.setUint32(EXT_RAMDISK_IMAGE, Math.floor(initrdStart / FOUR_GIB), true)
    view.setUint32(EXT_RAMDISK_SIZE, Math.floor(initrd.length / FOUR_GIB), true)
  }
  if (images.hasScreen === true) {
    params[ORIG_VIDEO_MODE] = TEXT_MODE
    params[ORIG_VIDEO_COLS] = 80
    params[ORIG_VIDEO_EGA_BX] = EGA_256_KIB
    params[ORIG_VIDEO_LINES] = 25
    params[ORIG_VIDEO_IS_VGA] = 1
    params[ORIG_VIDEO_POINTS] = 16
  }
  view.setBigUint64(ACPI_RSDP_ADDR, BigInt(images.rsdpAddress ?? 0), true)
  const e820 = memory.e820.slice(0, E820_LIMIT)
  params[E820_ENTRIES] = e820.length
  e820.forEach((entry, i) => {
    const at = E820_TABLE + i * E820_ENTRY_BYTES
    view.setBigUint64(at, BigInt(entry.gpa), true)
    view.setBigUint64(at + 8, BigInt(entry.bytes), true)
    view.setUint32(at + 16, entry.type, true)
  })

  const lowEnd = COMMAND_LINE + commandLine.length
  requireRam(memory, 'boot_params and command line', GDT, lowEnd - GDT)
  memory.write(BOOT_PARAMS, params)
  memory.write(COMMAND_LINE, commandLine)
  memory.write(GDT, bootGdt(header.entry64 ? BOOT_CODE_64 : BOOT_CODE_32))
  memory.write(kernelStart, header.payload)
  writeZeroes(memory, kernelStart + header.payload.length, Math.max(0, header.initSize - header.payload.length))
  if (initrdStart !== null) memory.write(initrdStart, initrd)

  const gdtr = { base: GDT, limit: 4 * 8 - 1 }
  const registers = { rsi: BOOT_PARAMS, rsp: STACK_TOP }
  const placed = { kernelStart, kernelEnd, initrdStart }
  if (!header.entry64)
    return {
      protocol: 'linux-32',
      state: flatProtectedState(BOOT_CS, BOOT_DS, { ...registers, rip: kernelStart }, gdtr),
      ...placed,
    }
  memory.write(PAGE_TABLES, identityTables(PAGE_TABLES))
  const state = longModeState(BOOT_CS, BOOT_DS, { ...registers, rip: kernelStart + ENTRY_64_OFFSET }, gdtr, PAGE_TABLES)
  return { protocol: 'linux-64', state, ...placed }
}

/**
 * Loads an image that starts in real mode: its setup sectors with their header at 0x10000, the rest at 1 MiB.
 *
 * Source: Linux, Documentation/arch/x86/boot.rst, "Loading The Rest of The Kernel", "Running the Kernel".
 */
function loadRealMode(memory: GuestMemoryWriter, header: SetupHeader, images: LinuxImages): LoadedKernel {
  const initrd = images.initrd ?? new Uint8Array(0)
  const commandLine = commandLineBytes(images.commandLine ?? '', Math.min(header.cmdlineSize, COMMAND_LINE_LIMIT))
  const kernelEnd = ONE_MIB + header.initSize
  requireRam(memory, 'syssize', ONE_MIB, header.initSize)
  const initrdStart = initrd.length === 0 ? null : placeInitrd(memory, header, ONE_MIB, kernelEnd, initrd.length)
  const setup = prepareSetup(header, {
    commandLineGpa: BOOT_PARAMS + REAL_MODE_STACK,
    heapEnd: REAL_MODE_STACK,
    initrd: { gpa: initrdStart ?? 0, bytes: initrd.length },
  })
  if (initrdStart !== null) memory.write(initrdStart, initrd)
  requireRam(memory, 'setup and command line', BOOT_PARAMS, REAL_MODE_STACK + commandLine.length)
  memory.write(BOOT_PARAMS, setup)
  memory.write(BOOT_PARAMS + REAL_MODE_STACK, commandLine)
  memory.write(ONE_MIB, header.payload)
  const state = realModeState(BOOT_PARAMS >> 4, SETUP_BASE, REAL_MODE_STACK)
  return { protocol: 'linux-16', state, kernelStart: ONE_MIB, kernelEnd, initrdStart }
}

/** Addresses that a kernel's setup sectors read. */
interface SetupPlaces {
  readonly commandLineGpa: number
  /** End of heap and stack, from the beginning of the setup sectors' segment. */
  readonly heapEnd: number
  /** Place of the initrd; 0 bytes: there is no initrd. */
  readonly initrd: { readonly gpa: number; readonly bytes: number }
}

/** A copy of the setup sectors, with the fields that a loader fills in. */
export function prepareSetup(header: SetupHeader, { commandLineGpa, heapEnd, initrd }: SetupPlaces): Uint8Array {
  const setup = header.setup.slice()
  const view = new DataView(setup.buffer)
  setup[TYPE_OF_LOADER] = LOADER_UNKNOWN
  setup[LOADFLAGS] = setup[LOADFLAGS]! | CAN_USE_HEAP
  view.setUint16(HEAP_END_PTR, heapEnd - SETUP_BASE, true)
  view.setUint32(CMD_LINE_PTR, commandLineGpa, true)
  if (initrd.bytes > 0) {
    view.setUint32(RAMDISK_IMAGE, initrd.gpa, true)
    view.setUint32(RAMDISK_SIZE, initrd.bytes, true)
  }
  return setup
}

/** The fields of a bzImage's header that a loader needs. */
export interface SetupHeader {
  /** The setup sectors. */
  readonly setup: Uint8Array
  /** There is no entry in protected mode. */
  readonly realModeOnly: boolean
  /** The protected-mode part. */
  readonly payload: Uint8Array
  readonly entry64: boolean
  readonly preferredAddress: number
  /** Bytes of RAM that the kernel needs, from its load address, until it has its own memory map. */
  readonly initSize: number
  readonly cmdlineSize: number
  readonly initrdAddressMax: number
  readonly initrdAbove4G: boolean
}

/** @throws LoaderError naming the field that cannot be booted */
export function parseHeader(kernel: Uint8Array): SetupHeader {
  if (kernel.length < HEADER_BYTES)
    throw new LoaderError(
      'ERR_TRUNCATED',
      'kernel size',
      `${kernel.length} bytes`,
      `a bzImage, whose header alone ends at ${hex(HEADER_BYTES)}`,
    )
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength)
  const bootFlag = view.getUint16(BOOT_FLAG, true)
  if (bootFlag !== BOOT_FLAG_VALUE) throw new LoaderError('ERR_FIELD', 'boot_flag', bootFlag, hex(BOOT_FLAG_VALUE))
  const magic = view.getUint32(HEADER, true)
  if (magic !== HDRS) throw new LoaderError('ERR_FIELD', 'header', magic, `${hex(HDRS)} ("HdrS")`)
  const version = view.getUint16(VERSION, true)
  if (version < OLDEST_VERSION)
    throw new LoaderError(
      'ERR_FIELD',
      'version',
      `${version >> 8}.${version & 0xff}`,
      'boot protocol 2.6 or later (Linux 2.6.22)',
    )
  const loadflags = kernel[LOADFLAGS]!
  if ((loadflags & LOADED_HIGH) === 0)
    throw new LoaderError('ERR_FIELD', 'loadflags', loadflags, 'bit 0 (LOADED_HIGH): a bzImage, not a zImage')
  const headerEnd = HEADER + kernel[JUMP_OFFSET]!
  if (headerEnd > E820_TABLE || headerEnd < CMDLINE_SIZE + 4)
    throw new LoaderError('ERR_FIELD', 'jump', kernel[JUMP_OFFSET]!, 'a jump that ends the header inside boot_params')

  const sectors = kernel[SETUP_SECTS]!
  const setupBytes = ((sectors === 0 ? DEFAULT_SETUP_SECTS : sectors) + 1) * SECTOR_BYTES
  const payloadBytes = view.getUint32(SYSSIZE, true) * PARAGRAPH_BYTES
  if (payloadBytes === 0) throw new LoaderError('ERR_FIELD', 'syssize', 0, 'the size of the protected-mode code')
  // syssize counts paragraphs; memtest86+ and iPXE do not fill their last paragraph.
  if (kernel.length <= setupBytes + payloadBytes - PARAGRAPH_BYTES)
    throw new LoaderError(
      'ERR_TRUNCATED',
      'syssize',
      `${payloadBytes} bytes behind ${setupBytes} of setup`,
      `no more than the file has: it ends after ${kernel.length} bytes; it is truncated`,
    )
  // Fields that came with later versions: 2.10 for alignment hints, pref_address and init_size, 2.12 for xloadflags.
  const xloadflags = version >= 0x20c ? view.getUint16(XLOADFLAGS, true) : 0
  const initSize = version >= 0x20a ? view.getUint32(INIT_SIZE, true) : 0
  const alignment = view.getUint32(KERNEL_ALIGNMENT, true)
  const relocatable = kernel[RELOCATABLE_KERNEL] !== 0
  if (relocatable && (alignment === 0 || (alignment & (alignment - 1)) !== 0))
    throw new LoaderError('ERR_FIELD', 'kernel_alignment', alignment, 'a power of two')
  return {
    // Later bytes of the file, such as a signature, are not the kernel's.
    payload: kernel.subarray(setupBytes, setupBytes + payloadBytes),
    setup: kernel.subarray(0, setupBytes),
    realModeOnly: view.getUint32(CODE32_START, true) === 0,
    entry64: (xloadflags & XLF_KERNEL_64) !== 0,
    preferredAddress: version >= 0x20a ? Number(view.getBigUint64(PREF_ADDRESS, true)) : ONE_MIB,
    // Older kernels do not say; loaders have always left them three times the image.
    initSize: Math.max(initSize === 0 ? 3 * payloadBytes : initSize, payloadBytes),
    cmdlineSize: view.getUint32(CMDLINE_SIZE, true),
    initrdAddressMax: view.getUint32(INITRD_ADDR_MAX, true),
    initrdAbove4G: (xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) !== 0,
  }
}

/**
 * The preferred address. A relocatable kernel may be loaded elsewhere, but goes to no place below this one to run
 * (LOAD_PHYSICAL_ADDR in arch/x86/boot/compressed), so that lower RAM would not help it.
 */
function placeKernel(memory: GuestMemoryWriter, header: SetupHeader): number {
  const { preferredAddress, initSize } = header
  requireRam(memory, 'init_size', preferredAddress, initSize)
  return preferredAddress
}

/** As high as the kernel allows, to stay clear of everything else. */
function placeInitrd(
  memory: GuestMemoryWriter,
  header: SetupHeader,
  kernelStart: number,
  kernelEnd: number,
  bytes: number,
): number {
  const lowEnd = kernelStart + ramFrom(memory, kernelStart)
  // initrd_addr_max binds kernels that cannot take their initrd anywhere.
  const top = header.initrdAbove4G ? lowEnd : Math.min(lowEnd, header.initrdAddressMax + 1)
  const start = pageDown(top - bytes)
  if (start >= pageUp(kernelEnd)) return start
  if (header.initrdAbove4G && ramFrom(memory, FOUR_GIB) >= bytes) return FOUR_GIB
  const room = Math.max(0, pageDown(top) - pageUp(kernelEnd))
  throw new LoaderError(
    'ERR_NO_ROOM',
    'initrd size',
    `${bytes} bytes`,
    `at most ${room} bytes from the kernel's end at ${hex(kernelEnd)} to ${hex(top)}; give the machine more memory`,
  )
}

const BOOT_CODE_64 = 0x00af_9b00_0000_ffffn
const BOOT_CODE_32 = 0x00cf_9b00_0000_ffffn
const BOOT_DATA = 0x00cf_9300_0000_ffffn

/** Two null descriptors, flat code at 0x10 and flat data at 0x18, as the protocol numbers them. */
function bootGdt(code: bigint): Uint8Array {
  const gdt = new Uint8Array(4 * 8)
  const view = new DataView(gdt.buffer)
  view.setBigUint64(BOOT_CS, code, true)
  view.setBigUint64(BOOT_DS, BOOT_DATA, true)
  return gdt
}

const PTE_PRESENT_WRITE = 0x03
const PTE_PS = 0x80
const ENTRIES = 512

/** Identity map of the first 4 GiB in 2 MiB pages: PML4, one directory-pointer table, four directories. */
function identityTables(gpa: number): Uint8Array {
  const tables = new Uint8Array(6 * PAGE_BYTES)
  const view = new DataView(tables.buffer)
  view.setUint32(0, gpa + PAGE_BYTES + PTE_PRESENT_WRITE, true)
  for (let i = 0; i < 4; i++) view.setUint32(PAGE_BYTES + 8 * i, gpa + (2 + i) * PAGE_BYTES + PTE_PRESENT_WRITE, true)
  for (let i = 0; i < 4 * ENTRIES; i++)
    view.setUint32(2 * PAGE_BYTES + 8 * i, i * 0x20_0000 + PTE_PRESENT_WRITE + PTE_PS, true)
  return tables
}
