/** What the definition blocks of our boards say, read back by a reader of its own. */
import { ichInterruptLink, interruptLink } from '@retrap/devices'
import { describe, expect, test } from 'vitest'
import { type AcpiBoard, buildAcpiTables } from '../../src/acpi/index.ts'
import * as aml from '../../src/acpi/aml.ts'
import { buildArmAcpiTables } from '../../src/arm/index.ts'
import { board as usual } from '../support/acpi-board.ts'
import { readAml } from '../support/read-aml.ts'

const board: AcpiBoard = { ...usual, apicIds: [0, 2], s3SleepType: 1, s5SleepType: 5 }

/** The lines of a board's DSDT. */
function lines({ image, addresses, rsdpAddress }: ReturnType<typeof buildAcpiTables>): string[] {
  const at = addresses['DSDT']! - rsdpAddress
  const length = new DataView(image.buffer).getUint32(at + 4, true)
  // Revision 2: integers have 64 bits (5.2.11.1).
  expect(image[at + 8]).toBe(2)
  return readAml(image.slice(at + 36, at + length))
}

/** The lines below the one that has this text, without their common indentation. */
function below(all: readonly string[], head: string): string[] {
  const first = all.findIndex((line) => line.trim() === head)
  expect(first, head).toBeGreaterThanOrEqual(0)
  const depth = all[first]!.search(/\S/) + 2
  const rest = all.slice(first + 1)
  const end = rest.findIndex((line) => line.search(/\S/) < depth)
  return rest.slice(0, end < 0 ? undefined : end).map((line) => line.slice(depth))
}

/** A `_PRT` whose rows are of each pin of each device (6.2.13). */
const routes = (target: (device: number, pin: number) => string): string =>
  `{${Array.from({ length: 128 }, (_, i) => {
    const [device, pin] = [i >> 2, i & 3]
    return `{0x${(device * 0x1_0000 + 0xffff).toString(16)} 0x${pin} ${target(device, pin)}}`
  }).join(' ')}}`

const link = (letter: string, uid: number): string[] => [
  'Name(_HID, PNP0C0F)',
  `Name(_UID, 0x${uid})`,
  'Name(BUF0, Resources(IRQ(0x18;)))',
  'Name(_PRS, Resources(IRQ(0x18;5,10,11)))',
  'Method(_STA, 0, NotSerialized)',
  `  If(And(\\_SB.PCI0.ISA.PRQ${letter}, 0x80, 0x0))`,
  '    Return(0x9)',
  '  Return(0xb)',
  'Method(_DIS, 0, NotSerialized)',
  `  Or(\\_SB.PCI0.ISA.PRQ${letter}, 0x80, \\_SB.PCI0.ISA.PRQ${letter})`,
  'Method(_CRS, 0, Serialized)',
  '  CreateWordField(BUF0, 0x1, IRQW)',
  `  If(LEqual(And(\\_SB.PCI0.ISA.PRQ${letter}, 0x80, 0x0), 0x0))`,
  `    ShiftLeft(0x1, And(\\_SB.PCI0.ISA.PRQ${letter}, 0xf, 0x0), IRQW)`,
  '  Return(BUF0)',
  'Method(_SRS, 1, Serialized)',
  '  CreateWordField(Arg0, 0x1, IRQW)',
  '  FindSetRightBit(IRQW, Local0)',
  '  If(Local0)',
  `    Subtract(Local0, 0x1, \\_SB.PCI0.ISA.PRQ${letter})`,
]

describe('of a PC', () => {
  const pc = lines(buildAcpiTables(board))

  test('sleep states, processors, and what the OS has chosen for interrupts', () => {
    const until = pc.indexOf('  Device(PCI0)')
    expect(pc.slice(0, until)).toEqual([
      'Name(\\PICM, 0x0)',
      'Method(\\_PIC, 1, NotSerialized)',
      '  Store(Arg0, \\PICM)',
      'Name(\\_S3, {0x1 0x1 0x0 0x0})',
      'Name(\\_S5, {0x5 0x5 0x0 0x0})',
      'Scope(\\_SB)',
      '  Device(C000)',
      '    Name(_HID, "ACPI0007")',
      '    Name(_UID, 0x0)',
      '  Device(C001)',
      '    Name(_HID, "ACPI0007")',
      '    Name(_UID, 0x1)',
    ])
    expect(lines(buildAcpiTables({ ...board, s3SleepType: undefined })).filter((line) => line.includes('_S3'))).toEqual(
      [],
    )
  })

  test("the identifier of the machine's generation, and the event of a new one", () => {
    const all = lines(buildAcpiTables({ ...board, generation: { address: 0xfed6_0000, irq: 7 } }))
    expect(below(all, 'Device(VGEN)')).toEqual([
      'Name(_HID, "VMGENCTR")',
      'Name(_CID, "VM_Gen_Counter")',
      'Name(_DDN, "VM_Gen_Counter")',
      'Name(ADDR, {0xfed60000 0x0})',
    ])
    expect(below(all, 'Device(MEM0)').join()).toContain('0xfed60040, 0x1d),Field(ADDR, 0x1) {STAT:8 RSRC:224}')
    expect(below(all, 'Device(GED0)')).toEqual([
      'Name(_HID, "ACPI0013")',
      'Name(_UID, 0x0)',
      'Name(_CRS, Resources(Interrupt(0x3,0x1,0x7)))',
      'Method(_EVT, 1, Serialized)',
      '  Notify(\\_SB.VGEN, 0x80)',
      '  If(\\_SB.MEM0.STAT)',
      '    Notify(\\_SB.MEM0, 0x1)',
    ])
    expect(pc.join()).not.toContain('VGEN')
  })

  test('the PCI root, its windows and its interrupts', () => {
    const root = below(pc, 'Device(PCI0)')
    expect(root.slice(0, root.indexOf('Device(ISA)'))).toEqual([
      'Name(_HID, PNP0A03)',
      'Name(_UID, 0x0)',
      'Name(_BBN, 0x0)',
      `Name(_CRS, Resources(${[
        // Bus numbers; ports but for those of configuration mechanism 1; VGA; the two windows.
        'Word(0x2,0xc,0x0;0x0,0x0,0xff,0x0,0x100)',
        'IO(0x1,0xcf8,0xcf8,0x1,0x8)',
        'Word(0x1,0xc,0x3;0x0,0x0,0xcf7,0x0,0xcf8)',
        'Word(0x1,0xc,0x3;0x0,0xd00,0xffff,0x0,0xf300)',
        'DWord(0x0,0xc,0x1;0x0,0xa0000,0xbffff,0x0,0x20000)',
        'DWord(0x0,0xc,0x1;0x0,0xc0000000,0xfebfffff,0x0,0x3ec00000)',
        'QWord(0x0,0xc,0x1;0x0,0x8000000000,0xffffffffff,0x0,0x8000000000)',
      ].join(' ')}))`,
      `Name(PRTA, ${routes((device, pin) => `0x0 0x${(16 + interruptLink(device, pin + 1)).toString(16)}`)})`,
      `Name(PRTP, ${routes((device, pin) => `\\_SB.LNK${'ABCD'[interruptLink(device, pin + 1)]} 0x0`)})`,
      'Method(_PRT, 0, NotSerialized)',
      '  If(\\PICM)',
      '    Return(PRTA)',
      '  Return(PRTP)',
    ])
  })

  test('the ISA bus', () => {
    expect(below(pc, 'Device(ISA)')).toEqual([
      'Name(_ADR, 0x10000)',
      // PIRQRC A to D of the PIIX3; access by bytes.
      'OperationRegion(PRQ0, PCI_Config, 0x60, 0x4)',
      'Field(PRQ0, 0x1) {PRQA:8 PRQB:8 PRQC:8 PRQD:8}',
      'Device(PIC)',
      '  Name(_HID, PNP0000)',
      '  Name(_CRS, Resources(IO(0x1,0x20,0x20,0x1,0x2) IO(0x1,0xa0,0xa0,0x1,0x2) IO(0x1,0x4d0,0x4d0,0x1,0x2) IRQNoFlags(2)))',
      'Device(TMR)',
      '  Name(_HID, PNP0100)',
      '  Name(_CRS, Resources(IO(0x1,0x40,0x40,0x1,0x4) IRQNoFlags(0)))',
      'Device(RTC)',
      '  Name(_HID, PNP0B00)',
      '  Name(_CRS, Resources(IO(0x1,0x70,0x70,0x1,0x2) IRQNoFlags(8)))',
      'Device(SPKR)',
      '  Name(_HID, PNP0800)',
      '  Name(_CRS, Resources(IO(0x1,0x61,0x61,0x1,0x1)))',
      'Device(HPET)',
      '  Name(_HID, PNP0103)',
      '  Name(_CRS, Resources(Memory32Fixed(0x1,0xfed00000,0x400)))',
      'Device(COM1)',
      '  Name(_HID, PNP0501)',
      '  Name(_UID, 0x1)',
      '  Name(_CRS, Resources(IO(0x1,0x3f8,0x3f8,0x1,0x8) IRQNoFlags(4)))',
      'Device(COM2)',
      '  Name(_HID, PNP0501)',
      '  Name(_UID, 0x2)',
      '  Name(_CRS, Resources(IO(0x1,0x2f8,0x2f8,0x1,0x8) IRQNoFlags(3)))',
      'Device(KBD)',
      '  Name(_HID, PNP0303)',
      '  Name(_CRS, Resources(IO(0x1,0x60,0x60,0x1,0x1) IO(0x1,0x64,0x64,0x1,0x1) IRQNoFlags(1)))',
      'Device(MOU)',
      '  Name(_HID, PNP0F13)',
      '  Name(_CRS, Resources(IRQNoFlags(12)))',
      'Device(FWCF)',
      '  Name(_HID, "QEMU0002")',
      '  Name(_STA, 0xb)',
      '  Name(_CRS, Resources(IO(0x1,0x510,0x510,0x1,0xc)))',
      'Device(MBRD)',
      '  Name(_HID, PNP0C02)',
      '  Name(_CRS, Resources(IO(0x1,0x600,0x600,0x1,0x10) IO(0x1,0x80,0x80,0x1,0x1) IO(0x1,0x92,0x92,0x1,0x1) IO(0x1,0xb2,0xb2,0x1,0x1)))',
    ])
  })

  test('four interrupt links', () => {
    const links = pc.slice(pc.lastIndexOf('Scope(\\_SB)'))
    expect(links.filter((line) => line.startsWith('  Device')).map((line) => line.trim())).toEqual(
      [...'ABCD'].map((letter) => `Device(LNK${letter})`),
    )
    for (const [uid, letter] of [...'ABCD'].entries())
      expect(below(links, `Device(LNK${letter})`)).toEqual(link(letter, uid))
  })

  test('without a bridge, keyboard, HPET and ports', () => {
    const bare = lines(
      buildAcpiTables({
        ...board,
        smiCommand: undefined,
        hpet: undefined,
        pciMemory64: undefined,
        isaBridgeDevice: undefined,
        serialPorts: [],
        keyboardController: false,
      }),
    )
    const isa = below(bare, 'Device(ISA)')
    expect(isa[0]).toBe('Name(_HID, PNP0A05)')
    expect(isa.filter((line) => line.startsWith('Device'))).toEqual(
      ['PIC', 'TMR', 'RTC', 'SPKR', 'FWCF', 'MBRD'].map((name) => `Device(${name})`),
    )
    expect(isa.at(-1)).not.toContain('0xb2')
    expect(bare.some((line) => line.includes('QWord') || line.includes('LNK'))).toBe(false)
    expect(below(bare, 'Device(PCI0)')).toContain(
      `Name(_PRT, ${routes((device, pin) => `0x0 0x${(16 + interruptLink(device, pin + 1)).toString(16)}`)})`,
    )
  })
})

/** `_OSC` of a PCI Express root (PCI Firmware Specification 3.3, 4.5.1), with its UUID as ToUUID stores it. */
const OSC = [
  'Method(_OSC, 4, Serialized)',
  '  CreateDWordField(Arg3, 0x0, CDW1)',
  '  If(LEqual(Arg0, Buffer(5b4ddb33f71f1c4096577441c03dd766)))',
  '    CreateDWordField(Arg3, 0x8, CDW3)',
  '    And(CDW3, 0x1d, CDW3)',
  '    If(LNot(LEqual(Arg1, 0x1)))',
  '      Or(CDW1, 0x8, CDW1)',
  '    Return(Arg3)',
  '  Or(CDW1, 0x4, CDW1)',
  '  Return(Arg3)',
]

test('of a Q35: PCI Express, eight links, and configuration space that nobody else is given', () => {
  const q35 = lines(
    buildAcpiTables({ ...board, machine: 'q35', isaBridgeDevice: 31, ecam: { base: 0xe000_0000, buses: 64 } }),
  )
  const root = below(q35, 'Device(PCI0)')
  expect(root.slice(0, 2 + OSC.length)).toEqual(['Name(_HID, PNP0A08)', 'Name(_CID, PNP0A03)', ...OSC])
  expect(root).toContain(
    `Name(PRTP, ${routes((device, pin) => `\\_SB.LNK${'ABCDEFGH'[ichInterruptLink(device, pin + 1)]} 0x0`)})`,
  )
  expect(below(q35, 'Device(ISA)').slice(0, 5)).toEqual([
    'Name(_ADR, 0x1f0000)',
    'OperationRegion(PRQ0, PCI_Config, 0x60, 0x4)',
    'Field(PRQ0, 0x1) {PRQA:8 PRQB:8 PRQC:8 PRQD:8}',
    'OperationRegion(PRQ1, PCI_Config, 0x68, 0x4)',
    'Field(PRQ1, 0x1) {PRQE:8 PRQF:8 PRQG:8 PRQH:8}',
  ])
  expect(below(q35, 'Device(MBRD)').at(-1)).toContain('Memory32Fixed(0x1,0xe0000000,0x4000000)')
  for (const [uid, letter] of [...'ABCDEFGH'].entries())
    expect(below(q35, `Device(LNK${letter})`)).toEqual(link(letter, uid))
})

test('of an Arm board', () => {
  const arm = lines(buildArmAcpiTables({ cpus: 18, memoryBytes: 64 << 20 }, 0x4000_0000))
  const spi = (number: number): string => `Interrupt(0x1,0x1,0x${(32 + number).toString(16)})`
  const virtio = Array.from({ length: 32 }, (_, i) => [
    `Device(VR${i.toString(16).toUpperCase().padStart(2, '0')})`,
    '  Name(_HID, "LNRO0005")',
    `  Name(_UID, 0x${i.toString(16)})`,
    '  Name(_CCA, 0x1)',
    `  Name(_CRS, Resources(Memory32Fixed(0x1,0x${(0xa00_0000 + 0x200 * i).toString(16)},0x200) ${spi(16 + i)}))`,
  ])
  const processors = Array.from({ length: 18 }, (_, i) => [
    `Device(C0${i.toString(16).toUpperCase().padStart(2, '0')})`,
    '  Name(_HID, "ACPI0007")',
    `  Name(_UID, 0x${i.toString(16)})`,
  ])
  expect(arm[0]).toBe('Scope(\\_SB)')
  expect(below(arm, 'Scope(\\_SB)')).toEqual([
    ...processors.flat(),
    'Device(COM0)',
    '  Name(_HID, "ARMH0011")',
    '  Name(_UID, 0x0)',
    `  Name(_CRS, Resources(Memory32Fixed(0x1,0x9000000,0x1000) ${spi(1)}))`,
    'Device(FWCF)',
    '  Name(_HID, "QEMU0002")',
    '  Name(_UID, 0x0)',
    '  Name(_CCA, 0x1)',
    '  Name(_CRS, Resources(Memory32Fixed(0x1,0x9020000,0x18)))',
    ...virtio.flat(),
    'Device(PCI0)',
    '  Name(_HID, PNP0A08)',
    '  Name(_CID, PNP0A03)',
    ...OSC.map((line) => `  ${line}`),
    '  Name(_SEG, 0x0)',
    '  Name(_BBN, 0x0)',
    '  Name(_UID, 0x0)',
    '  Name(_CCA, 0x1)',
    `  Name(_PRT, ${routes((device, pin) => `0x0 0x${(35 + ((device + pin) % 4)).toString(16)}`)})`,
    '  Method(_CBA, 0, NotSerialized)',
    '    Return(0x4010000000)',
    `  Name(_CRS, Resources(${[
      'Word(0x2,0xc,0x0;0x0,0x0,0xff,0x0,0x100)',
      'DWord(0x0,0xc,0x1;0x0,0x10000000,0x3efeffff,0x0,0x2eff0000)',
      'DWord(0x1,0xc,0x3;0x0,0x0,0xffff,0x3eff0000,0x10000)',
      'QWord(0x0,0xc,0x1;0x0,0x8000000000,0xffffffffff,0x0,0x8000000000)',
    ].join(' ')}))`,
    '  Device(RES0)',
    '    Name(_HID, PNP0C02)',
    '    Name(_CRS, Resources(QWord(0x0,0xc,0x1;0x0,0x4010000000,0x401fffffff,0x0,0x10000000)))',
    'Device(GPO0)',
    '  Name(_HID, "ARMH0061")',
    '  Name(_UID, 0x0)',
    `  Name(_CRS, Resources(Memory32Fixed(0x1,0x9030000,0x1000) ${spi(7)}))`,
    // Revision 1, interrupt, consumer, edge, no pull.
    '  Name(_AEI, Resources(GPIO(0x1,0x0,0x1,0x1,0x3,0x0,0x0,0x0,0x0;3;\\_SB.GPO0;)))',
    '  Method(_E03, 0, NotSerialized)',
    '    Notify(\\_SB.PWRB, 0x80)',
    'Device(PWRB)',
    '  Name(_HID, PNP0C0C)',
    '  Name(_UID, 0x0)',
  ])
})

describe('limits of AML', () => {
  test.each([
    { content: 58, head: [0x11, 0x3d, 0x0a, 58] },
    { content: 59, head: [0x11, 0x3e, 0x0a, 59] },
    { content: 60, head: [0x11, 0x3f, 0x0a, 60] },
    // From 63 bytes on, itself included, a PkgLength has two bytes (20.2.4).
    { content: 61, head: [0x11, 0x41, 0x04, 0x0a, 61] },
    { content: 4090, head: [0x11, 0x4f, 0xff, 0x0b, 0xfa, 0x0f] },
    { content: 4091, head: [0x11, 0x81, 0x00, 0x01, 0x0b, 0xfb, 0x0f] },
    { content: 2 ** 20 - 9, head: [0x11, 0x8f, 0xff, 0xff, 0x0c, 0xf7, 0xff, 0x0f, 0] },
    { content: 2 ** 20 - 8, head: [0x11, 0xc1, 0x00, 0x00, 0x01, 0x0c, 0xf8, 0xff, 0x0f, 0] },
  ])('a buffer of $content bytes', ({ content, head }) => {
    expect([...aml.buffer(new Uint8Array(content)).subarray(0, head.length)]).toEqual(head)
  })

  test('integers of each width', () => {
    const encoded = (value: number | bigint): string => Buffer.from(aml.integer(value)).toString('hex')
    expect([2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff].map(encoded)).toEqual([
      '0a02',
      '0aff',
      '0b0001',
      '0bffff',
      '0c00000100',
      '0cffffffff',
    ])
    expect([2 ** 32, 0xfedc_ba98_7654_3210n].map(encoded)).toEqual(['0e0000000001000000', '0e1032547698badcfe'])
  })

  test('packages and names', () => {
    const many = Array.from({ length: 255 }, () => aml.integer(0))
    expect(aml.pkg(...many).length).toBe(1 + 2 + 1 + 255)
    expect(() => aml.pkg(...many, aml.integer(0))).toThrow('the limit is 255')
    expect([...aml.path('\\')]).toEqual([0x5c, 0])
    for (const name of ['1AB', 'a', '', 'A-B']) expect(() => aml.path(`X.${name}`)).toThrow('expected 1 to 4')
    for (const id of ['PNP0A0', 'PNP0A033', 'PN00A03', 'PNP0a03']) expect(() => aml.eisaId(id)).toThrow('EISA id')
  })
})
