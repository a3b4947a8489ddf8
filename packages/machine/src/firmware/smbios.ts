import { concatenate, type Fields, KIB, MIB, putFields } from '@retrap/basics'
import { MachineError } from '../errors.ts'

/** The facts about a machine for its SMBIOS tables. */
export interface SmbiosBoard {
  /** Number of processors: the cores of one socket. */
  readonly cpus: number
  /** Ranges of RAM, by guest-physical address. */
  readonly ram: readonly { readonly gpa: number; readonly bytes: number }[]
  /** Name of the machine; default that of a PC. */
  readonly product?: string
  /** Texts about the machine. */
  readonly identity?: MachineSmbios | undefined
}

/** Texts that the SMBIOS tables have about a machine: ASCII of at most 64 characters, `strings` may be longer. */
export interface MachineSmbios {
  /** The machine's UUID, as `00112233-4455-6677-8899-aabbccddeeff`; default none. */
  readonly uuid?: string | undefined
  /** Maker of the machine; default `retrap`. */
  readonly manufacturer?: string | undefined
  /** Name of the machine. */
  readonly product?: string | undefined
  /** Version of the machine. */
  readonly version?: string | undefined
  /** Serial number; cloud-init looks here for its data source (`ds=nocloud;s=…`). */
  readonly serial?: string | undefined
  /** Order number. */
  readonly sku?: string | undefined
  /** Family of machines. */
  readonly family?: string | undefined
  /** Further texts (type 11), such as systemd's credentials: `io.systemd.credential:NAME=VALUE`. */
  readonly strings?: readonly string[] | undefined
}

/** SMBIOS tables that firmware places: two files of fw_cfg. */
export interface Smbios {
  /** Content of `etc/smbios/smbios-anchor`: the entry point, whose address firmware fills in. */
  readonly anchor: Uint8Array
  /** Content of `etc/smbios/smbios-tables`: the structures. */
  readonly tables: Uint8Array
}

/** Edition of the structures: 2.8. */
const MAJOR = 2
const MINOR = 8
const ENTRY_POINT_BYTES = 0x1f
const HEADER_BYTES = 4
const MAKER = 'retrap'
const PRODUCT = 'retrap PC'

// Structure types (chapter 7).
const SYSTEM = 1
const CHASSIS = 3
const PROCESSOR = 4
const STRINGS = 11
const MEMORY_ARRAY = 16
const MEMORY_DEVICE = 17
const MAPPED_MEMORY = 19
const BOOT_STATUS = 32
const END = 127

const OTHER = 1
const NO_HANDLE = 0xffff
const NOT_PROVIDED = 0xfffe
const MEMORY_HANDLE = MEMORY_ARRAY << 8
/** Size in KiB from which on the extended field has the size. */
const LARGEST_CAPACITY = 0x8000_0000
/** Size in MiB from which on the extended field has the size. */
const LARGEST_DEVICE = 0x7fff
/** A size in KiB instead of MiB. */
const IN_KIB = 0x8000

/**
 * Builds the SMBIOS structures of a machine: system, chassis, one processor socket, and memory. Firmware adds its own
 * structure of type 0.
 *
 * Source: DMTF DSP0134, "System Management BIOS (SMBIOS) Reference Specification" 2.8, chapters 5 to 7; QEMU,
 * docs/specs/fw_cfg.rst, for the names of the files.
 */
export function buildSmbios({ cpus, ram, product = PRODUCT, identity = {} }: SmbiosBoard): Smbios {
  const bytes = ram.reduce((sum, range) => sum + range.bytes, 0)
  const list = [
    // Wake-up type: power switch. An all-zero UUID means that the machine has none.
    structure(
      SYSTEM,
      0,
      0x1b,
      { u8: { ...uuidFields(identity.uuid), 0x18: 6 } },
      {
        0x04: identity.manufacturer ?? MAKER,
        0x05: identity.product ?? product,
        ...named(0x06, identity.version),
        ...named(0x07, identity.serial),
        ...named(0x19, identity.sku),
        ...named(0x1a, identity.family),
      },
    ),
    structure(CHASSIS, 0, 0x16, CHASSIS_FIELDS, { 0x04: MAKER }),
    structure(PROCESSOR, 0, 0x2a, processorFields(cpus), { 0x04: 'CPU 0', 0x07: MAKER }),
    ...(identity.strings === undefined ? [] : [oemStrings(identity.strings)]),
    structure(MEMORY_ARRAY, 0, 0x17, arrayFields(bytes)),
    structure(MEMORY_DEVICE, 0, 0x28, deviceFields(bytes), { 0x10: 'DIMM 0', 0x17: MAKER }),
    ...ram.map((range, i) => structure(MAPPED_MEMORY, i, 0x1f, mappedFields(range))),
    structure(BOOT_STATUS, 0, 0x0b, {}),
    structure(END, 0, HEADER_BYTES, {}),
  ]
  return { anchor: entryPoint(list), tables: concatenate(list) }
}

/** The last place below the reset vector where the entry point is looked for (5.2.1). */
const ANCHOR_PLACE = 0xf_ffc0
const BIOS_SEGMENT = 0xf_0000

/**
 * The tables at fixed places, as firmware would have left them: structures from an address below 0xF0000 on, and the entry
 * point, which kernels look for above.
 *
 * @throws MachineError `ERR_OPTION` if the tables do not fit
 */
export function placedSmbios(
  board: SmbiosBoard,
  from: number,
): readonly { readonly gpa: number; readonly bytes: Uint8Array }[] {
  const { anchor, tables } = buildSmbios(board)
  const gpa = Math.ceil(from / 16) * 16
  if (gpa + tables.length > BIOS_SEGMENT)
    throw new MachineError(
      'ERR_OPTION',
      `smbios: ${tables.length} bytes of tables: expected at most ${BIOS_SEGMENT - gpa}`,
    )
  new DataView(anchor.buffer).setUint32(0x18, gpa, true)
  anchor[0x15] = 0
  anchor[0x15] = sumToZero(anchor.subarray(0x10))
  anchor[4] = 0
  anchor[4] = sumToZero(anchor)
  return [
    { gpa, bytes: tables },
    { gpa: ANCHOR_PLACE, bytes: anchor },
  ]
}

const named = (offset: number, text: string | undefined): Readonly<Record<number, string>> =>
  text === undefined ? {} : { [offset]: text }

/** Time fields of a UUID are little-endian, and the rest is as it is written (7.2.1). */
function uuidFields(uuid: string | undefined): NonNullable<Fields['u8']> {
  const digits = uuid?.replaceAll('-', '') ?? ''
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
  const bytes = order.map((from, i) => [0x08 + i, Number.parseInt(digits.slice(2 * from, 2 * from + 2), 16)])
  return digits === '' ? {} : Object.fromEntries(bytes)
}

/** A structure that holds only texts, numbered from 1 on (7.12). */
function oemStrings(strings: readonly string[]): Uint8Array {
  const texts = strings.map((text) => new TextEncoder().encode(`${text}\0`))
  const head = Uint8Array.of(STRINGS, HEADER_BYTES + 1, 0, STRINGS, strings.length)
  return concatenate([head, ...texts, new Uint8Array(1)])
}

/** States are "safe", security is unknown. */
const CHASSIS_FIELDS: Fields = { u8: { 0x05: OTHER, 0x09: 3, 0x0a: 3, 0x0b: 3, 0x0c: 2 } }

/** Central processor of another family; the socket is populated and enabled. 64-bit capable; several cores. */
const processorFields = (cpus: number): Fields => ({
  u8: { 0x05: 3, 0x06: OTHER, 0x18: 0x41, 0x19: OTHER, 0x23: cpus, 0x24: cpus, 0x25: cpus },
  u16: { 0x1a: NO_HANDLE, 0x1c: NO_HANDLE, 0x1e: NO_HANDLE, 0x26: cpus > 1 ? 0x0c : 0x04, 0x28: OTHER },
})

/** On another board; system memory without error correction. */
function arrayFields(bytes: number): Fields {
  const capacity = Math.ceil(bytes / KIB)
  const large = capacity >= LARGEST_CAPACITY
  return {
    u8: { 0x04: OTHER, 0x05: 3, 0x06: 3 },
    u16: { 0x0b: NOT_PROVIDED, 0x0d: 1 },
    u32: { 0x07: large ? LARGEST_CAPACITY : capacity },
    u64: { 0x0f: large ? bytes : 0 },
  }
}

/** A DIMM of type RAM. */
function deviceFields(bytes: number): Fields {
  const mebibytes = Math.ceil(bytes / MIB)
  const whole = bytes % MIB === 0
  const large = mebibytes >= LARGEST_DEVICE
  const size = large ? LARGEST_DEVICE : whole || bytes / KIB >= IN_KIB ? mebibytes : bytes / KIB + IN_KIB
  return {
    u8: { 0x0e: 9, 0x12: 7 },
    u16: { 0x04: MEMORY_HANDLE, 0x06: NOT_PROVIDED, 0x08: NO_HANDLE, 0x0a: NO_HANDLE, 0x0c: size, 0x13: 2 },
    u32: { 0x1c: large ? mebibytes : 0 },
  }
}

function mappedFields({ gpa, bytes }: { readonly gpa: number; readonly bytes: number }): Fields {
  const end = gpa + bytes
  const wide = end / KIB > 0xffff_ffff
  return {
    u8: { 0x0e: 1 },
    u16: { 0x0c: MEMORY_HANDLE },
    u32: { 0x04: wide ? 0xffff_ffff : gpa / KIB, 0x08: wide ? 0xffff_ffff : end / KIB - 1 },
    u64: { 0x0f: wide ? gpa : 0, 0x17: wide ? end - 1 : 0 },
  }
}

/** A structure: header, fields, then its strings, which fields name by number, and a zero. */
function structure(
  type: number,
  index: number,
  length: number,
  fields: Fields,
  strings: Readonly<Record<number, string>> = {},
): Uint8Array {
  const texts = Object.entries(strings)
  const tail = texts.length === 0 ? '\0\0' : `${texts.map(([, text]) => `${text}\0`).join('')}\0`
  const out = new Uint8Array(length + tail.length)
  putFields(out, { u8: { 0: type, 1: length }, u16: { 2: (type << 8) | index } })
  texts.forEach(([offset], i) => (out[Number(offset)] = i + 1))
  putFields(out, fields)
  for (let i = 0; i < tail.length; i++) out[length + i] = tail.charCodeAt(i)
  return out
}

/** The 32-bit entry point, without an address (5.2.1). */
function entryPoint(list: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(ENTRY_POINT_BYTES)
  const put = (at: number, text: string): void => {
    for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i)
  }
  put(0, '_SM_')
  put(0x10, '_DMI_')
  const lengths = list.map(({ length }) => length)
  const total = lengths.reduce((sum, length) => sum + length, 0)
  putFields(out, {
    u8: { 5: ENTRY_POINT_BYTES, 6: MAJOR, 7: MINOR, 0x1e: (MAJOR << 4) | MINOR },
    u16: { 8: Math.max(...lengths), 0x16: total, 0x1c: list.length },
  })
  out[0x15] = sumToZero(out.subarray(0x10))
  out[4] = sumToZero(out)
  return out
}

const sumToZero = (bytes: Uint8Array): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff
