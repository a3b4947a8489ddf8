/** A tree of PCI functions without a machine around it. */
import { PciTree, type BarRegion, type PciTreeHost } from '../../src/host/index.ts'
import type { PciFunction, PciFunctionOptions, RangeHandler, Region } from '../../src/index.ts'

export interface FakeRegion extends Region {
  readonly bar: BarRegion
}

/** A tree of functions over regions that only remember. */
export function tree(more: Partial<PciTreeHost> = {}) {
  const messages: [address: number, data: number, requester: number][] = []
  const regions: FakeRegion[] = []
  const lines: string[] = []
  const host: PciTreeHost = {
    mapBar(_device, bar) {
      const region = {
        kind: bar.kind,
        base: 0,
        length: bar.bytes,
        enabled: false,
        bar,
        enable: () => void (region.enabled = true),
        disable: () => void (region.enabled = false),
        move: (base: number) => void (region.base = base),
        unmap: () => void (region.enabled = false),
      }
      regions.push(region)
      return region
    },
    wire: (device, pin) => ({ set: (level) => void (level && lines.push(`${device} pin ${pin}`)), pulse: () => {} }),
    signalMsi: (address, data, requester) => void messages.push([address, data, requester]),
    changed: () => {},
    ...more,
  }
  const made = new PciTree(host)
  const add = (options: Partial<PciFunctionOptions>): PciFunction =>
    made.add('card', { device: 3, vendorId: 0x1234, deviceId: 0x5678, classCode: 0x02_0000, ...options })
  return { tree: made, host, add, messages, regions, lines }
}

/** Requester ID of the card. */
export const ID = 3 << 3
export const COMMAND = 4
export const BUS_MASTER = 4
export const ones: RangeHandler = { read: () => 0xffff_ffff, write: () => {} }

export function config(made: PciTree, id = ID) {
  return {
    read: (register: number, size = 4) => made.read(id, register, size) & (size === 4 ? -1 : 2 ** (8 * size) - 1),
    write: (register: number, value: number, size = 4) => made.write(id, register, size, value),
  }
}
