import { describe, expect, test } from 'vitest'
import { defineDevice, type PciFunction } from '@retrap/device'
import { createPc, pcMemoryMap, type Pc, type PcOptions } from '../src/index.ts'
import { firmwareImage, multibootKernel } from './support/kernels.ts'

const MIB = 1 << 20
const SMALL = { memoryBytes: 16 * MIB, codeCacheBytes: 4 * MIB, machine: 'q35' } as const
const FIRMWARE: PcOptions = { ...SMALL, firmware: firmwareImage((asm) => asm.hlt()) }
const MCH = 0x29c0_8086
const LPC = 0xf800

/** A machine's buses as a processor reaches them. */
class Bus {
  readonly pc: Pc

  constructor(pc: Pc) {
    this.pc = pc
  }

  static async of(options: PcOptions): Promise<Bus> {
    return new Bus(await createPc(options))
  }

  in(port: number, size: 1 | 2 | 4): number {
    this.pc.domain.dispatch.portRead(port, size)
    return this.pc.domain.dispatch.lo
  }

  load(gpa: number): number {
    this.pc.domain.dispatch.mmioRead(gpa, 4)
    return this.pc.domain.dispatch.lo
  }

  configure(address: number, value: number): void {
    const { dispatch } = this.pc.domain
    dispatch.portWrite(0xcf8, 4, (0x8000_0000 | address) >>> 0)
    dispatch.portWrite(0xcfc, 4, value >>> 0)
  }

  /** A file of fw_cfg. */
  file(name: string): Uint8Array {
    const { dispatch } = this.pc.domain
    const select = (key: number): void => void dispatch.portWrite(0x510, 2, key)
    const take = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, () => this.in(0x511, 1))
    select(0x19)
    const entries = new DataView(take(4).buffer).getUint32(0)
    const directory = new DataView(take(64 * entries).buffer)
    for (let at = 0; at < directory.byteLength; at += 64) {
      const text = Buffer.from(directory.buffer, at + 8, 56).toString('latin1')
      if (text.slice(0, text.indexOf('\0')) !== name) continue
      select(directory.getUint16(at + 4))
      return take(directory.getUint32(at))
    }
    return new Uint8Array(0)
  }
}

describe('PCI Express configuration space (3 Series data sheet, "PCIEXBAR")', () => {
  test.each([
    { low: 0xe000_0001, base: 0xe000_0000, buses: 256 },
    { low: 0xd800_0003, base: 0xd800_0000, buses: 128 },
    { low: 0xbc00_0005, base: 0xbc00_0000, buses: 64 },
    // Bits that the length leaves out are no part of the base.
    { low: 0xec00_0001, base: 0xe000_0000, buses: 256 },
  ])('of $buses buses is at $base, and the tables for firmware say so', async ({ low, base, buses }) => {
    const bus = await Bus.of(FIRMWARE)
    expect(bus.load(base)).toBe(0xffff_ffff)
    bus.configure(0x60, low)
    expect(bus.load(base)).toBe(MCH)
    expect(bus.load(base + LPC * 16)).toBe(0x2918_8086)
    expect(bus.load(base + (buses << 20))).toBe(0xffff_ffff)
    const tables = bus.file('etc/acpi/tables')
    const at = Buffer.from(tables).indexOf('MCFG')
    const view = new DataView(tables.buffer, at)
    expect([Number(view.getBigUint64(44, true)), view.getUint8(55)]).toEqual([base, buses - 1])
    bus.configure(0x60, low & ~1)
    expect(bus.load(base)).toBe(0xffff_ffff)
    bus.pc.close()
  })

  test.each([
    [0, 0x0000_0001],
    [0, 0xf000_0001],
    [1, 0x0000_0001],
    [0xf, 0xfc00_0005],
  ])('where no tables can tell of it harms nobody: %#x%#x', async (high, low) => {
    const bus = await Bus.of(FIRMWARE)
    bus.configure(0x64, high)
    bus.configure(0x60, low)
    expect(bus.file('etc/acpi/tables').length).toBeGreaterThan(0)
    bus.pc.domain.dispatch.portWrite(0xcf8, 4, 0x8000_0000)
    expect(bus.in(0xcfc, 4)).toBe(MCH)
    bus.pc.close()
  })

  test('of a reserved length is off', async () => {
    const bus = await Bus.of(FIRMWARE)
    bus.configure(0x60, 0xe000_0007)
    expect(bus.load(0xe000_0000)).toBe(0xffff_ffff)
  })

  test('is there for a kernel without firmware', async () => {
    const kernel = multibootKernel((asm) => asm.hlt())
    const bus = await Bus.of({ ...SMALL, kernel })
    expect(bus.load(0xb000_0000)).toBe(MCH)
  })
})

test.each(['std', 'none'] as const)('the tables say whether there is VGA: %s', async (vga) => {
  const bus = await Bus.of({ ...FIRMWARE, vga })
  // Placing configuration space makes the tables anew.
  bus.configure(0x60, 0xe000_0001)
  const tables = bus.file('etc/acpi/tables')
  const at = Buffer.from(tables).indexOf('FACP')
  expect(new DataView(tables.buffer, at).getUint16(109, true) & 4).toBe(vga === 'none' ? 4 : 0)
  bus.pc.close()
})

// SeaBIOS, docs/Runtime_config.md, "etc/sercon-port".
test.each([
  ['std', undefined, 0x3f8],
  ['std', false, 0],
  // It is no mirror then, but the only place.
  ['none', false, 0x3f8],
] as const)(
  'with VGA %s and mirrorsScreen %s firmware writes its text to port %s',
  async (vga, mirrorsScreen, port) => {
    const bus = await Bus.of({ ...FIRMWARE, vga, boot: { mirrorsScreen } })
    expect(new DataView(bus.file('etc/sercon-port').buffer).getUint16(0, true)).toBe(port)
    bus.pc.close()
  },
)

describe('the LPC bridge (ICH9 data sheet, "LPC Interface Bridge Registers")', () => {
  test('puts power management at PMBASE while ACPI_EN is set', async () => {
    const bus = await Bus.of(FIRMWARE)
    const timer = (base: number): boolean => bus.in(base + 8, 4) !== 0xffff_ffff
    // The tables name 0x600, which answers always.
    expect([timer(0x600), timer(0xb000)]).toEqual([true, false])
    bus.configure(LPC + 0x40, 0xb001)
    bus.configure(LPC + 0x44, 0x80)
    expect([timer(0x600), timer(0xb000)]).toEqual([true, true])
    // SMI_EN: firmware is told that system-management mode is taken.
    expect(bus.in(0xb030, 4)).toBe(0x20)
    bus.configure(LPC + 0x44, 0)
    expect([timer(0x600), timer(0xb000), bus.in(0xb030, 4)]).toEqual([true, false, 0xffff_ffff])
  })

  test('routes pins of its own devices as the chipset registers say, those of slots by turns', async () => {
    const cards: PciFunction[] = []
    const card = defineDevice({
      name: 'cards',
      synchronous: true,
      stateless: true,
      attach: ({ pci }) => {
        const given = { vendorId: 0x1234, deviceId: 1, classCode: 0xff_0000 }
        cards.push(pci.add({ ...given, device: 5, interruptPin: 2 }))
        cards.push(pci.add({ ...given, device: 31, function: 2, interruptPin: 2 }))
      },
    })
    const bus = await Bus.of({ ...FIRMWARE, devices: [card] })
    const { dispatch } = bus.pc.domain
    /** The ISA lines 8 to 15 that rise with a pin. */
    const rises = (fn: PciFunction): number => {
      const request = (): number => {
        dispatch.portWrite(0xa0, 1, 0x0a)
        return bus.in(0xa0, 1)
      }
      const idle = request()
      fn.interrupt?.set(true)
      const risen = request() & ~idle
      fn.interrupt?.set(false)
      return risen
    }
    // Links B and G have lines 10 and 11, and all others none; link C has 12.
    bus.configure(LPC + 0x60, 0x800c_0a80)
    bus.configure(LPC + 0x68, 0x800b_8080)
    expect(cards.map(rises)).toEqual([1 << 3, 1 << 2])
    bus.configure(LPC + 0xf0, 0xfed1_c001)
    expect(bus.load(0xfed1_f140) & 0xffff).toBe(0x3210)
    dispatch.mmioWrite(0xfed1_f140, 2, 0x3220, 0)
    expect(cards.map(rises)).toEqual([1 << 3, 1 << 4])
  })
})

test('RAM below 4 GiB ends where PCI Express configuration space begins', () => {
  expect(pcMemoryMap(3 * 1024 * MIB, 0xb000_0000)).toMatchObject({
    lowRamBytes: 0xb000_0000,
    highRamBytes: 0x1000_0000,
  })
})
