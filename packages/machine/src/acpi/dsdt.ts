import * as aml from './aml.ts'
import * as resource from './resources.ts'
import { ACPI_HOT_PLUG, FIRST_LINK_GSI } from '@retrap/devices'
import { CHIPSETS } from '../machine-type.ts'
import type { Aml } from './aml.ts'
import type { AcpiBoard } from './board.ts'
import { expressRoot, generation } from './resources.ts'

/**
 * The definition block of a PC: sleep states S3 and S5, processors, the PCI root with
 * its windows and interrupt routing, and the ISA devices behind it.
 *
 * Sources: ACPI Specification 6.5, chapters 6 (configuration) and 7.4 (sleep
 * states); PCI Firmware Specification 3.3, chapter 4.
 */

/** Configuration registers with the routes of links A to D, and of E to H. */
const PIRQ_ROUTE_REGISTERS = [0x60, 0x68] as const
const ROUTES_BYTES = 4
const ECAM_BUS_BYTES = 1 << 20
const LETTERS = [...'ABCDEFGH']
/** ISA lines that a PCI link may be routed to. */
const LINK_IRQS = [5, 10, 11] as const
const ROUTE_DISABLED = 0x80

/** Bytes of the terms inside the DSDT, without its table header. */
export function dsdtBody(board: AcpiBoard): Aml {
  const isaBridge = board.isaBridgeDevice
  return aml.concat(
    // PICM: 0 while the OS uses the 8259 pair, 1 once it has announced the I/O APIC.
    aml.name('\\PICM', aml.integer(0)),
    aml.method('\\_PIC', 1, false, aml.store(aml.arg(0), aml.path('\\PICM'))),
    ...(board.s3SleepType === undefined ? [] : [sleepState('\\_S3', board.s3SleepType)]),
    sleepState('\\_S5', board.s5SleepType),
    aml.scope(
      '\\_SB',
      ...board.apicIds.map((_, uid) => processor(uid)),
      pciRoot(board),
      ...generation(board.generation),
    ),
    ...(isaBridge === undefined ? [] : [pciLinks(linksOf(board))]),
    ...(board.hotPlugSlots === undefined ? [] : hotPlug(board.hotPlugSlots)),
  )
}

/** `Notify` values of PCI's root and slots (ACPI 5.6.6, "Device Object Notifications"). */
const BUS_CHECK = 0
const DEVICE_CHECK = 1
const EJECT_REQUEST = 3

/** Slots of bus 0, and the event that tells the OS of devices that come, are to be given up, or were pulled. */
function hotPlug(slots: readonly number[]): Aml[] {
  const { base, bytes } = ACPI_HOT_PLUG
  const slotOf = (device: number): string => `S${device.toString(16).toUpperCase().padStart(2, '0')}`
  const told = (bits: Aml, value: number): Aml[] =>
    slots.map((device) => aml.when(aml.and(bits, aml.integer(2 ** device)), aml.notify(slotOf(device), value)))
  const devices = slots.map((device) =>
    aml.device(
      slotOf(device),
      aml.name('_ADR', aml.integer(device * 0x1_0000)),
      aml.name('_SUN', aml.integer(device)),
      aml.method('_EJ0', 1, false, aml.store(aml.integer(2 ** device), aml.path('HPEJ'))),
    ),
  )
  return [
    aml.scope(
      '\\_SB.PCI0',
      aml.operationRegion('HPRG', aml.RegionSpace.systemIo, base, bytes),
      // Fields in the order of the registers.
      aml.dwordField(
        'HPRG',
        (['HPUP', 'HPDN', 'HPEJ', 'HPRM', 'HPBU', 'HPIX', 'HPPU'] as const).map((register) => [register, 32]),
      ),
      ...devices,
      aml.method(
        'HPNT',
        0,
        true,
        // A read clears them.
        aml.store(aml.path('HPUP'), aml.local(0)),
        aml.store(aml.path('HPDN'), aml.local(1)),
        aml.when(aml.path('HPPU'), aml.notify('\\_SB.PCI0', BUS_CHECK)),
        ...told(aml.local(0), DEVICE_CHECK),
        ...told(aml.local(1), EJECT_REQUEST),
      ),
    ),
    aml.scope('\\_GPE', aml.method(`_E0${ACPI_HOT_PLUG.event}`, 0, false, aml.path('\\_SB.PCI0.HPNT'))),
  ]
}

/** A sleep state's object: values for PM1a's and PM1b's SLP_TYP, and two reserved ones. */
const sleepState = (name: string, type: number): Aml =>
  aml.name(name, aml.pkg(aml.integer(type), aml.integer(type), aml.integer(0), aml.integer(0)))

/** Letters of the board's interrupt links. */
const linksOf = ({ machine = 'pc' }: AcpiBoard): string[] => LETTERS.slice(0, CHIPSETS[machine].links)

function processor(uid: number): Aml {
  return aml.device(
    `C${uid.toString(16).toUpperCase().padStart(3, '0')}`,
    aml.name('_HID', aml.string('ACPI0007')),
    aml.name('_UID', aml.integer(uid)),
  )
}

function pciRoot(board: AcpiBoard): Aml {
  const windows = [
    resource.busNumbers(0, 0xff),
    // The configuration mechanism's own ports belong to the bridge.
    resource.ioPorts(0xcf8, 8),
    resource.ioWindow(0x0000, 0x0cf7),
    resource.ioWindow(0x0d00, 0xffff),
    resource.memoryWindow32(0xa_0000, 0xb_ffff),
    resource.memoryWindow32(board.pciMemory.start, board.pciMemory.end),
    ...(board.pciMemory64 === undefined
      ? []
      : [resource.memoryWindow64(board.pciMemory64.start, board.pciMemory64.end)]),
  ]
  return aml.device(
    'PCI0',
    ...(board.ecam === undefined ? [aml.name('_HID', aml.eisaId('PNP0A03'))] : expressRoot()),
    aml.name('_UID', aml.integer(0)),
    aml.name('_BBN', aml.integer(0)),
    aml.name('_CRS', resource.resourceTemplate(...windows)),
    ...interruptRouting(board),
    isaBus(board),
  )
}

/** `_PRT`: a pin (from 0) goes to its link's I/O APIC input, or to the ISA line of the link. */
function interruptRouting(board: AcpiBoard): Aml[] {
  const { linkOf } = CHIPSETS[board.machine ?? 'pc']
  const table = (target: (link: number) => readonly [Aml, Aml]): Aml => {
    const rows: Aml[] = []
    for (let device = 0; device < 32; device++)
      for (let pin = 0; pin < 4; pin++) {
        const [source, index] = target(linkOf(device, pin + 1))
        rows.push(aml.pkg(aml.integer(device * 0x1_0000 + 0xffff), aml.integer(pin), source, index))
      }
    return aml.pkg(...rows)
  }
  const toGsi = table((link) => [aml.integer(0), aml.integer(FIRST_LINK_GSI + link)])
  if (board.isaBridgeDevice === undefined) return [aml.name('_PRT', toGsi)]
  const toLink = table((link) => [aml.path(`\\_SB.LNK${LETTERS[link]!}`), aml.integer(0)])
  return [
    aml.name('PRTA', toGsi),
    aml.name('PRTP', toLink),
    aml.method(
      '_PRT',
      0,
      false,
      aml.when(aml.path('\\PICM'), aml.returns(aml.path('PRTA'))),
      aml.returns(aml.path('PRTP')),
    ),
  ]
}

/** The PCI interrupt links, set through the ISA bridge's PIRQ route registers. */
function pciLinks(letters: readonly string[]): Aml {
  const links = letters.map((letter, index) => {
    const route = aml.path(`\\_SB.PCI0.ISA.PRQ${letter}`)
    return aml.device(
      `LNK${letter}`,
      aml.name('_HID', aml.eisaId('PNP0C0F')),
      aml.name('_UID', aml.integer(index)),
      // The result of _CRS, after it has put the line in.
      aml.name('BUF0', resource.resourceTemplate(resource.irqLevelShared())),
      aml.name('_PRS', resource.resourceTemplate(resource.irqLevelShared(...LINK_IRQS))),
      aml.method(
        '_STA',
        0,
        false,
        aml.when(aml.and(route, aml.integer(ROUTE_DISABLED)), aml.returns(aml.integer(0x09))),
        aml.returns(aml.integer(0x0b)),
      ),
      aml.method('_DIS', 0, false, aml.or(route, aml.integer(ROUTE_DISABLED), route)),
      aml.method(
        '_CRS',
        0,
        true,
        aml.createWordField(aml.path('BUF0'), 1, 'IRQW'),
        aml.when(
          aml.equal(aml.and(route, aml.integer(ROUTE_DISABLED)), aml.integer(0)),
          aml.shiftLeft(aml.integer(1), aml.and(route, aml.integer(0x0f)), aml.path('IRQW')),
        ),
        aml.returns(aml.path('BUF0')),
      ),
      aml.method(
        '_SRS',
        1,
        true,
        aml.createWordField(aml.arg(0), 1, 'IRQW'),
        aml.findSetRightBit(aml.path('IRQW'), aml.local(0)),
        aml.when(aml.local(0), aml.subtract(aml.local(0), aml.integer(1), route)),
      ),
    )
  })
  return aml.scope('\\_SB', ...links)
}

function isaBus(board: AcpiBoard): Aml {
  const isaBridge = board.isaBridgeDevice
  const address =
    isaBridge === undefined
      ? aml.name('_HID', aml.eisaId('PNP0A05'))
      : aml.name('_ADR', aml.integer(isaBridge * 0x1_0000))
  const letters = linksOf(board)
  const routes =
    isaBridge === undefined
      ? []
      : PIRQ_ROUTE_REGISTERS.slice(0, letters.length / ROUTES_BYTES).flatMap((register, i) => [
          aml.operationRegion(`PRQ${i}`, aml.RegionSpace.pciConfig, register, ROUTES_BYTES),
          aml.byteField(
            `PRQ${i}`,
            letters.slice(4 * i, 4 * i + 4).map((letter) => [`PRQ${letter}`, 8] as const),
          ),
        ])
  return aml.device('ISA', address, ...routes, ...isaDevices(board))
}

const FW_CFG_PORT = 0x510
const FW_CFG_PORTS = 12

function isaDevices(board: AcpiBoard): Aml[] {
  const device = (name: string, id: string, crs: readonly (readonly number[])[], ...more: readonly Aml[]): Aml =>
    aml.device(name, aml.name('_HID', aml.eisaId(id)), ...more, aml.name('_CRS', resource.resourceTemplate(...crs)))
  const { hpet, smiCommand, ecam } = board
  return [
    device('PIC', 'PNP0000', [
      resource.ioPorts(0x20, 2),
      resource.ioPorts(0xa0, 2),
      resource.ioPorts(0x4d0, 2),
      resource.irqNoFlags(2),
    ]),
    device('TMR', 'PNP0100', [resource.ioPorts(0x40, 4), resource.irqNoFlags(0)]),
    device('RTC', 'PNP0B00', [resource.ioPorts(0x70, 2), resource.irqNoFlags(8)]),
    device('SPKR', 'PNP0800', [resource.ioPorts(0x61, 1)]),
    ...(hpet === undefined ? [] : [device('HPET', 'PNP0103', [resource.memory32Fixed(hpet.address, 0x400, true)])]),
    ...board.serialPorts.map((port, index) =>
      device(
        `COM${index + 1}`,
        'PNP0501',
        [resource.ioPorts(port.iobase, 8), resource.irqNoFlags(port.irq)],
        aml.name('_UID', aml.integer(index + 1)),
      ),
    ),
    ...(board.keyboardController
      ? [
          device('KBD', 'PNP0303', [resource.ioPorts(0x60, 1), resource.ioPorts(0x64, 1), resource.irqNoFlags(1)]),
          device('MOU', 'PNP0F13', [resource.irqNoFlags(12)]),
        ]
      : []),
    // By this device Linux finds the files of fw_cfg (qemu_fw_cfg; QEMU, docs/specs/fw_cfg.rst, "ACPI Interface").
    aml.device(
      'FWCF',
      aml.name('_HID', aml.string('QEMU0002')),
      aml.name('_STA', aml.integer(0x0b)),
      aml.name('_CRS', resource.resourceTemplate(resource.ioPorts(FW_CFG_PORT, FW_CFG_PORTS))),
    ),
    // Motherboard resources: ports no driver owns, so that the guest places nothing else at them.
    device('MBRD', 'PNP0C02', [
      resource.ioPorts(board.pmBase, 0x10),
      resource.ioPorts(0x80, 1),
      resource.ioPorts(0x92, 1),
      ...(smiCommand === undefined ? [] : [resource.ioPorts(smiCommand.port, 1)]),
      ...(board.hotPlugSlots === undefined
        ? []
        : [
            resource.ioPorts(ACPI_HOT_PLUG.base, ACPI_HOT_PLUG.bytes),
            resource.ioPorts(ACPI_HOT_PLUG.eventBase, ACPI_HOT_PLUG.eventBytes),
          ]),
      ...(ecam === undefined ? [] : [resource.memory32Fixed(ecam.base, ecam.buses * ECAM_BUS_BYTES, true)]),
    ]),
  ]
}
