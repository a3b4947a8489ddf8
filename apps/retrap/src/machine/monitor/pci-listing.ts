/** `info pci`: the PCI functions of a machine, in the form of QEMU's monitor. */
import type { PciSource } from '@retrap/linux-guest/machine/machine-contract'

const FUNCTIONS = 0x1_0000

// PCI Local Bus Specification 3.0, §6.1, "Configuration Space Organization".
const VENDOR = 0x00
const DEVICE = 0x02
const PROGRAMMING_INTERFACE = 0x09
const SUBCLASS = 0x0a
const HEADER_TYPE = 0x0e
const BARS = 0x10
const PRIMARY_BUS = 0x18
const SUBSYSTEM = 0x2c
const INTERRUPT_LINE = 0x3c
const INTERRUPT_PIN = 0x3d
const HEADER_BRIDGE = 1

/** Class and subclass. Source: PCI Code and ID Assignment Specification 1.11, §1, "Class Codes". */
const CLASSES: Readonly<Record<number, string>> = {
  0x0100: 'SCSI controller',
  0x0101: 'IDE controller',
  0x0106: 'SATA controller',
  0x0108: 'NVMe controller',
  0x0180: 'Mass storage controller',
  0x0200: 'Ethernet controller',
  0x0300: 'VGA controller',
  0x0380: 'Display controller',
  0x0401: 'Audio controller',
  0x0600: 'Host bridge',
  0x0601: 'ISA bridge',
  0x0604: 'PCI bridge',
  0x0680: 'Bridge',
  0x0780: 'Communication controller',
  0x0900: 'Keyboard',
  0x0902: 'Mouse',
  0x0980: 'Input controller',
  0x0c03: 'USB controller',
  0x0c05: 'SMBus',
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')

/** @param nameOf - returns the user's name of a model: its id, or its own name */
export function describePci(source: PciSource, nameOf: (model: string) => string): string {
  let text = ''
  for (let bdf = 0; bdf < FUNCTIONS; bdf++) {
    const owner = source.ownerAt(bdf)
    if (owner !== undefined) text += describeFunction(source, bdf, nameOf(owner))
  }
  return text
}

function describeFunction(source: PciSource, bdf: number, name: string): string {
  const read = (register: number, size: number): number => source.read(bdf, register, size) >>> 0
  const id = (register: number): string => `${hex(read(register, 2), 4)}:${hex(read(register + DEVICE, 2), 4)}`
  const kind = read(SUBCLASS, 2)
  const what = CLASSES[kind] ?? `Class ${hex(kind, 4)}${hex(read(PROGRAMMING_INTERFACE, 1), 2)}`
  const place = `  Bus ${String(bdf >> 8).padStart(2)}, device ${String((bdf >> 3) & 31).padStart(3)}, function ${bdf & 7}:`
  const lines = [place, `    ${what}: PCI device ${id(VENDOR)}`]
  const isBridge = (read(HEADER_TYPE, 1) & 0x7f) === HEADER_BRIDGE
  if (!isBridge && read(SUBSYSTEM, 4) !== 0) lines.push(`      PCI subsystem ${id(SUBSYSTEM)}`)
  const pin = read(INTERRUPT_PIN, 1)
  if (pin > 0) lines.push(`      IRQ ${read(INTERRUPT_LINE, 1)}, pin ${String.fromCharCode(0x40 + pin)}`)
  if (isBridge) {
    const [primary, secondary, subordinate] = [0, 1, 2].map((i) => read(PRIMARY_BUS + i, 1))
    lines.push(`      BUS ${primary}, secondary bus ${secondary}, subordinate bus ${subordinate}`)
  }
  lines.push(...describeBars(read, isBridge ? 2 : 6), `      id "${name}"`)
  return `${lines.join('\n')}\n`
}

/** BARs with an address. Source: PCI Local Bus Specification 3.0, §6.2.5.1, "Address Maps". */
function describeBars(read: (register: number, size: number) => number, count: number): readonly string[] {
  const lines: string[] = []
  for (let index = 0; index < count; index++) {
    const bar = read(BARS + 4 * index, 4)
    if ((bar & 1) !== 0) {
      const port = (bar & ~3) >>> 0
      if (port !== 0) lines.push(`      BAR${index}: I/O at 0x${hex(port, 4)}`)
      continue
    }
    const isWide = (bar & 6) === 4 && index + 1 < count
    const low = (bar & ~15) >>> 0
    const high = isWide ? read(BARS + 4 * (index + 1), 4) : 0
    const kind = `${isWide ? 64 : 32} bit ${(bar & 8) !== 0 ? 'prefetchable ' : ''}memory`
    const address = isWide ? `${hex(high, 8)}${hex(low, 8)}` : hex(low, 8)
    if (low !== 0 || high !== 0) lines.push(`      BAR${index}: ${kind} at 0x${address}`)
    if (isWide) index++
  }
  return lines
}

/** `query-pci` of QMP: functions by bus, without functions behind bridges. */
export function listPci(source: PciSource, nameOf: (model: string) => string): object[] {
  const buses = new Map<number, object[]>()
  for (let bdf = 0; bdf < FUNCTIONS; bdf++) {
    const owner = source.ownerAt(bdf)
    if (owner === undefined) continue
    const read = (register: number): number => source.read(bdf, register, 2)
    const kind = read(SUBCLASS)
    const devices = buses.get(bdf >> 8) ?? []
    buses.set(bdf >> 8, devices)
    devices.push({
      ...{ bus: bdf >> 8, slot: (bdf >> 3) & 31, function: bdf & 7 },
      class_info: { class: kind, ...(CLASSES[kind] !== undefined && { desc: CLASSES[kind] }) },
      id: { vendor: read(VENDOR), device: read(DEVICE) },
      ...{ irq_pin: read(INTERRUPT_PIN) & 0xff, irq: read(INTERRUPT_LINE) & 0xff },
      ...{ qdev_id: nameOf(owner), regions: [] },
    })
  }
  return [...buses].map(([bus, devices]) => ({ bus, devices }))
}
