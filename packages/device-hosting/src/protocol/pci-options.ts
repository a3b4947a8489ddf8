import type { PciBarOptions, PciFunctionOptions, RegionOptions } from '@retrap/device'
import type { DeclaredBar, DeclaredFunction } from './declared.ts'

const BAR_KINDS = ['io', 'memory', 'memory64'] as const

/**
 * The options of a PCI function, as its frames tell them.
 *
 * @param backing - returns the handler of a BAR's accesses, or the memory that the BAR maps
 */
export function pciFunctionOptions(
  { frame, device, bars, msi, msix, capabilities }: DeclaredFunction,
  backing: (bar: DeclaredBar) => Pick<PciBarOptions, 'handler' | 'memory'>,
): PciFunctionOptions {
  return {
    ...(frame.bus !== '' && { bus: frame.bus }),
    device,
    function: frame.address & 7,
    vendorId: frame.vendor,
    deviceId: frame.id,
    revisionId: frame.revision,
    classCode: frame.class,
    subsystemVendorId: frame.subsystemVendor,
    subsystemId: frame.subsystem,
    interruptPin: frame.pin as 0 | 1 | 2 | 3 | 4,
    headerType: (frame.flags & 2) === 0 ? 0 : 0x80,
    extendedConfig: (frame.flags & 1) !== 0,
    bars: bars.map((bar) => ({
      ...{ index: bar.index, kind: BAR_KINDS[bar.type]!, bytes: bar.bytes },
      ...{ prefetchable: (bar.flags & 2) !== 0, buffered: (bar.flags & 1) !== 0 },
      ...accessOf(bar),
      ...backing(bar),
    })),
    ...(msi && { msi: { vectors: msi.vectors as 1, masking: (msi.flags & 1) !== 0 } }),
    ...(msix && {
      msix: {
        vectors: msix.vectors,
        table: { bar: msix.bar, offset: msix.offset },
        ...(msix.pending !== 0 && { pba: { bar: msix.bar, offset: msix.pending } }),
      },
    }),
    capabilities: capabilities.map(({ id, version, body, writable }) => ({
      id,
      body,
      ...(writable.length > 0 && { writable }),
      ...(version > 0 && { extendedVersion: version }),
    })),
  }
}

/** How a region is accessed. */
export function accessOf({ maximum, minimum }: { readonly maximum: number; readonly minimum: number }): RegionOptions {
  return {
    ...(maximum !== 0 && { maximumAccess: maximum as 1 | 2 | 4 | 8 }),
    ...(minimum !== 0 && { minimumAccess: minimum as 1 | 2 | 4 }),
  }
}
