import * as aml from '../acpi/aml.ts'
import * as resource from '../acpi/resources.ts'
import type { Aml } from '../acpi/aml.ts'
import { expressRoot, generation } from '../acpi/resources.ts'
import { type ArmBoard, type ArmPlace, gsiOfSpi, POWER_BUTTON_LINE, VIRT } from './layout.ts'

/**
 * The definition block of the Arm board: processors, UART, fw_cfg, virtio transports, the PCI root, and the power button at
 * the GPIO.
 *
 * Sources: ACPI Specification 6.5, chapters 5.6.5 (GPIO-signaled events) and 6; PCI Firmware Specification 3.3, chapter 4;
 * Arm DEN 0093, ACPI for Arm Components, for identifiers.
 */

/** The UART's name. */
export const UART_PATH = 'COM0'
const PCI_SLOTS = 32
const PCI_PINS = 4
/** Notification of a power button that has been pressed (ACPI 5.6.6). */
const BUTTON_PRESSED = 0x80

/** Bytes of the terms inside the DSDT, without its table header. */
export function dsdtBody({ cpus, generation: isNoted = false }: ArmBoard): Aml {
  const processors = Array.from({ length: cpus }, (_, uid) =>
    device(`C${uid.toString(16).toUpperCase().padStart(3, '0')}`, 'ACPI0007', uid),
  )
  const { base, spi } = VIRT.generation
  const noted = isNoted ? generation({ address: base, irq: gsiOfSpi(spi) }) : []
  return aml.scope('\\_SB', ...processors, ...platformDevices(), pciRoot(), ...powerButton(), ...noted)
}

/** A device with an identifier of text. */
const device = (name: string, id: string, uid: number, ...more: readonly Aml[]): Aml =>
  aml.device(name, aml.name('_HID', aml.string(id)), aml.name('_UID', aml.integer(uid)), ...more)

/** Reaches memory as the processors do. */
const COHERENT = aml.name('_CCA', aml.integer(1))

function resources({ base, bytes }: ArmPlace, spi?: number): Aml {
  const registers = resource.memory32Fixed(base, bytes, true)
  const interrupt = spi === undefined ? [] : [resource.interruptLevel(gsiOfSpi(spi))]
  return aml.name('_CRS', resource.resourceTemplate(registers, ...interrupt))
}

function platformDevices(): Aml[] {
  const { uart, fwCfg, virtio } = VIRT
  const transports = Array.from({ length: virtio.count }, (_, i) => {
    const place = { base: virtio.base + i * virtio.bytes, bytes: virtio.bytes }
    const name = `VR${i.toString(16).toUpperCase().padStart(2, '0')}`
    return device(name, 'LNRO0005', i, COHERENT, resources(place, virtio.spi + i))
  })
  return [
    device(UART_PATH, 'ARMH0011', 0, resources(uart, uart.spi)),
    device('FWCF', 'QEMU0002', 0, COHERENT, resources(fwCfg)),
    ...transports,
  ]
}

function pciRoot(): Aml {
  const { pcie, pcieMemory, pcieMemory64, pciePorts } = VIRT
  const windows = [
    resource.busNumbers(0, pcie.buses - 1),
    resource.memoryWindow32(pcieMemory.base, pcieMemory.base + pcieMemory.bytes - 1),
    resource.ioWindowInMemory(0, pciePorts.bytes - 1, pciePorts.base),
    resource.memoryWindow64(pcieMemory64.base, pcieMemory64.base + pcieMemory64.bytes - 1),
  ]
  // Pins reach the interrupt controller without a link: its level interrupts are active high.
  const routes: Aml[] = []
  for (let slot = 0; slot < PCI_SLOTS; slot++)
    for (let pin = 0; pin < PCI_PINS; pin++) {
      const gsi = gsiOfSpi(pcie.spi + ((slot + pin) % PCI_PINS))
      routes.push(aml.pkg(aml.integer(slot * 0x1_0000 + 0xffff), aml.integer(pin), aml.integer(0), aml.integer(gsi)))
    }
  return aml.device(
    'PCI0',
    ...expressRoot(),
    aml.name('_SEG', aml.integer(0)),
    aml.name('_BBN', aml.integer(0)),
    aml.name('_UID', aml.integer(0)),
    COHERENT,
    aml.name('_PRT', aml.pkg(...routes)),
    aml.method('_CBA', 0, false, aml.returns(aml.integer(pcie.base))),
    aml.name('_CRS', resource.resourceTemplate(...windows)),
    // Reserve configuration space (PCI Firmware Specification 3.3, 4.1.2).
    aml.device(
      'RES0',
      aml.name('_HID', aml.eisaId('PNP0C02')),
      aml.name('_CRS', resource.resourceTemplate(resource.memoryWindow64(pcie.base, pcie.base + pcie.bytes - 1))),
    ),
  )
}

/** The button's line is an event of the GPIO (ACPI 5.6.5.1, "_AEI Object for GPIO-signaled Events"). */
function powerButton(): Aml[] {
  const event = `_E${POWER_BUTTON_LINE.toString(16).toUpperCase().padStart(2, '0')}`
  return [
    device(
      'GPO0',
      'ARMH0061',
      0,
      resources(VIRT.gpio, VIRT.gpio.spi),
      aml.name('_AEI', resource.resourceTemplate(resource.gpioEdge('\\_SB.GPO0', POWER_BUTTON_LINE))),
      aml.method(event, 0, false, aml.notify('\\_SB.PWRB', BUTTON_PRESSED)),
    ),
    aml.device('PWRB', aml.name('_HID', aml.eisaId('PNP0C0C')), aml.name('_UID', aml.integer(0))),
  ]
}
