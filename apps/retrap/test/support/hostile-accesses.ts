// What a hostile guest does to the devices of its machine, in words of no processor: accesses to configuration space, to
// memory and to ports.
import type { Rng } from '@retrap/tooling/soak'
import {
  type Bar,
  type Content,
  type HostileMachine,
  type PlacedDevice,
  WINDOW_BEHIND,
  type Write,
} from './hostile-machines.ts'

/** A read, or a write of `value`. */
export interface Access {
  readonly space: 'configuration' | 'memory' | 'port'
  /** Of configuration space, as ECAM has it; of memory, guest-physical. */
  readonly address: number
  readonly bytes: 1 | 2 | 4
  readonly value?: number
}

/** A part of guest RAM for descriptors, by its distance from RAM's begin. */
const DESCRIPTORS = 0x2_0000
const PAGES = 16
const PAGE = 0x1000
const ARM_RAM = 0x4000_0000
/** Memory for base address registers, where both kinds of board route it to PCI. */
const WINDOW = 0xc000_0000
const ARM_WINDOW = 0x1000_0000
/** The first may have 16 MiB; where the others are, by the distance from it. */
const SMALL_BARS = 0x2000_0000
const COMMAND = 4
const FIRST_BAR = 0x10
/** Registers whose content matters: command, BARs, ROM, capabilities, interrupt, and what chipsets have from 40H on. */
const CONFIGURATION = [
  4, 6, 0x0c, 0x10, 0x14, 0x18, 0x20, 0x24, 0x30, 0x34, 0x3c, 0x3e, 0x40, 0x42, 0x44, 0x48,
] as const
const CHIPSET = [
  0x59, 0x5f, 0x60, 0x64, 0x72, 0x80, 0x90, 0x92, 0x98, 0x9c, 0x9d, 0xa0, 0xa4, 0xb0, 0xb2, 0xf0,
] as const
/** Ends of pages, 2^31, and what is below 2^32. */
const EDGES = [
  0, 1, 0xffff_ffff, 0x8000_0000, 0x7fff_ffff, 0xfff, 0x1000, 0xfee0_0000, 0xffff_f000, 0xffff_fffc, 0x7fff_f000,
] as const
/** Upper halves of 2^32, 2^52 and 2^63, and of what is below them. */
const HIGH_EDGES = [1, 0x0010_0000, 0x000f_ffff, 0x8000_0000, 0x7fff_ffff, 0xffff_ffff] as const
/** Of bus 1, as ECAM has it. */
const BUS_1 = 0x10_0000

/** A word of the kind that breaks things. */
function anyWord(rng: Rng): number {
  return rng.chance(1, 3) ? rng.pick(EDGES) : rng.chance() ? rng.below(0x100) : rng.u32()
}

/** The upper half of an address. */
const highWord = (rng: Rng): number => (rng.chance(1, 8) ? rng.pick(HIGH_EDGES) : 0)

const ramBase = ({ board }: HostileMachine): number => (board.arm ? ARM_RAM : 0)

/** An address in guest RAM, most often a page of descriptors, or none. */
function ramAddress(rng: Rng, machine: HostileMachine): number {
  if (rng.chance(1, 8)) return anyWord(rng)
  const page = ramBase(machine) + DESCRIPTORS + PAGE * rng.below(PAGES)
  // The end of a page, where what is there goes on in the next one.
  if (rng.chance(1, 8)) return page + PAGE - rng.pick([1, 2, 4, 8, 16])
  return page + (rng.chance(1, 4) ? 4 * rng.below(PAGE / 4) : 0)
}

function contentOf(rng: Rng, machine: HostileMachine, content: Content): number {
  if (rng.chance(1, 16)) return anyWord(rng)
  if (content === 'high') return highWord(rng)
  if (content === 'any') return rng.chance(1, 4) ? ramAddress(rng, machine) : anyWord(rng)
  return content === 'ram' ? ramAddress(rng, machine) : content
}

/** Where the guest puts a base address register. */
function barAddress({ board }: HostileMachine, { bars, place }: PlacedDevice, bar: Bar): number {
  const [device] = place
  if (bars?.[bar] === 'io') return 0xc000 + device * 0x200 + (bar % 2) * 0x100
  const window = board.arm ? ARM_WINDOW : WINDOW
  return bar === 0 ? window + device * 0x100_0000 : window + SMALL_BARS + device * 0x10_0000 + bar * 0x2_0000
}

const configuration = ([device, function_]: readonly [number, number], register: number): number =>
  device * 0x8000 + function_ * 0x1000 + register

/** Gives a device its addresses, and lets it answer and be a bus master. */
export function enable(machine: HostileMachine, device: PlacedDevice): Access[] {
  const accesses: Access[] = []
  const put = (register: number, value: number): void => {
    const address = configuration(device.place, register)
    accesses.push({ space: 'configuration', address, bytes: 4, value })
  }
  for (const [key, kind] of Object.entries(device.bars ?? {})) {
    const bar = Number(key) as Bar
    put(FIRST_BAR + 4 * bar, barAddress(machine, device, bar))
    if (kind === 'memory64') put(FIRST_BAR + 4 * bar + 4, 0)
  }
  if (device.bars !== undefined) put(COMMAND, 7)
  return accesses
}

function register(rng: Rng, machine: HostileMachine, device: PlacedDevice, write: Write): Access {
  const [base, offset, bytes, content] = write
  const value = contentOf(rng, machine, content)
  if (base === 'port') return { space: 'port', address: offset, bytes, value }
  if (base === 'configuration')
    return { space: 'configuration', address: configuration(device.place, offset), bytes, value }
  if (base === 'behind') return { space: 'configuration', address: BUS_1 + offset, bytes, value }
  if (base === 'window') return { space: 'memory', address: WINDOW_BEHIND + offset, bytes, value }
  const space = device.bars?.[base] === 'io' ? 'port' : 'memory'
  return { space, address: barAddress(machine, device, base) + offset, bytes, value }
}

/** A page of what devices take for descriptors: addresses, lengths, and small numbers that are flags or commands. */
function descriptors(rng: Rng, machine: HostileMachine): Access[] {
  const page = ramBase(machine) + DESCRIPTORS + PAGE * rng.below(PAGES)
  const stride = rng.pick([16, 8, 32, 64])
  return Array.from({ length: 4 * rng.between(1, 8) }, (_, i): Access => {
    const value = [ramAddress(rng, machine), highWord(rng), anyWord(rng), rng.below(0x1_0000)]
    const address = page + stride * Math.floor(i / 4) + 4 * (i % 4)
    return { space: 'memory', address, bytes: 4, value: value[i % 4]! }
  })
}

/** Any access near a register of a device: another width, another offset, or a read. */
function nearby(rng: Rng, machine: HostileMachine, device: PlacedDevice): Access[] {
  const writes = [...device.setUp, ...device.work]
  if (writes.length === 0) return []
  const access = register(rng, machine, device, rng.pick(writes))
  const { space } = access
  const address = access.address + (rng.chance() ? rng.below(16) - 8 : rng.below(0x200))
  const bytes = rng.pick([1, 2, 4] as const)
  return [rng.chance(1, 3) ? { space, address, bytes } : { space, address, bytes, value: anyWord(rng) }]
}

function configure(rng: Rng, machine: HostileMachine): Access {
  // A device of the list, one of the board's, or none.
  const places = machine.devices.map(({ place }) => place)
  const own = [0, 1, 31].flatMap((device) => [0, 1, 2, 3].map((function_) => [device, function_] as const))
  const place = rng.chance(2, 3) && places.length > 0 ? rng.pick(places) : rng.pick(own)
  const at = rng.chance() ? rng.pick(CONFIGURATION) : rng.chance() ? rng.pick(CHIPSET) : rng.below(0x100)
  const bytes = rng.pick([4, 2, 1] as const)
  const address = configuration(place, at - (at % bytes))
  return { space: 'configuration', address, bytes, ...(rng.chance(3, 4) && { value: anyWord(rng) }) }
}

/** Some accesses that belong together. */
export function drawAccesses(rng: Rng, machine: HostileMachine): readonly Access[] {
  const { devices } = machine
  if (devices.length === 0) return [configure(rng, machine)]
  const device = rng.pick(devices)
  const { setUp, work } = device
  switch (rng.below(6)) {
    case 0:
    case 1: {
      // From anywhere on: a device with two interfaces is begun by one, and started by the other.
      const from = rng.chance(1, 3) ? rng.below(Math.max(1, setUp.length)) : 0
      const turned = [...setUp.slice(from), ...setUp.slice(0, from)]
      const started = turned.map((write) => register(rng, machine, device, write))
      return [...descriptors(rng, machine), ...(rng.chance(1, 3) ? enable(machine, device) : []), ...started]
    }
    case 2:
    case 3:
      if (work.length === 0) return [configure(rng, machine)]
      return Array.from({ length: rng.between(1, 4) }, () => register(rng, machine, device, rng.pick(work)))
    case 4:
      return nearby(rng, machine, device)
    default:
      return [configure(rng, machine)]
  }
}
