import * as aml from './aml.ts'
import { buffer, concat, type Aml } from './aml.ts'

/**
 * Resource descriptors, the items of `_CRS`, `_PRS` and `_SRS` buffers.
 *
 * Source: ACPI Specification 6.5, section 6.4, "Resource Data Types for ACPI".
 */

const le = (value: number, bytes: number): number[] => {
  const out: number[] = []
  let rest = value
  for (let i = 0; i < bytes; i++) {
    out.push(rest % 256)
    rest = Math.floor(rest / 256)
  }
  return out
}

const maskOf = (irqs: readonly number[]): number[] =>
  le(
    irqs.reduce((mask, irq) => mask | (1 << irq), 0),
    2,
  )

/** An end tag, whose checksum of zero means "treat as valid". */
const END = [0x79, 0] as const

/** A resource template: the descriptors and an end tag, as a buffer. */
export function resourceTemplate(...descriptors: readonly (readonly number[])[]): Aml {
  return buffer(concat(...descriptors, END))
}

/** `IO (Decode16, base, base, 1, length)`. */
export function ioPorts(base: number, length: number): number[] {
  return [0x47, 0x01, ...le(base, 2), ...le(base, 2), 0x01, length]
}

/** `IRQNoFlags () { irq … }`: edge-triggered, active high, exclusive. */
export function irqNoFlags(...irqs: readonly number[]): number[] {
  return [0x22, ...maskOf(irqs)]
}

/** `IRQ (Level, ActiveLow, Shared) { irq … }`, the form that PCI links use. */
export function irqLevelShared(...irqs: readonly number[]): number[] {
  return [0x23, ...maskOf(irqs), 0x18]
}

/** `Memory32Fixed (ReadOnly or ReadWrite, base, length)`. */
export function memory32Fixed(base: number, length: number, writable: boolean): number[] {
  return [0x86, ...le(9, 2), writable ? 1 : 0, ...le(base, 4), ...le(length, 4)]
}

/** Kinds of address space descriptor. */
const AddressSpace = { memory: 0, io: 1, bus: 2 } as const

/** An address space descriptor's large item name, and the bytes of each of its addresses. */
const WORD = { tag: 0x88, width: 2 } as const
const DWORD = { tag: 0x87, width: 4 } as const
const QWORD = { tag: 0x8a, width: 8 } as const

/** The addresses of a window, inclusive, and the offset that the bridge adds to them. */
interface Window {
  readonly min: number
  readonly max: number
  readonly translation?: number
}

function addressSpace(
  { tag, width }: typeof WORD | typeof DWORD | typeof QWORD,
  type: number,
  typeFlags: number,
  { min, max, translation = 0 }: Window,
): number[] {
  // General flags: producer, positive decode, minimum and maximum fixed.
  const body = [
    type,
    0x0c,
    typeFlags,
    ...le(0, width),
    ...le(min, width),
    ...le(max, width),
    ...le(translation, width),
    ...le(max - min + 1, width),
  ]
  return [tag, ...le(body.length, 2), ...body]
}

/** `WordBusNumber`: bus numbers that a host bridge produces, inclusive. */
export const busNumbers = (min: number, max: number): number[] => addressSpace(WORD, AddressSpace.bus, 0, { min, max })
/** `WordIO`: a window of ports that a host bridge forwards, inclusive. */
export const ioWindow = (min: number, max: number): number[] => addressSpace(WORD, AddressSpace.io, 0x03, { min, max })
/** `DWordMemory`, non-cacheable and writable: a window below 4 GiB, inclusive. */
export const memoryWindow32 = (min: number, max: number): number[] =>
  addressSpace(DWORD, AddressSpace.memory, 0x01, { min, max })
/** `QWordMemory`, non-cacheable and writable: a window anywhere, inclusive. */
export const memoryWindow64 = (min: number, max: number): number[] =>
  addressSpace(QWORD, AddressSpace.memory, 0x01, { min, max })
/** `DWordIO`: a window of ports, inclusive, that a host bridge forwards from memory at `translation` on. */
export const ioWindowInMemory = (min: number, max: number, translation: number): number[] =>
  addressSpace(DWORD, AddressSpace.io, 0x03, { min, max, translation })

/** `Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { gsi }`. */
export const interruptLevel = (gsi: number): number[] => [0x89, ...le(6, 2), 0x01, 1, ...le(gsi, 4)]
/** An edge-triggered interrupt as an Extended Interrupt descriptor. */
export const interruptEdge = (gsi: number): number[] => [0x89, ...le(6, 2), 0x03, 1, ...le(gsi, 4)]

/** `GpioInt (Edge, ActiveHigh, Exclusive, PullNone, 0, controller) { line }` (6.4.3.8.1, "GPIO Connection Descriptor"). */
export function gpioEdge(controller: string, line: number): number[] {
  const pinsAt = 0x17
  const nameAt = pinsAt + 2
  const name = [...controller, '\0'].map((character) => character.charCodeAt(0))
  const end = nameAt + name.length
  return [
    ...[0x8c, ...le(end - 3, 2), 1, 0],
    // Consumer; edge.
    ...[...le(1, 2), ...le(1, 2)],
    // No pull; strength and debounce time that are the default.
    ...[3, ...le(0, 2), ...le(0, 2)],
    ...[...le(pinsAt, 2), 0, ...le(nameAt, 2), ...le(end, 2), ...le(0, 2)],
    ...[...le(line, 2), ...name],
  ]
}

/** The method `_OSC` of a PCI Express root. */
const OSC_UUID = '33DB4D5B-1FF7-401C-9657-7441C03DD766'
/** The features that an OS may take over: hot plug, power management events, error reporting, capability structures. */
const OSC_CONTROL = 0x1d
const OSC_UNKNOWN_UUID = 0x04
const OSC_UNKNOWN_REVISION = 0x08

/** A PCI Express root bridge: its identifiers, and the features that an OS may control (PCI Firmware Specification 3.3, 4.5). */
export function expressRoot(): Aml[] {
  return [
    aml.name('_HID', aml.eisaId('PNP0A08')),
    aml.name('_CID', aml.eisaId('PNP0A03')),
    aml.method(
      '_OSC',
      4,
      true,
      aml.createDwordField(aml.arg(3), 0, 'CDW1'),
      aml.when(
        aml.equal(aml.arg(0), aml.buffer(aml.uuid(OSC_UUID))),
        aml.createDwordField(aml.arg(3), 8, 'CDW3'),
        aml.and(aml.path('CDW3'), aml.integer(OSC_CONTROL), aml.path('CDW3')),
        aml.when(
          aml.not(aml.equal(aml.arg(1), aml.integer(1))),
          aml.or(aml.path('CDW1'), aml.integer(OSC_UNKNOWN_REVISION), aml.path('CDW1')),
        ),
        aml.returns(aml.arg(3)),
      ),
      aml.or(aml.path('CDW1'), aml.integer(OSC_UNKNOWN_UUID), aml.path('CDW1')),
      aml.returns(aml.arg(3)),
    ),
  ]
}

/** The place, in the page of the generation's identifier, of RAM that the machine has got since its guest booted: `_STA` and `_CRS`. */
export const ADDED_RAM_AT = 0x40
const ADDED_RAM_BYTES = 29

/** The window for memory added below 4 GiB, both ends inclusive; two zeros: no such window. */
export const addedRam = (min: number, max: number): number[] => [0x0f, ...memoryWindow32(min, max), ...END]

/**
 * The identifier of the machine's generation, RAM added since its boot, and the event that reports a new generation (Microsoft, "Virtual
 * Machine Generation ID"; ACPI 5.6.9, "Interrupt-signaled ACPI events", and 9.11, "Memory Devices").
 */
export function generation(place: { readonly address: number; readonly irq: number } | undefined): Aml[] {
  if (place === undefined) return []
  const { address, irq } = place
  return [
    aml.device(
      'VGEN',
      aml.name('_HID', aml.string('VMGENCTR')),
      aml.name('_CID', aml.string('VM_Gen_Counter')),
      aml.name('_DDN', aml.string('VM_Gen_Counter')),
      aml.name('ADDR', aml.pkg(aml.integer(address), aml.integer(0))),
    ),
    aml.device(
      'MEM0',
      aml.name('_HID', aml.eisaId('PNP0C80')),
      aml.operationRegion('ADDR', aml.RegionSpace.systemMemory, address + ADDED_RAM_AT, ADDED_RAM_BYTES),
      aml.byteField('ADDR', [['STAT', 8] as const, ['RSRC', 8 * (ADDED_RAM_BYTES - 1)] as const]),
      aml.method('_STA', 0, false, aml.returns(aml.path('STAT'))),
      aml.method('_CRS', 0, false, aml.returns(aml.path('RSRC'))),
    ),
    aml.device(
      'GED0',
      aml.name('_HID', aml.string('ACPI0013')),
      aml.name('_UID', aml.integer(0)),
      aml.name('_CRS', resourceTemplate(interruptEdge(irq))),
      aml.method(
        '_EVT',
        1,
        true,
        aml.notify('\\_SB.VGEN', 0x80),
        aml.when(aml.path('\\_SB.MEM0.STAT'), aml.notify('\\_SB.MEM0', 1)),
      ),
    ),
  ]
}
