import * as aml from './aml.ts'
import type { Aml } from './aml.ts'

/** The method `_OSC` of a PCI Express root. */
const OSC_UUID = '33DB4D5B-1FF7-401C-9657-7441C03DD766'
/** The features that an OS may take over: hot plug, power management events, error reporting, capability structures. */
const OSC_CONTROL = 0x1d
const OSC_UNKNOWN_UUID = 0x04
const OSC_UNKNOWN_REVISION = 0x08

/** A PCI Express root bridge: its identifiers, and what it lets an OS control (PCI Firmware Specification 3.3, 4.5). */
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
